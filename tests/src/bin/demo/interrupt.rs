//! Ctrl-C: noticed, and acted upon between two steps, so that everything is taken down.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::signal::unix::{SignalKind, signal};

/// How long an interrupt may go unnoticed.
const POLL: Duration = Duration::from_millis(50);

/// Whether SIGINT or SIGTERM came.
pub(crate) struct Interrupt {
    came: Arc<AtomicBool>,
}

/// The reason to stop early.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl Error for Interrupted {}

impl Interrupt {
    /// Listens from now on, on a thread of its own.
    pub(crate) fn listen() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let came = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&came);
        let (mut interrupt, mut terminate) = {
            let _context = runtime.enter();
            (
                signal(SignalKind::interrupt())?,
                signal(SignalKind::terminate())?,
            )
        };
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                });
                flag.store(true, Ordering::Relaxed);
            })
            .context("cannot listen for signals")?;
        Ok(Self { came })
    }

    /// An error once it came.
    pub(crate) fn check(&self) -> Result<()> {
        if self.came.load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        Ok(())
    }

    /// Sleeps, unless it comes.
    pub(crate) fn sleep(&self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        loop {
            self.check()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(POLL));
        }
    }
}
