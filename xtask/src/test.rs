//! Runs the tests.

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{
    captures, debian, package, python, setup,
    toolchain::probe::on_path,
    workspace::{self, Profile},
};

/// All but the eBPF crates, which have no tests of their own: they are tested through the kernel.
const SELECTION: &[&str] = &[
    "--workspace",
    "--exclude",
    "guard-ebpf",
    "--exclude",
    "flood-ebpf",
];

/// How many inputs each property is tried on in a full run, instead of the 256 of a quick one.
const FULL_CASES: &str = "10000";

/// Sets up, builds and tests; `full` adds the ignored tests and tries properties on more inputs,
/// `args` go to the runner.
///
/// The exit code is the runner's.
pub(crate) fn run(full: bool, args: &[String]) -> Result<ExitCode> {
    workspace::demand_root("test", "makes network namespaces and loads eBPF programs")?;
    if full {
        setup::for_full_tests()?;
    } else {
        setup::for_tests()?;
    }
    package::provide()?;
    python::install()?;
    captures::fetch()?;
    debian::fetch()?;
    // What the runner builds anyway, and the binaries, in one go.
    let mut build = workspace::cargo();
    build
        .arg("build")
        .args(SELECTION)
        .args(["--bins", "--tests"]);
    workspace::run(&mut build)?;

    let mut runner = runner(full, args);
    runner.env("GUARD_BIN", workspace::binary(Profile::Debug, "guard")?);
    if full {
        runner.env("PROPTEST_CASES", FULL_CASES);
    }
    let status = workspace::status(&mut runner)?;
    if !status.success() || !args.is_empty() || !is_nextest() {
        return Ok(workspace::exit_code(status));
    }
    // The examples in the documentation, which cargo-nextest leaves out.
    let mut doc = workspace::cargo();
    doc.args(["test", "--quiet", "--doc"]).args(SELECTION);
    workspace::status(&mut doc).map(workspace::exit_code)
}

fn runner(full: bool, args: &[String]) -> Command {
    let mut cargo = workspace::cargo();
    if is_nextest() {
        cargo
            .args(["nextest", "run", "--no-fail-fast"])
            .args(SELECTION);
        cargo.args(
            full.then_some(["--run-ignored", "all"])
                .into_iter()
                .flatten(),
        );
        cargo.args(args);
    } else {
        cargo
            .args(["test", "--no-fail-fast"])
            .args(SELECTION)
            .args(args);
        cargo.args(
            full.then_some(["--", "--include-ignored"])
                .into_iter()
                .flatten(),
        );
    }
    cargo
}

fn is_nextest() -> bool {
    !on_path("cargo-nextest").is_empty()
}
