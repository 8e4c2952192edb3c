//! The lab: network namespaces, real servers, hand-made frames and floods, for whatever needs root.
//!
//! Everything made here is named after the process that made it and goes away when its value is
//! dropped, on a panic too. What a killed process left behind is removed by the next one.

#![forbid(unsafe_code)]

pub mod agent;
pub mod bench;
pub mod command;
pub mod control;
pub mod counters;
pub mod curl;
pub mod flood;
pub mod frames;
pub mod greedy;
pub mod hardship;
pub mod http;
pub mod link;
pub mod machine;
pub mod metrics;
pub mod netns;
pub mod noise;
mod object;
pub mod older;
pub mod pcap;
pub mod process;
pub mod prometheus;
pub mod python;
pub mod remains;
pub mod scheduling;
pub mod scratch;
pub mod servers;
pub mod stage;
mod stale;
pub mod terminal;

pub use netns::Namespace;
pub use scratch::Scratch;

#[cfg(test)]
mod tests;
