//! See `checks::frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::frame::check(input));
