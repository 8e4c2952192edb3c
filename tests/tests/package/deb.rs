//! The package, made by `cargo xtask package`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use lab::{Scratch, agent};

use crate::system::lossy;

/// Packs the guard under test, compressed little, as this version.
pub(crate) fn of_version(version: &str, folder: &Scratch) -> Result<PathBuf> {
    let file = folder.join(&format!("guard_{version}.deb"));
    let binary = agent::binary()?;
    let mut xtask = xtask()?;
    xtask.args(["package", "--fast", "--deb-version", version]);
    xtask.arg("--binary").arg(&binary);
    run(xtask.arg("--output").arg(&file))?;
    ensure!(file.is_file(), "xtask made no {}", file.display());
    Ok(file)
}

/// `cargo xtask`, already built beside guard: a test does not build.
pub(crate) fn xtask() -> Result<Command> {
    let xtask = agent::binary()?.with_file_name("xtask");
    ensure!(
        xtask.is_file(),
        "no {}: build it by `cargo build --package xtask`",
        xtask.display()
    );
    let mut command = Command::new(xtask);
    agent::without_settings(&mut command);
    Ok(command)
}

/// Runs a command, which has to succeed, and returns what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().context("cannot run a command")?;
    let (printed, said) = (lossy(&stdout), lossy(&stderr));
    ensure!(status.success(), "{command:?} ({status}):\n{printed}{said}");
    Ok(printed)
}

/// What Debian's own check says against the package: errors and warnings, a line each.
pub(crate) fn complaints(package: &Path) -> Result<Vec<String>> {
    let mut lintian = Command::new("lintian");
    lintian
        .args(["--fail-on=none", "--tag-display-limit=0"])
        .arg(package);
    let printed = run(&mut lintian)?;
    let tags = printed.lines().filter(|line| line.starts_with(['E', 'W']));
    Ok(tags.map(str::to_owned).collect())
}

#[test]
fn lintian_finds_nothing_wrong_with_the_package() -> Result<()> {
    let folder = Scratch::new()?;
    let package = of_version("0.1.0", &folder)?;
    assert_eq!(complaints(&package)?, [""; 0]);
    Ok(())
}

/// What is shipped is the release build: it has to pack as well, and under the workspace's version.
#[test]
#[ignore = "builds for release: `cargo xtask test --full`"]
fn the_release_build_is_packaged_and_lintian_finds_nothing_wrong() -> Result<()> {
    let folder = Scratch::new()?;
    let package = folder.join("guard.deb");
    run(xtask()?.args(["package", "--output"]).arg(&package))?;
    assert_eq!(complaints(&package)?, [""; 0]);
    let mut field = Command::new("dpkg-deb");
    let version = run(field.arg("--field").arg(&package).arg("Version"))?;
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    Ok(())
}
