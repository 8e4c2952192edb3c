//! `guard top`.

use std::process::ExitCode;

use guard::{
    cli::TopFlags,
    top::{self, TopError},
};

use super::{
    AGENT_FAILED, BAD_CONFIGURATION, START_FAILED,
    ask::{answer, no_answer},
    output::failure,
};

pub(crate) async fn top(flags: &TopFlags) -> ExitCode {
    if flags.once {
        return answer(top::once(flags).await, flags.output, top::render);
    }
    match top::live(flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(TopError::Client(error)) => no_answer(&error, AGENT_FAILED),
        Err(error @ TopError::NoTerminal) => failure(BAD_CONFIGURATION, &error.to_string()),
        Err(error @ TopError::Terminal(_)) => failure(START_FAILED, &error.to_string()),
    }
}
