//! See `checks::units`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::units::check(input));
