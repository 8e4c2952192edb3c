//! What a command prints.

use std::{
    io::{ErrorKind, Write as _, stderr, stdout},
    process::ExitCode,
};

use serde::Serialize;

use super::START_FAILED;

/// One sentence on standard error that says what to do.
pub(crate) fn failure(code: u8, sentence: &str) -> ExitCode {
    say(&format!("guard: {sentence}\n"));
    ExitCode::from(code)
}

/// Writes to standard error. Where that is not possible, the exit code has to do.
pub(crate) fn say(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}

pub(crate) fn print_json<T: Serialize>(value: &T) -> ExitCode {
    match serde_json::to_string_pretty(value) {
        Ok(text) => print(&(text + "\n")),
        Err(error) => failure(START_FAILED, &format!("cannot write JSON: {error}")),
    }
}

/// Answers on standard output. A reader that has read enough, such as `head`, is no failure.
pub(crate) fn print(text: &str) -> ExitCode {
    let written = stdout()
        .write_all(text.as_bytes())
        .and_then(|()| stdout().flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            failure(START_FAILED, &format!("cannot write the answer: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}
