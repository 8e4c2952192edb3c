//! Says what this machine has for building and testing guard, and what it lacks.

use std::{
    fs,
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::{
    statfs::{BPF_FS_MAGIC, statfs},
    utsname::uname,
};

use crate::{captures, debian, package, packages, python, toolchain::Survey, workspace};

/// What every kernel function that guard calls needs.
const OLDEST_KERNEL: (u32, u32) = (5, 18);
const BPFFS: &str = "/sys/fs/bpf";

/// Prints a line for each check; fails when one does.
pub(crate) fn run() -> ExitCode {
    let checks = [
        ("eBPF compiler", compiler()),
        ("programs", programs()),
        ("python", python::check()),
        ("captures", captures()),
        ("packaging", packaging()),
        ("root", root()),
        ("kernel", kernel()),
        ("bpffs", bpffs()),
        ("namespaces", namespaces()),
    ];
    for (name, outcome) in &checks {
        match outcome {
            Ok(found) => say!("ok       {name:<14} {found}"),
            Err(remedy) => say!("MISSING  {name:<14} {remedy:#}"),
        }
    }
    if checks.iter().all(|(_, outcome)| outcome.is_ok()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn compiler() -> Result<String> {
    let compiler = Survey::of_machine(workspace::root())?.compiler()?;
    Ok(format!("{}, {}", compiler.toolchain, compiler.linker))
}

fn programs() -> Result<String> {
    let (found, missing): (Vec<&str>, Vec<&str>) = packages::TOOLS
        .iter()
        .map(|tool| tool.program)
        .partition(|program| packages::has_program(program));
    ensure!(
        missing.is_empty(),
        "{}: run `cargo xtask setup`, which installs them",
        missing.join(", ")
    );
    Ok(found.join(", "))
}

fn captures() -> Result<String> {
    ensure!(
        captures::are_there(),
        "the tests want them: run `cargo xtask setup`, which fetches them"
    );
    Ok(captures::folder().display().to_string())
}

fn packaging() -> Result<String> {
    let missing: Vec<_> = [
        ("cargo-deb", package::is_there()),
        ("a small Debian", debian::folder().is_dir()),
    ]
    .into_iter()
    .filter_map(|(what, is_there)| (!is_there).then_some(what))
    .collect();
    ensure!(
        missing.is_empty(),
        "{}: run `cargo xtask setup`, which fetches what the tests of the package want",
        missing.join(", ")
    );
    Ok("cargo-deb, a small Debian".to_owned())
}

fn root() -> Result<String> {
    ensure!(
        workspace::is_root(),
        "the demo and the tests need it: run them as root"
    );
    Ok("yes".to_owned())
}

fn kernel() -> Result<String> {
    let (major, minor) = OLDEST_KERNEL;
    let name = uname().context("the kernel does not tell its version")?;
    let release = name.release().to_string_lossy();
    ensure!(
        version_of(&release).is_some_and(|version| version >= OLDEST_KERNEL),
        "{release} is too old: boot Linux {major}.{minor} or newer"
    );
    Ok(release.into_owned())
}

fn version_of(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn bpffs() -> Result<String> {
    let known = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    ensure!(
        known.lines().any(|line| line.ends_with("\tbpf")),
        "the kernel does not have it: boot one built with CONFIG_BPF_SYSCALL"
    );
    let mounted = statfs(BPFFS).map(|fs| fs.filesystem_type()) == Ok(BPF_FS_MAGIC);
    Ok(if mounted {
        format!("mounted at {BPFFS}")
    } else {
        "known to the kernel, mounted where it is needed".to_owned()
    })
}

fn namespaces() -> Result<String> {
    let outcome = Command::new("unshare")
        .args(["--net", "--mount", "true"])
        .stderr(Stdio::null())
        .status()
        .map_err(|_| anyhow!("no program unshare: install util-linux"))?;
    ensure!(
        outcome.success(),
        "none can be made: run as root, in a container with CAP_SYS_ADMIN"
    );
    Ok("can be made".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_versions_are_compared_by_number() {
        assert_eq!(version_of("6.18.44-cloud"), Some((6, 18)));
        assert_eq!(version_of("5.9.0"), Some((5, 9)));
        assert!(version_of("5.9.0") < Some(OLDEST_KERNEL));
        assert_eq!(version_of("unknown"), None);
    }
}
