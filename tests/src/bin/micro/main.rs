//! `cargo xtask bench micro`: what guard costs and how exact its limits are. Touches no interface but
//! some of its own, for xdp-filter.
//!
//! Every figure is printed as soon as it is there; `--json` writes all of them once more.

#![forbid(unsafe_code)]

mod feed;
mod limits;
mod memory;
mod packets;
mod stages;

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Parser;
use guard::kernel::Tick;
use lab::bench::{
    Scale,
    lists::Lists,
    report::{self, Recorder},
};

#[derive(Parser)]
#[command(name = "micro", about = "Measure what guard costs", version)]
struct Flags {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only see that everything runs: the figures mean nothing
    #[arg(long, hide = true)]
    tiny: bool,
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    let rounds = usize::from(flags.rounds);
    let scale = if flags.tiny {
        Scale::tiny(rounds)
    } else {
        Scale::full(rounds)
    };
    report::run("micro", flags.json.as_deref(), |recorder| {
        measure(&scale, recorder)
    })
}

fn measure(scale: &Scale, recorder: &mut Recorder) -> Result<()> {
    let tick = Tick::of_kernel();
    let lists = Lists::new(scale.addresses, scale.prefixes)?;
    packets::measure(scale, &lists, tick, recorder)?;
    stages::measure(scale, &lists, tick, recorder)?;
    memory::measure(scale, &lists, tick, recorder)?;
    feed::measure(scale, &lists, tick, recorder)?;
    limits::overruns(scale, tick, recorder)?;
    limits::crowd(scale, recorder)
}
