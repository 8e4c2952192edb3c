//! See `checks::event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::event::check(input));
