//! A reload a second, by whatever way there is.

use std::{
    path::PathBuf,
    process::Output,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Namespace,
    agent::{Folder, binary, without_settings},
    noise::Noise,
};

use crate::configuration;

/// Between two reloads.
const PAUSE: Duration = Duration::from_secs(1);
/// What `guard` ends with when no agent answers, and when a configuration is refused.
const NO_AGENT: Option<i32> = Some(3);
const REFUSED: Option<i32> = Some(2);

/// Whoever changes the file and asks for it to be read.
pub(crate) struct Reloader {
    namespace: Namespace,
    file: PathBuf,
    socket: PathBuf,
    /// Held while the file is no configuration, and by whoever starts an agent.
    good: Mutex<()>,
}

/// How many came to what end.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    pub(crate) taken: u64,
    pub(crate) refused: u64,
    /// No agent ran just then.
    pub(crate) unheard: u64,
}

impl Reloader {
    pub(crate) fn new(namespace: &Namespace, folder: &Folder) -> Result<Self> {
        let file = folder.join("guard.toml");
        configuration::write(&file, &configuration::good(0))?;
        Ok(Self {
            namespace: namespace.clone(),
            file,
            socket: folder.socket(),
            good: Mutex::new(()),
        })
    }

    /// While this is held, the file is a configuration.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self) -> Result<Output> {
        let mut guard = self.namespace.command(binary()?);
        without_settings(&mut guard);
        guard.arg("reload").arg("--socket").arg(&self.socket);
        guard.output().context("cannot run guard reload")
    }

    /// Puts the plainest configuration in force, which an agent that runs has to take, and does this
    /// while nothing is reloaded.
    pub(crate) fn settled<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _held = self.hold();
        configuration::write(&self.file, &configuration::good(0))?;
        let asked = self.ask()?;
        ensure!(asked.status.success(), "{asked:?}");
        work()
    }

    /// One reload, of which each tenth is of something that is no configuration.
    fn reload(&self, noise: &mut Noise, reloads: &mut Reloads) -> Result<()> {
        let held = self.hold();
        let is_bad = noise.one_in(10);
        if is_bad {
            configuration::write(&self.file, configuration::bad(noise))?;
        } else {
            configuration::write(&self.file, &configuration::good(noise.below(30)))?;
        }
        let asked = self.ask()?;
        if is_bad {
            configuration::write(&self.file, &configuration::good(1))?;
        }
        drop(held);
        match asked.status.code() {
            Some(0) if !is_bad => reloads.taken += 1,
            code if code == REFUSED && is_bad => reloads.refused += 1,
            // Killed before it answered, or while it did.
            code if code == NO_AGENT || code == Some(1) => reloads.unheard += 1,
            _ => ensure!(false, "bad: {is_bad}, {asked:?}"),
        }
        Ok(())
    }

    /// Reloads once a second until it is told to stop.
    pub(crate) fn keep_reloading(&self, mut noise: Noise, stop: &AtomicBool) -> Result<Reloads> {
        let mut reloads = Reloads::default();
        while !stop.load(Ordering::Relaxed) {
            self.reload(&mut noise, &mut reloads)?;
            thread::sleep(PAUSE);
        }
        Ok(reloads)
    }
}
