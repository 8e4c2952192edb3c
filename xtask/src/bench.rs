//! Builds and starts the benchmarks, binaries of the crate `guard-tests`.

use std::{
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Result, anyhow};
use clap::{Args, Subcommand};

use crate::{
    setup,
    workspace::{self, Profile},
};

/// What can be measured.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// The packet path by test-runs: nanoseconds a packet, memory, loading, exactness of limits
    Micro(Micro),
    /// What a packet, memory and a change of the rules cost as there is more of everything
    Scale(Scale),
    /// A real server: requests a second with the check of encryption on and off, in two namespaces
    Serving(Serving),
    /// The agent itself: time to protect, reload and answer, memory, processor time while it idles
    Agent(Agent),
}

/// Settings of `bench micro`.
#[derive(Args)]
pub(crate) struct Micro {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Settings of `bench scale`.
#[derive(Args)]
pub(crate) struct Scale {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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

/// Settings of `bench agent`.
#[derive(Args)]
pub(crate) struct Agent {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Seconds of each look at processor time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Returns only when the benchmark could not be started.
pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Micro(micro) => micro.run(),
        Bench::Scale(scale) => scale.run(),
        Bench::Serving(serving) => serving.run(),
        Bench::Agent(agent) => agent.run(),
    }
}

impl Micro {
    fn run(&self) -> Result<ExitCode> {
        workspace::demand_root("bench micro", "loads eBPF programs")?;
        setup::for_build()?;
        let mut micro = built("micro", &[])?;
        micro.arg("--rounds").arg(self.rounds.to_string());
        if let Some(file) = &self.json {
            micro.arg("--json").arg(file);
        }
        replace_by(&mut micro)
    }
}

impl Scale {
    fn run(&self) -> Result<ExitCode> {
        workspace::demand_root("bench scale", "loads eBPF programs")?;
        setup::for_build()?;
        let mut scale = built("scale", &[])?;
        scale.arg("--rounds").arg(self.rounds.to_string());
        if let Some(file) = &self.json {
            scale.arg("--json").arg(file);
        }
        replace_by(&mut scale)
    }
}

impl Serving {
    fn run(&self) -> Result<ExitCode> {
        workspace::demand_root(
            "bench serving",
            "makes network namespaces and loads eBPF programs",
        )?;
        setup::for_tests()?;
        let mut serving = built("serving", &["guard"])?;
        serving.env("GUARD_BIN", workspace::binary(Profile::Release, "guard")?);
        serving.args(["--pairs", &self.pairs.to_string()]);
        serving.args(["--seconds", &self.seconds.to_string()]);
        replace_by(&mut serving)
    }
}

impl Agent {
    fn run(&self) -> Result<ExitCode> {
        workspace::demand_root(
            "bench agent",
            "makes network namespaces and loads eBPF programs",
        )?;
        setup::for_tests()?;
        let mut agent = built("agent", &["guard"])?;
        agent.env("GUARD_BIN", workspace::binary(Profile::Release, "guard")?);
        agent.args(["--rounds", &self.rounds.to_string()]);
        agent.args(["--seconds", &self.seconds.to_string()]);
        if let Some(file) = &self.json {
            agent.arg("--json").arg(file);
        }
        replace_by(&mut agent)
    }
}

/// Builds the benchmark, and `others` it needs, for release.
fn built(benchmark: &str, others: &[&str]) -> Result<Command> {
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release"]);
    cargo.args(["--package", "guard-userspace", "--package", "guard-tests"]);
    for program in [&[benchmark], others].concat() {
        cargo.args(["--bin", program]);
    }
    workspace::run(&mut cargo)?;
    let program = workspace::binary(Profile::Release, benchmark)?;
    Ok(Command::new(program))
}

/// In place of xtask, so that Ctrl-C and the exit code are the benchmark's own.
fn replace_by(benchmark: &mut Command) -> Result<ExitCode> {
    let error = benchmark.exec();
    let program = benchmark.get_program().to_string_lossy();
    Err(anyhow!("cannot start {program}: {error}"))
}
