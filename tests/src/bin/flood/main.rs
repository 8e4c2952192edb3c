//! `cargo xtask bench flood`: what guard and its peers do under a flood: packets they get rid of, what
//! each costs the receiver and where that time goes, and what is left of a web server meanwhile.
//!
//! Works in namespaces and folders of its own.

#![forbid(unsafe_code)]

mod arena;
mod drops;
mod goodput;
mod groups;
mod load;
mod peers;
mod perf;
mod profile;
mod sources;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use lab::bench::report;

use self::arena::Arena;

/// Measure guard and its peers under floods (needs root)
#[derive(Parser)]
#[command(name = "flood", about, version)]
struct Flags {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    rounds: u16,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only see that everything runs: the figures mean nothing
    #[arg(long, hide = true)]
    tiny: bool,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
struct Scale {
    rounds: u16,
    /// How long a flood is looked at.
    probe: Duration,
    /// How long what receives is profiled.
    profile: Duration,
    /// How long a server is asked.
    seconds: Duration,
    /// Rates of a flood from one source, in packets a second.
    rates_of_one: &'static [u64],
    /// Rates of every other flood.
    rates: &'static [u64],
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let scale = if flags.tiny {
        Scale {
            rounds: 1,
            probe: Duration::from_millis(50),
            profile: Duration::from_millis(200),
            seconds: Duration::from_secs(1),
            rates_of_one: &[20_000],
            rates: &[],
        }
    } else {
        Scale {
            rounds: flags.rounds,
            probe: Duration::from_millis(300),
            profile: Duration::from_secs(1),
            seconds: Duration::from_secs(3),
            rates_of_one: &[250_000, 500_000, 1_000_000, 2_000_000],
            rates: &[500_000, 1_000_000],
        }
    };
    report::run("flood", flags.json.as_deref(), |recorder| {
        // Before minutes of work, not after them.
        perf::demand()?;
        let arena = Arena::new()?;
        drops::measure(&arena, scale, recorder)?;
        profile::measure(&arena, scale, recorder)?;
        goodput::measure(&arena, scale, recorder)
    })
}
