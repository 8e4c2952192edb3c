//! Builds and runs the fuzzers of `fuzz/`, which need a nightly toolchain.

use std::{
    fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::{
    packages::{self, COMPILER_OF_CPP},
    progress, setup,
    toolchain::{self, probe},
    workspace,
};

const VERSION: &str = "0.13.2";

/// Settings of `fuzz`.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// The parser to fuzz; without one, each in turn
    target: Option<String>,
    /// How long each is fuzzed
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
}

/// The exit code is that of the first fuzzer that finds something.
pub(crate) fn run(fuzz: &Fuzz) -> Result<ExitCode> {
    let targets = chosen(targets()?, fuzz.target.as_deref())?;
    let nightly = nightly()?;
    setup::for_build()?;
    provide_compiler()?;
    provide_cargo_fuzz()?;
    // So that what is fuzzed is built of what the workspace is built of.
    let lock = workspace::root().join("fuzz/Cargo.lock");
    fs::copy(workspace::root().join("Cargo.lock"), &lock)
        .with_context(|| format!("cannot write {}", lock.display()))?;
    for target in &targets {
        say!("fuzzing {target} for {} s", fuzz.seconds);
        let status = workspace::status(&mut fuzzer(&nightly, target, fuzz.seconds)?)?;
        if !status.success() {
            say!(
                "{target}: the input is in target/fuzz/artifacts/{target}; mend the parser and keep \
                 the input in fuzz/corpus/{target}"
            );
            return Ok(workspace::exit_code(status));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The names of the fuzzers.
fn targets() -> Result<Vec<String>> {
    let folder = workspace::root().join("fuzz/fuzz_targets");
    let files =
        fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let names = files
        .flatten()
        .filter_map(|file| file.file_name().into_string().ok());
    let mut names: Vec<_> = names
        .filter_map(|name| name.strip_suffix(".rs").map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

fn chosen(targets: Vec<String>, wanted: Option<&str>) -> Result<Vec<String>> {
    let Some(wanted) = wanted else {
        return Ok(targets);
    };
    ensure!(
        targets.iter().any(|target| target == wanted),
        "there is no fuzz target {wanted}: they are {}",
        targets.join(", ")
    );
    Ok(vec![wanted.to_owned()])
}

/// The nightly toolchain to build with: the undated one, else the newest.
fn nightly() -> Result<String> {
    let hint = "the kept inputs run in `cargo xtask test` without a fuzzer";
    ensure!(
        !probe::on_path("rustup").is_empty(),
        "fuzzers are built by a nightly toolchain, which rustup manages, and there is no rustup on \
         this machine: install it from your distribution or its home page; {hint}"
    );
    let answer = Command::new("rustup").args(["toolchain", "list"]).output();
    let answer = answer.context("cannot run rustup")?.stdout;
    let answer = String::from_utf8_lossy(&answer);
    let names = answer
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    let Some(nightly) = probe::nightlies_by_preference(names.map(str::to_owned))
        .into_iter()
        .next()
    else {
        bail!(
            "no nightly toolchain on this machine: run `rustup toolchain install nightly`; {hint}"
        );
    };
    Ok(nightly)
}

/// libFuzzer is written in C++.
fn provide_compiler() -> Result<()> {
    if packages::has_program("c++") {
        return Ok(());
    }
    packages::install(&[COMPILER_OF_CPP])
}

fn cargo_fuzz() -> PathBuf {
    toolchain::tools_dir(workspace::root()).join("bin/cargo-fuzz")
}

fn provide_cargo_fuzz() -> Result<()> {
    if cargo_fuzz().is_file() {
        return Ok(());
    }
    let tools = toolchain::tools_dir(workspace::root());
    say!("building cargo-fuzz {VERSION} into {}", tools.display());
    let mut cargo = workspace::cargo();
    cargo.args([
        "install",
        &format!("cargo-fuzz@{VERSION}"),
        "--locked",
        "--root",
    ]);
    progress::run("cargo-fuzz", cargo.arg(tools))
}

/// The command that fuzzes `target`: what it finds goes below `target/fuzz`, the kept corpus is only
/// read.
fn fuzzer(nightly: &str, target: &str, seconds: u32) -> Result<Command> {
    let root = workspace::root();
    let found = root.join("target/fuzz/corpus").join(target);
    let artifacts = root.join("target/fuzz/artifacts").join(target);
    for folder in [&found, &artifacts] {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let mut fuzzer = Command::new("rustup");
    fuzzer.args(["run", nightly]).arg(cargo_fuzz()).arg("run");
    fuzzer.arg("--fuzz-dir").arg(root.join("fuzz"));
    fuzzer
        .arg("--target-dir")
        .arg(root.join("target/fuzz/build"));
    fuzzer
        .arg(target)
        .arg(found)
        .arg(root.join("fuzz/corpus").join(target));
    fuzzer.arg("--").arg(format!("-max_total_time={seconds}"));
    fuzzer.arg(format!("-artifact_prefix={}/", artifacts.display()));
    // An input that takes ten seconds is a finding too.
    fuzzer.args(["-timeout=10", "-print_final_stats=1"]);
    // Those of the toolchain that runs xtask, which cargo sets.
    for variable in ["CARGO", "RUSTC", "RUSTUP_TOOLCHAIN"] {
        fuzzer.env_remove(variable);
    }
    fuzzer.current_dir(root);
    Ok(fuzzer)
}
