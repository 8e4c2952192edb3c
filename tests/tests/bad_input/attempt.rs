//! A start that is to fail, and what came of it.

use std::{
    fs::File,
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result};
use lab::{
    Namespace,
    agent::{self, Folder},
};

/// What the contract's exit codes say.
pub(crate) const START_FAILED: i32 = 1;
pub(crate) const BAD_CONFIGURATION: i32 = 2;
pub(crate) const NO_AGENT: i32 = 3;

/// The id of a user who may nothing.
pub(crate) const NOBODY: u32 = 65_534;

/// How a command of `guard` ended.
pub(crate) struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs it, for 20 s at most: one that starts although it should not is stopped.
pub(crate) fn end_of(command: &mut Command) -> Result<Ended> {
    agent::without_settings(command);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().context("cannot run guard")?;
    Ok(Ended {
        code: status.code(),
        stdout: String::from_utf8(stdout)?,
        stderr: String::from_utf8(stderr)?,
    })
}

/// `guard run` in the namespace with these flags and no others.
pub(crate) fn bare_run(namespace: &Namespace, flags: &[&str]) -> Result<Command> {
    let mut command = namespace.command("timeout");
    command.args(["--kill-after=5", "20"]).arg(agent::binary()?);
    command.arg("run").args(flags);
    Ok(command)
}

/// Where an agent is told to put what it makes.
pub(crate) struct Places {
    pub(crate) socket: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) bpffs: PathBuf,
}

impl Places {
    /// All in one folder.
    pub(crate) fn of(folder: &Folder) -> Self {
        Self {
            socket: folder.socket(),
            state: folder.state(),
            bpffs: folder.bpffs().to_owned(),
        }
    }

    /// Adds the flags that say so.
    pub(crate) fn tell(&self, command: &mut Command) {
        command.arg("--socket").arg(&self.socket);
        command.arg("--state-dir").arg(&self.state);
        command.arg("--bpffs").arg(&self.bpffs);
    }
}

/// `guard run` in the namespace, in a folder of its own, with these further flags.
pub(crate) fn run(namespace: &Namespace, folder: &Folder, flags: &[&str]) -> Result<Ended> {
    run_at(namespace, &Places::of(folder), flags)
}

/// `guard run` in the namespace and at these places, with these further flags.
pub(crate) fn run_at(namespace: &Namespace, places: &Places, flags: &[&str]) -> Result<Ended> {
    let mut command = bare_run(namespace, flags)?;
    places.tell(&mut command);
    if !flags.contains(&"--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    end_of(&mut command)
}

/// `guard` with these words, without namespace and privilege.
pub(crate) fn unprivileged(words: &[&str]) -> Result<Ended> {
    let binary = File::open(agent::binary()?)?;
    // Its folder may be closed to others: opened by us, it is not looked up there.
    let mut command = Command::new(Path::new("/proc/self/fd").join(binary.as_raw_fd().to_string()));
    command.args(words);
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    end_of(&mut command)
}

impl Ended {
    /// Ended with this code, without a panic, and with each of these words in what it complained.
    pub(crate) fn assert(&self, code: i32, words: &[&str]) {
        let Self { stdout, stderr, .. } = self;
        assert_eq!(self.code, Some(code), "{stderr}{stdout}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        for words in words {
            assert!(stderr.contains(words), "no `{words}` in: {stderr}");
        }
        assert_eq!(stdout, "", "complaints belong on standard error");
    }

    /// The same, and all it complained is one sentence on a line of its own.
    pub(crate) fn assert_sentence(&self, code: i32, words: &[&str]) {
        self.assert(code, words);
        let complaints: Vec<_> = self.complaints().collect();
        assert_eq!(complaints.len(), 1, "not one sentence: {}", self.stderr);
        let sentence = complaints[0];
        assert!(sentence.starts_with("guard: "), "{sentence}");
        assert!(sentence.len() < 400, "too long for a sentence: {sentence}");
    }

    /// Its lines on standard error but for the log's, which begin with the time.
    fn complaints(&self) -> impl Iterator<Item = &str> {
        let is_log = |line: &str| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
        self.stderr.lines().filter(move |line| !is_log(line))
    }
}
