//! Builds and starts the benchmarks, binaries of the crate `guard-tests`.

mod stored;

use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{
    setup,
    workspace::{self, Profile},
};
use stored::{Agent, All, Stored};

/// What can be measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The packet path by test-runs: nanoseconds a packet, memory, loading, exactness of limits
    Micro(Stored),
    /// A real server: requests a second with the check of encryption on and off, in two namespaces
    Serving(Serving),
    /// Floods against guard and its peers: packets dealt with, and what is left of a real server
    Flood(Stored),
    /// What a packet, memory and a change of the rules cost as there is more of everything
    Scale(Stored),
    /// The agent itself: time to protect, reload and answer, memory, processor time while it idles
    Agent(Agent),
    /// Micro, flood, scale and agent, one after the other
    All(All),
}

/// Settings of `bench serving`.
#[derive(Args)]
pub(crate) struct Serving {
    /// Runs of each kind with the check on, and as many with it off
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pairs: u16,
    /// Seconds of each run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
}

/// The exit code is the benchmark's own, of several the first that failed.
pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Micro(micro) => micro.run("micro"),
        Bench::Serving(serving) => serving.run(),
        Bench::Flood(flood) => flood.run("flood"),
        Bench::Scale(scale) => scale.run("scale"),
        Bench::Agent(agent) => agent.run(),
        Bench::All(all) => all.run(),
    }
}

impl Serving {
    fn run(&self) -> Result<ExitCode> {
        workspace::demand_root(
            "bench serving",
            "makes network namespaces and loads eBPF programs",
        )?;
        setup::for_tests()?;
        build(&["serving", "guard"])?;
        let mut serving = program("serving")?;
        serving.args(["--pairs", &self.pairs.to_string()]);
        serving.args(["--seconds", &self.seconds.to_string()]);
        workspace::status(&mut serving).map(workspace::exit_code)
    }
}

/// Builds these programs for release.
fn build(programs: &[&str]) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release"]);
    cargo.args(["--package", "guard-userspace", "--package", "guard-tests"]);
    for program in programs {
        cargo.args(["--bin", program]);
    }
    workspace::run(&mut cargo)
}

/// One that was built, told where the agent is.
///
/// It runs beside xtask, in the foreground: Ctrl-C reaches both.
fn program(name: &str) -> Result<Command> {
    let mut program = Command::new(workspace::binary(Profile::Release, name)?);
    program.env("GUARD_BIN", workspace::binary(Profile::Release, "guard")?);
    Ok(program)
}
