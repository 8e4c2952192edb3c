//! A reload a second, by whatever way there is.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use lab::{Namespace, agent::Folder, noise::Noise};

use crate::{
    configuration::{self, FEED},
    refused::{Refused, Way},
    refusing::Asker,
};

/// Between two reloads.
const PAUSE: Duration = Duration::from_secs(1);
/// What `guard` ends with when no agent answers, and when a configuration is refused.
const NO_AGENT: Option<i32> = Some(3);
const REFUSED: Option<i32> = Some(2);

/// Whoever changes the file and asks for it to be read.
pub(crate) struct Reloader {
    asker: Asker,
    file: PathBuf,
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

/// What the list of others has.
#[derive(Default)]
struct Fed {
    listed: Vec<Ipv4Addr>,
    /// So many of them were in force once.
    noted: usize,
}

impl Fed {
    /// Notes that all that is listed is in force.
    fn note(&mut self, refused: &Refused) -> Result<()> {
        for source in &self.listed[self.noted..] {
            refused.note(Way::Feed, *source)?;
        }
        self.noted = self.listed.len();
        Ok(())
    }
}

impl Reloader {
    pub(crate) fn new(namespace: &Namespace, folder: &Folder) -> Result<Self> {
        let file = folder.join("guard.toml");
        configuration::write(&file, &configuration::good(0))?;
        configuration::write(&folder.join(FEED), &configuration::feed(&[]))?;
        Ok(Self {
            asker: Asker::new(namespace, folder),
            file,
            good: Mutex::new(()),
        })
    }

    /// While this is held, the file is a configuration.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.good.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the plainest configuration in force, which an agent that runs has to take, and does this
    /// while nothing is reloaded.
    pub(crate) fn settled<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _held = self.hold();
        configuration::write(&self.file, &configuration::good(0))?;
        self.asker.answer_by_and_by(&["reload"])?;
        work()
    }

    /// Lists one source more, now and then.
    fn list_another(&self, noise: &mut Noise, refused: &Refused, fed: &mut Fed) -> Result<()> {
        let Some(next) = Way::Feed.sources().nth(fed.listed.len()) else {
            return Ok(());
        };
        if noise.one_in(2) && refused.came_through(next)? {
            fed.listed.push(next);
            let list = configuration::feed(&fed.listed);
            configuration::write(&self.file.with_file_name(FEED), &list)?;
        }
        Ok(())
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
        let asked = self.asker.ask(&["reload"])?;
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
    pub(crate) fn keep_reloading(
        &self,
        mut noise: Noise,
        refused: &Refused,
        stop: &AtomicBool,
    ) -> Result<Reloads> {
        let mut reloads = Reloads::default();
        let mut fed = Fed::default();
        while !stop.load(Ordering::Relaxed) {
            self.list_another(&mut noise, refused, &mut fed)?;
            let before = reloads.taken;
            self.reload(&mut noise, &mut reloads)?;
            if reloads.taken > before {
                fed.note(refused)?;
            }
            thread::sleep(PAUSE);
        }
        Ok(reloads)
    }
}
