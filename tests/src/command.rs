//! Running the tools of the system, with an error that says which one failed and what it said.

use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, bail};

/// Runs a command line split at white space, as root's `ip`, `ethtool` or `chrt`, and returns what
/// it printed.
///
/// Arguments that may contain white space belong in a [`Command`] for [`output`].
pub fn run(line: &str) -> Result<String> {
    let mut words = line.split_whitespace();
    let program = words.next().context("an empty command line")?;
    let mut command = Command::new(program);
    command.args(words);
    output(&mut command)
}

/// Runs a command to its end and returns what it printed; not zero is an error.
pub fn output(command: &mut Command) -> Result<String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run `{}`", line_of(command)))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!("`{}` failed ({status}): {}", line_of(command), said.trim());
    }
    String::from_utf8(stdout).with_context(|| format!("what `{}` printed", line_of(command)))
}

/// The command as one would type it.
pub(crate) fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_what_was_printed() {
        assert_eq!(run("echo a  b").expect("echo"), "a b\n");
    }

    #[test]
    fn names_the_command_and_what_it_said() {
        let error = run("ls /nowhere/at/all")
            .expect_err("no such folder")
            .to_string();
        assert!(error.starts_with("`ls /nowhere/at/all` failed"), "{error}");
        assert!(error.contains("No such file"), "{error}");
    }

    #[test]
    fn names_a_program_that_is_missing() {
        let error = run("no-such-program x")
            .expect_err("no such program")
            .to_string();
        assert_eq!(error, "cannot run `no-such-program x`");
    }
}
