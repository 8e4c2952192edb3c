//! The host agent of `guard` and its command line, as a library for the binary and the tests.
#![deny(unsafe_code)]

pub mod agent;
pub mod alerts;
mod bans;
pub mod cli;
pub mod client;
pub mod config;
pub mod doctor;
pub mod entries;
pub mod events;
mod findings;
mod http;
pub mod interface;
pub mod kernel;
pub mod logging;
mod metrics;
pub mod redact;
pub mod replay;
pub mod ssh;
pub mod status;
pub mod tls;
