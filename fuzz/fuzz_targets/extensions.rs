//! See `checks::extensions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::extensions::check(input));
