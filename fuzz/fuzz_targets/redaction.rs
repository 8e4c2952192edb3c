//! See `checks::redaction`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::redaction::check(input));
