//! Reads what the kernel side counted.

use std::fmt;

use anyhow::{Context as _, Result};
use aya::maps::{MapData, PerCpuArray};
use guard_common::{
    connection::Outcome,
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{Counter, EventBudget, EventClass, Evicted, OUTCOMES_OF_SERVICE, outcome_position},
};

use super::{carried::Carried, counts::Counts, estate::Labels};

/// Handles on the maps that count. They stay readable while the program runs.
pub struct Counters {
    labels: Labels,
    /// What was counted before.
    carried: Carried,
    packets: PerCpuArray<MapData, Counter>,
    outcomes: Counts,
    evicted: PerCpuArray<MapData, u64>,
    event_budget: PerCpuArray<MapData, EventBudget>,
    rule_hits: PerCpuArray<MapData, u64>,
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Counters").finish_non_exhaustive()
    }
}

/// Fate of the events of all classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Handed to user space.
    pub emitted: u64,
    /// Left out since their budget was spent.
    pub suppressed: u64,
    /// Left out since the ring buffer was full.
    pub lost: u64,
}

impl Counters {
    pub(super) fn new(ebpf: &mut aya::Ebpf, labels: Labels, carried: Carried) -> Result<Self> {
        let mut take = |name: &str| {
            ebpf.take_map(name)
                .with_context(|| format!("the object has no map {name}"))
        };
        Ok(Self {
            labels,
            carried,
            packets: take("COUNTERS")?.try_into().context("COUNTERS")?,
            outcomes: Counts::new(take("OUTCOMES")?).context("OUTCOMES")?,
            evicted: take("EVICTED")?.try_into().context("EVICTED")?,
            event_budget: take("EVENT_BUDGET")?.try_into().context("EVENT_BUDGET")?,
            rule_hits: take("RULE_HITS")?.try_into().context("RULE_HITS")?,
        })
    }

    /// What was counted before.
    pub(super) fn carried(&self) -> &Carried {
        &self.carried
    }

    /// Goes on from what was counted before.
    pub(super) fn carry(&mut self, carried: Carried) {
        self.carried = carried;
    }

    /// Packets and bytes of the interface at `position`, summed over the CPUs.
    pub fn packets(&self, interface: u32, verdict: Verdict, reason: Reason) -> Result<Counter> {
        let position = Counter::position(interface, verdict, reason);
        let per_cpu = self.packets.get(&position, 0).context("reading COUNTERS")?;
        let name = name(&self.labels.interfaces, interface);
        let before = self.carried.packets([name, verdict.name(), reason.name()]);
        Ok(per_cpu.iter().fold(before, |sum, counter| Counter {
            packets: sum.packets + counter.packets,
            bytes: sum.bytes + counter.bytes,
        }))
    }

    /// Connections of the service at this position, by outcome and protocol.
    pub fn connections(&self, service: u32) -> Result<impl Fn(Outcome, Protocol) -> u64> {
        let first = service * OUTCOMES_OF_SERVICE;
        let positions = first..first + OUTCOMES_OF_SERVICE;
        let counted = self.outcomes.read(positions).context("OUTCOMES")?;
        let name = name(&self.labels.services, service);
        Ok(move |outcome: Outcome, protocol: Protocol| {
            let words = [name, outcome.name(), protocol.name()];
            let at = outcome_position(0, outcome, protocol);
            counted[at as usize] + self.carried.connections(words)
        })
    }

    /// Connections that made room for others.
    pub fn evicted(&self, kind: Evicted) -> Result<u64> {
        let position = kind as u32;
        let per_cpu = self.evicted.get(&position, 0).context("reading EVICTED")?;
        Ok(per_cpu.iter().sum())
    }

    /// Packets that the rule of this number decided, since its program was loaded; nothing where
    /// there are so many rules that it has no count.
    pub fn rule_hits(&self, number: u32) -> Option<u64> {
        let per_cpu = self.rule_hits.get(&number, 0).ok()?;
        Some(per_cpu.iter().sum())
    }

    /// What became of the events.
    pub fn events(&self) -> Result<EventCounts> {
        let mut sum = EventCounts::default();
        // Of samples nothing is told that is counted.
        for class in 0..EventClass::Sample as u32 {
            let per_cpu = self
                .event_budget
                .get(&class, 0)
                .context("reading EVENT_BUDGET")?;
            for budget in per_cpu.iter() {
                sum.emitted += budget.emitted;
                sum.suppressed += budget.suppressed;
                sum.lost += budget.lost;
            }
        }
        Ok(sum)
    }
}

/// What is at a position, by which it is known also when it has another.
fn name(names: &[String], position: u32) -> &str {
    names.get(position as usize).map_or("", String::as_str)
}
