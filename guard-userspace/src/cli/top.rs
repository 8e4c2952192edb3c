//! The flags of `guard top`.

use std::time::Duration;

use clap::Args;

use super::flags::{AgentFlags, OutputFormat};
use crate::config::units;

/// Flags of `guard top`.
#[derive(Args, Clone, Debug)]
pub struct TopFlags {
    /// Where the agent listens
    #[command(flatten)]
    pub agent: AgentFlags,

    /// Print one picture, from two looks an interval apart, instead of a live view
    #[arg(long)]
    pub once: bool,

    /// How to print it
    #[arg(
        long,
        short,
        value_name = "FORMAT",
        default_value = "table",
        requires = "once"
    )]
    pub output: OutputFormat,

    /// Between two looks, 200ms to 1m
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = units::look_interval)]
    pub interval: Duration,
}
