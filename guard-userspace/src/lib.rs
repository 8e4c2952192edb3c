//! The host agent of `guard` and its command line, as a library for the binary and the tests.
#![deny(unsafe_code)]

pub mod cli;
pub mod client;
pub mod config;
mod http;
pub mod kernel;
pub mod logging;
mod metrics;
pub mod status;
