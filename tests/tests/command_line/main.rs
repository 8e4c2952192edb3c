//! The commands that need no agent, and where settings come from.

#![forbid(unsafe_code)]

mod check;
mod doctor;
mod layers;
mod pages;
mod replay;
mod status;
mod top;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use lab::agent;

/// How a command ended, and what it wrote.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn end_of(command: &mut Command) -> Result<Ended> {
    let output = command.output().context("cannot run guard")?;
    Ok(Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

fn guard(words: &[&str]) -> Result<Ended> {
    end_of(&mut agent::command(words)?)
}

#[test]
fn help_and_version_answer_on_standard_output() -> Result<()> {
    for words in [
        &["--help"][..],
        &["help"],
        &["run", "--help"],
        &["help", "doctor"],
    ] {
        let help = guard(words)?;
        assert_eq!((help.code, &*help.stderr), (Some(0), ""), "{words:?}");
        assert!(help.stdout.contains("Usage: guard"), "{}", help.stdout);
    }
    let version = guard(&["--version"])?;
    let expected = format!("guard {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((version.code, version.stdout), (Some(0), expected));
    Ok(())
}

#[test]
fn no_command_at_all_is_answered_with_those_there_are() -> Result<()> {
    let nothing = guard(&[])?;
    assert_eq!((nothing.code, &*nothing.stdout), (Some(2), ""));
    for command in ["run", "check", "status", "doctor"] {
        assert!(nothing.stderr.contains(command), "{}", nothing.stderr);
    }
    Ok(())
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() -> Result<()> {
    for words in [
        &["check", "--output", "json"][..],
        &["check"],
        &["doctor"],
        &["--help"],
    ] {
        let mut command = agent::command(words)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        drop(child.stdout.take());
        let output = child.wait_with_output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{words:?}");
    }
    Ok(())
}
