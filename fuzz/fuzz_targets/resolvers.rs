//! See `checks::resolvers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::resolvers::check(input));
