//! `cargo xtask bench agent`: what the agent itself takes: time to protect, to reload and to answer,
//! memory, and processor time while it idles and while events are at their cap.
//!
//! Works in namespaces and folders of its own. `--json` writes every figure once more.

#![forbid(unsafe_code)]

mod idle;
mod subject;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser;
use lab::bench::{
    report::{self, Recorder},
    table::count,
};

use self::subject::{Bench, Lists};

/// Measure what the agent takes (needs root)
#[derive(Parser)]
#[command(name = "agent", about, version)]
struct Flags {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Seconds of each look at processor time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,
    /// Addresses of each family on the long lists; a tenth as many prefixes
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    addresses: u32,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only see that everything runs: the figures mean nothing
    #[arg(long, hide = true)]
    tiny: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let (seconds, addresses) = if flags.tiny {
        (1, 1_000)
    } else {
        (flags.seconds, flags.addresses)
    };
    report::run("agent", flags.json.as_deref(), |recorder| {
        measure(flags.rounds, seconds, addresses, recorder)
    })
}

fn measure(rounds: u16, seconds: u16, addresses: u32, recorder: &mut Recorder) -> Result<()> {
    methods(rounds, seconds, addresses, recorder);
    let (rounds, addresses) = (usize::from(rounds), addresses as usize);
    let bench = Bench::new()?;
    for lists in [Lists::None, Lists::Long(addresses)] {
        bench.starts(lists, rounds, recorder)?;
        bench.answers(lists, rounds, recorder)?;
    }
    bench.imports(addresses, rounds, recorder)?;
    idle::measure(&bench, Duration::from_secs(seconds.into()), recorder)
}

fn methods(rounds: u16, seconds: u16, addresses: u32, recorder: &mut Recorder) {
    let lists = format!(
        "The long lists are a feed of {} addresses and {} prefixes of each family, from a fixed seed.",
        count(addresses as usize),
        count(addresses as usize / 10)
    );
    recorder.method(
        "Starting",
        format!(
            "The agent itself, in a namespace of its own, {rounds} times: from its start until it is \
             attached, as it says, and until it is ready, as one sees who waits for it; and from the \
             signal to end until the next one, on what the first left, is ready. {lists}"
        ),
    );
    recorder.method(
        "Answering",
        format!(
            "From the start of a command until its end, {rounds} times; a scrape is a request of all \
             metrics. {lists}"
        ),
    );
    recorder.method(
        "Memory",
        "Of the agent's process, without maps of the kernel.",
    );
    recorder.method(
        "Processor time",
        format!(
            "Of the agent's process, utime and stime, in percent of a core over {seconds} s: once with \
             nothing to do, and once with more refused packets and requests in clear than it tells of."
        ),
    );
}
