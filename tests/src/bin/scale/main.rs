//! `cargo xtask bench scale`: what a packet, memory and a change of the rules cost as there is more of
//! everything. Touches no interface.
//!
//! Rows are called by how many there are and nothing else, so that they can be drawn.

#![forbid(unsafe_code)]

mod listed;
mod services;
mod sources;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use guard::kernel::Tick;
use lab::bench::{
    Scale,
    curve::{self, Point},
    meter::Meter,
    report::{self, Recorder},
    table::{Table, count, mebibytes},
};

#[derive(Parser)]
#[command(
    name = "scale",
    about = "Measure what more of everything costs",
    version
)]
struct Flags {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only see that everything runs: the figures mean nothing
    #[arg(long, hide = true)]
    tiny: bool,
}

/// Every configuration has limits, so high that nobody reaches them.
const LIMITS: &str =
    "limits = { packets = \"1G/s\", connections = \"1G/s\", new_sources = \"1G/s\" }";

fn main() -> ExitCode {
    let flags = Flags::parse();
    let rounds = usize::from(flags.rounds);
    let scale = if flags.tiny {
        Scale::tiny(rounds)
    } else {
        Scale::full(rounds)
    };
    report::run("scale", flags.json.as_deref(), |recorder| {
        measure(&scale, recorder)
    })
}

fn measure(scale: &Scale, recorder: &mut Recorder) -> Result<()> {
    let tick = Tick::of_kernel();
    listed::measure(&listed::ADDRESSES, scale, tick, recorder)?;
    listed::measure(&listed::PREFIXES, scale, tick, recorder)?;
    sources::measure(scale, tick, recorder)?;
    services::measure(scale, tick, recorder)
}

/// How the costs of a table are measured.
fn method(scale: &Scale) -> String {
    format!(
        "{} rounds of {} test-runs of the real program, attached to nothing: thread CPU time, net of an \
         empty XDP program that has its turn before each. In each round every row and column has its \
         turn.",
        scale.rounds,
        count(scale.repeat as usize)
    )
}

/// Records what each packet costs each point, and its memory.
fn record(
    points: &mut [Point],
    costs: Table,
    memory: Table,
    scale: &Scale,
    recorder: &mut Recorder,
) -> Result<()> {
    for measured in curve::measure(points, &mut Meter::new(*scale)?)? {
        let samples = measured.cost.samples;
        costs.add(recorder, &measured.row, &measured.column, samples)?;
    }
    for point in points {
        let bytes = vec![mebibytes(point.loaded.map_bytes())];
        memory.add(recorder, &point.row, "all maps", bytes)?;
    }
    Ok(())
}
