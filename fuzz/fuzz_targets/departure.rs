//! See `checks::departure`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::departure::check(input));
