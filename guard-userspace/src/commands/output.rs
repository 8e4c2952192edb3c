//! What a command prints.

use std::{
    io::{ErrorKind, Write as _, stderr, stdout},
    process::ExitCode,
};

use guard::printable;
use serde::Serialize;

use super::START_FAILED;

/// One sentence on standard error that says what to do. Much of it may be what was typed.
pub(crate) fn failure(code: u8, sentence: &str) -> ExitCode {
    say(&format!("guard: {}\n", printable::line(sentence)));
    ExitCode::from(code)
}

/// Several sentences, a line each, on standard error.
pub(crate) fn report(code: u8, lines: &str) -> ExitCode {
    say(&format!("guard: {}\n", printable::lines(lines)));
    ExitCode::from(code)
}

/// Writes to standard error, as it is. Where that is not possible, the exit code has to do.
pub(crate) fn say(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}

pub(crate) fn print_json<T: Serialize>(value: &T) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print_exactly(printable::json(&(text + "\n")).as_bytes()),
        Err(error) => failure(START_FAILED, &format!("cannot write JSON: {error}")),
    }
}

/// Answers people on standard output: a terminal obeys nothing in it.
pub(crate) fn print(text: &str) -> ExitCode {
    print_exactly(printable::lines(text).as_bytes())
}

/// Answers on standard output, with what is for programs. A reader that has read enough, such as
/// `head`, is no failure.
pub(crate) fn print_exactly(answer: &[u8]) -> ExitCode {
    let written = stdout().write_all(answer).and_then(|()| stdout().flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            failure(START_FAILED, &format!("cannot write the answer: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}
