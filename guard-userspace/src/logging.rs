//! The agent's log: one line an event on standard error, as text or as JSON.
//!
//! A thread of its own writes it. Whoever reads the log may be slow, stand still or be gone: what
//! does not fit in the queue meanwhile is left out and counted, and the agent goes on.

use std::io::{IsTerminal as _, stderr};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::{cli::LogFormat, privileges};

/// Lines that wait for a slow reader, at most.
const QUEUE: usize = 4096;

/// The running log. Dropping it writes out what is left, for a second at most.
#[derive(Debug)]
pub struct Log {
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl Log {
    /// Starts logging. `GUARD_LOG` sets what is logged, in the syntax of `RUST_LOG`; the default
    /// is `info`. Call it once.
    #[must_use]
    pub fn start(format: LogFormat) -> Self {
        let builder = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(QUEUE)
            .thread_name("guard-log");
        // It starts before the agent gives up what it no longer needs, and needs none of it.
        let (queue, writer) = privileges::unprivileged(|| builder.finish(stderr()));
        let dropped = queue.error_counter();
        let filter =
            EnvFilter::try_from_env("GUARD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(queue)
            .with_target(false)
            // Saying that the log cannot be written would panic where that cannot be written.
            .log_internal_errors(false);
        match format {
            LogFormat::Text => log.with_ansi(stderr().is_terminal()).init(),
            LogFormat::Json => log.json().flatten_event(true).init(),
        }
        Self {
            dropped,
            _writer: writer,
        }
    }

    /// Counts the lines that were left out since nobody read the log.
    pub fn dropped(&self) -> DroppedLines {
        DroppedLines(self.dropped.clone())
    }
}

/// Counts log lines that were left out.
#[derive(Clone, Debug)]
pub struct DroppedLines(ErrorCounter);

impl DroppedLines {
    /// How many so far.
    pub fn count(&self) -> u64 {
        self.0.dropped_lines() as u64
    }
}
