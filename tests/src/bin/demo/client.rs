//! The client that behaves, and how long it waits.

use std::{
    net::IpAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use lab::{
    Namespace,
    curl::{Curl, Outcome},
};

use crate::{
    interrupt::Interrupt,
    scene::{CLIENT, SERVER, Scene, TLS_PORT},
    text,
};

/// Between the beginnings of two requests.
const INTERVAL: Duration = Duration::from_millis(50);
/// How long the client is watched before the floods.
const CALM: Duration = Duration::from_secs(4);

/// A client that requests all the time, on a thread of its own.
pub(crate) struct Client {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
}

#[derive(Default)]
struct Shared {
    outcomes: Mutex<Vec<Outcome>>,
    stop: AtomicBool,
}

/// How long requests took, shortest first, and what became of those that failed.
pub(crate) struct Latency {
    times: Vec<Duration>,
    pub(crate) failures: Vec<Outcome>,
}

impl Latency {
    fn of(outcomes: &[Outcome]) -> Self {
        let mut times: Vec<_> = outcomes.iter().map(|outcome| outcome.time).collect();
        times.sort_unstable();
        let failures = outcomes
            .iter()
            .filter(|outcome| !outcome.is_ok())
            .cloned()
            .collect();
        Self { times, failures }
    }

    pub(crate) fn requests(&self) -> usize {
        self.times.len()
    }

    /// The time that `percent` of the requests stayed within.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.times.len() * percent).div_ceil(100).max(1);
        self.times.get(rank - 1).copied().unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn start(scene: &Scene) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let namespace = scene.client.namespace().clone();
        let certificate = scene.nginx.certificate();
        let own = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("client".into())
            .spawn(move || own.request_until_stopped(&namespace, &certificate))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Watches it while nothing else goes on, and forgets what it saw so far.
    pub(crate) fn observe_calm(&self, interrupt: &Interrupt) -> Result<Latency> {
        let begin = Instant::now();
        while begin.elapsed() < CALM {
            interrupt.sleep(Duration::from_secs(1))?;
            text::progress(&format!(
                "{:4.1} s   {}",
                begin.elapsed().as_secs_f64(),
                self.summary()
            ));
        }
        text::end_progress();
        let outcomes = std::mem::take(&mut *self.shared.lock());
        Ok(Latency::of(&outcomes))
    }

    /// How it fares, in a few words.
    pub(crate) fn summary(&self) -> String {
        let outcomes = self.shared.lock();
        let latency = Latency::of(&outcomes);
        format!(
            "HTTPS: {} requests, {} failed, p50 {}",
            latency.requests(),
            latency.failures.len(),
            text::ms(latency.percentile(50))
        )
    }

    /// Stops it and returns what it saw since the calm ended.
    pub(crate) fn finish(mut self) -> Result<Latency> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().context("a client finishes once")?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok(Latency::of(&self.shared.lock()))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Whoever wanted its findings has called `finish`.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Outcome>> {
        self.outcomes
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn request_until_stopped(&self, namespace: &Namespace, certificate: &Path) -> Result<()> {
        while !self.stop.load(Ordering::Relaxed) {
            let next = Instant::now() + INTERVAL;
            let curl = Curl::new(namespace)
                .from(IpAddr::V4(CLIENT))
                .trust(certificate);
            let outcome = curl.https(IpAddr::V4(SERVER), TLS_PORT, "/")?;
            self.lock().push(outcome);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times = (1..=200).map(Duration::from_millis).collect();
        let latency = Latency {
            times,
            failures: Vec::new(),
        };
        assert_eq!(latency.percentile(50), Duration::from_millis(100));
        assert_eq!(latency.percentile(99), Duration::from_millis(198));
        assert_eq!(latency.percentile(100), Duration::from_millis(200));
        let none = Latency {
            times: Vec::new(),
            failures: Vec::new(),
        };
        assert_eq!(none.percentile(99), Duration::ZERO);
    }
}
