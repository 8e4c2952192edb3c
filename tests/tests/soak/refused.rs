//! Sources that are refused as the run goes on, each from a moment of its own: what of theirs comes
//! through after it.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Result, ensure};
use lab::{counters::SourceCounter, stage::Stage};

use crate::floods::is_denied;

/// The first of them, in the client's network.
pub(crate) const FIRST: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 128);
/// How many there are.
pub(crate) const SOURCES: u32 = 64;
/// What the program had let through before may still be on its way to who counts it.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

/// By whom a source is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// By a list of others.
    Feed,
    /// By who asks the running agent for it.
    Hand,
    /// By the agent, whose limit it has exceeded for too long.
    Ban,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Feed, Self::Hand, Self::Ban];

    const fn numbers(self) -> Range<u32> {
        match self {
            Self::Feed => 0..30,
            Self::Hand => 30..60,
            Self::Ban => 60..SOURCES,
        }
    }

    /// The sources that are refused in this way, one after the other.
    pub(crate) fn sources(self) -> impl Iterator<Item = Ipv4Addr> {
        let numbers = self.numbers();
        numbers.map(|number| Ipv4Addr::from_bits(FIRST.to_bits() + number))
    }
}

/// Who is refused, and who counts whether that is so.
pub(crate) struct Refused {
    counter: SourceCounter,
    since: Mutex<BTreeMap<(Way, Ipv4Addr), u64>>,
}

impl Refused {
    /// Counts what the stack receives from now on.
    pub(crate) fn new(stage: &Stage) -> Result<Self> {
        Ok(Self {
            counter: SourceCounter::attach(&stage.server)?,
            since: Mutex::default(),
        })
    }

    fn since(&self) -> MutexGuard<'_, BTreeMap<(Way, Ipv4Addr), u64>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn received_from(&self, source: Ipv4Addr) -> Result<u64> {
        Ok(self.counter.received()?.get(&source).copied().unwrap_or(0))
    }

    /// Whether any packet of it came through: of who sends none, none comes through later.
    pub(crate) fn came_through(&self, source: Ipv4Addr) -> Result<bool> {
        Ok(self.received_from(source)? > 0)
    }

    /// Notes that it is refused from now on.
    pub(crate) fn note(&self, way: Way, source: Ipv4Addr) -> Result<()> {
        thread::sleep(ON_ITS_WAY);
        let before = self.received_from(source)?;
        ensure!(before > 0, "{source} never came through");
        self.since().insert((way, source), before);
        Ok(())
    }

    /// Who is refused in this way.
    pub(crate) fn by(&self, way: Way) -> Vec<Ipv4Addr> {
        let since = self.since();
        let all = since.keys().filter(|(by, _)| *by == way);
        all.map(|(_, source)| *source).collect()
    }

    /// Packets that came through of who is refused: of denied sources all, of the others those after
    /// the moment.
    pub(crate) fn leaks(&self) -> Result<BTreeMap<Ipv4Addr, u64>> {
        let mut received = self.counter.received()?;
        let mut leaks: BTreeMap<Ipv4Addr, u64> = BTreeMap::new();
        for ((_, source), before) in &*self.since() {
            let packets = received.remove(source).unwrap_or(0);
            leaks.insert(*source, packets.saturating_sub(*before));
        }
        leaks.extend(
            received
                .into_iter()
                .filter(|(source, _)| is_denied(*source)),
        );
        leaks.retain(|_, packets| *packets > 0);
        Ok(leaks)
    }
}
