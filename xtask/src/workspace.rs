//! Where things are, and how to run cargo on them.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
};

use anyhow::{Context as _, Result, ensure};

/// A profile of cargo.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    /// `dev`, which xtask itself is built with.
    Debug,
    /// `release`.
    Release,
}

/// The folder of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Where cargo puts the binary `name` of this workspace.
///
/// Seen from xtask's own place, which follows `CARGO_TARGET_DIR` and every configuration file.
pub(crate) fn binary(profile: Profile, name: &str) -> Result<PathBuf> {
    let xtask = env::current_exe().context("cannot tell where xtask runs from")?;
    let debug = xtask.parent().context("xtask runs from no folder")?;
    Ok(match profile {
        Profile::Debug => debug.join(name),
        Profile::Release => debug.with_file_name("release").join(name),
    })
}

/// The cargo that runs xtask, in the workspace.
pub(crate) fn cargo() -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut cargo = Command::new(program);
    cargo.current_dir(root());
    // `cargo run` describes xtask in these; build scripts that watch them would run again.
    let described =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(described) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Runs `command` with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    ensure!(
        status.success(),
        "`{}` failed ({status}): what it said is above",
        shown(command)
    );
    Ok(())
}

/// Runs `command` with its output shown, for how it ends.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command
        .status()
        .with_context(|| format!("cannot start `{}`", shown(command)))
}

/// The exit code to pass on: 1 for a process that a signal ended.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The command line of `command`, with its program's name alone.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// Whether xtask runs as root.
pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Refuses to go on without root, which `task` needs for what it `does`.
pub(crate) fn demand_root(task: &str, does: &str) -> Result<()> {
    ensure!(is_root(), "`cargo xtask {task}` {does}: run it as root");
    Ok(())
}
