//! See `checks::protocol`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::protocol::check(input));
