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
}

/// Settings of `bench micro`.
#[derive(Args)]
pub(crate) struct Micro {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Returns only when the benchmark could not be started.
pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Micro(micro) => micro.run(),
    }
}

impl Micro {
    fn run(&self) -> Result<ExitCode> {
        workspace::demand_root("bench micro", "loads eBPF programs")?;
        setup::for_build()?;
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--release", "--package", "guard-tests"]);
        cargo.args(["--bin", "micro"]);
        workspace::run(&mut cargo)?;

        let program = workspace::binary(Profile::Release, "micro")?;
        let mut micro = Command::new(&program);
        micro.arg("--rounds").arg(self.rounds.to_string());
        if let Some(file) = &self.json {
            micro.arg("--json").arg(file);
        }
        // In place of xtask, so that Ctrl-C and the exit code are the benchmark's own.
        let error = micro.exec();
        Err(anyhow!("cannot start {}: {error}", program.display()))
    }
}
