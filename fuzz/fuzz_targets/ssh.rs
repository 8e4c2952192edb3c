//! See `checks::ssh`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::ssh::check(input));
