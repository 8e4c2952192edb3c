//! See `checks::entries`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::entries::check(input));
