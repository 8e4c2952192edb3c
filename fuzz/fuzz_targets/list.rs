//! See `checks::list`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::list::check(input));
