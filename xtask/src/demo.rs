//! Builds and starts the demo, a binary of the crate `guard-tests`.

use std::{
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::{Result, anyhow};

use crate::{
    setup,
    workspace::{self, Profile},
};

/// Returns only when the demo could not be started.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    workspace::demand_root("demo", "makes network namespaces and loads eBPF programs")?;
    setup::for_tests()?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--bins"]);
    cargo.args(["--package", "guard-userspace", "--package", "guard-tests"]);
    workspace::run(&mut cargo)?;

    let demo = workspace::binary(Profile::Release, "demo")?;
    // In place of xtask, so that Ctrl-C and the exit code are the demo's own.
    let error = Command::new(&demo)
        .args(args)
        .env("GUARD_BIN", workspace::binary(Profile::Release, "guard")?)
        .current_dir(workspace::root())
        .exec();
    Err(anyhow!("cannot start {}: {error}", demo.display()))
}
