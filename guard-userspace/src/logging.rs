//! The agent's log: one line an event on standard error, as text or as JSON.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging. `GUARD_LOG` sets what is logged, in the syntax of `RUST_LOG`; the default is
/// `info`. Call it once.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("GUARD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        // A log that nobody takes must not end the protection; saying so would panic.
        .log_internal_errors(false);
    match format {
        LogFormat::Text => log
            .with_ansi(stderr().is_terminal())
            .with_target(false)
            .init(),
        LogFormat::Json => log.json().flatten_event(true).with_target(false).init(),
    }
}
