//! The host agent of `guard` and its command line, as a library for the binary and the tests.
#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod kernel;
