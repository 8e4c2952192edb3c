//! See `checks::pieces`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::pieces::check(input));
