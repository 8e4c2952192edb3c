//! The host agent of `guard` and its command line, as a library for the binary and the tests.
#![deny(unsafe_code)]

pub mod agent;
pub mod alerts;
mod bans;
pub mod cli;
pub mod client;
pub mod config;
pub mod control;
pub mod doctor;
pub mod entries;
pub mod events;
pub mod explanation;
mod feeds;
mod findings;
mod http;
pub mod interface;
pub mod kernel;
pub mod logging;
mod metrics;
pub mod printable;
mod privileges;
pub mod redact;
pub mod replay;
pub mod resolvers;
pub mod ssh;
mod state_file;
pub mod status;
mod supervisor;
pub mod talkers;
pub mod tls;
pub mod top;
