//! Who sends most, estimated from a few packets of all: see [`guard_common::talkers`].
//!
//! Each second has a summary of its own, of bounded size, after Metwally's *space-saving*: a source
//! that the full summary does not know takes the place of the one with the lowest rank, and its rank
//! goes on from there. So whoever sent more than one part in [`KEPT`] of a second's packets is in that
//! second's summary, whatever number of forged sources comes beside. What is told of a source is only
//! what was seen since it has had its place: never more than it sent, but for chance.
#![expect(clippy::cast_precision_loss, reason = "estimates")]

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::Instant,
};

use guard_common::{
    reason::{Reason, Verdict},
    talkers::SHARE,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::events::Record;

/// Whole seconds that the estimates are made from, at most; the running one comes on top.
const SECONDS: u64 = 10;
/// Sources kept of each second.
const KEPT: usize = 256;
/// Sources that are told of.
const TOLD: usize = 100;

/// Who sends most, as it is told to whoever asks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TopTalkers {
    /// The time that the estimates are made from, up to now.
    pub seconds: f64,
    /// One packet in about so many is looked at; under a flood fewer.
    pub one_packet_in: u32,
    /// At most 100, those that send most packets first.
    pub sources: Vec<Talker>,
}

/// A source, and what it sends. All figures are estimates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Talker {
    /// The address, or the IPv6 prefix.
    #[serde(deserialize_with = "crate::entries::network")]
    pub source: IpNet,
    /// Packets a second.
    pub packets_per_second: f64,
    /// Bytes a second.
    pub bytes_per_second: f64,
    /// Which part of its packets was refused, or would have been in dry-run: 0 to 1.
    pub refused_share: f64,
    /// What most of the refused ones were refused for; where none was, what most passed for.
    pub reason: String,
}

/// The summaries of the last seconds.
#[derive(Debug)]
pub(crate) struct Talkers {
    started: Instant,
    seconds: VecDeque<Second>,
}

#[derive(Debug)]
struct Second {
    /// Since the start.
    number: u64,
    sources: HashMap<IpAddr, Tally>,
}

/// What was seen of a source, in candidates.
#[derive(Clone, Debug, Default)]
struct Tally {
    /// Of its own, and of whoever had its place before.
    rank: u64,
    packets: u64,
    bytes: u64,
    refused: u64,
    /// By the number of the reason: those that passed, and those that were refused.
    passed_for: [u32; Reason::COUNT],
    refused_for: [u32; Reason::COUNT],
}

impl Talkers {
    /// None so far.
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            seconds: VecDeque::new(),
        }
    }

    /// Takes in what the kernel side told of a packet.
    pub(crate) fn add(&mut self, record: &Record, now: Instant) {
        self.forget(now);
        let number = self.number(now);
        if self.seconds.back().is_none_or(|last| last.number != number) {
            self.seconds.push_back(Second {
                number,
                sources: HashMap::with_capacity(KEPT),
            });
        }
        if let Some(second) = self.seconds.back_mut() {
            second.tally(record.source).add(record);
        }
    }

    /// Who sends most. IPv6 sources are shown as prefixes of this length.
    pub(crate) fn top(&mut self, ipv6_prefix: u8, now: Instant) -> TopTalkers {
        self.forget(now);
        let mut sums: HashMap<IpAddr, Tally> = HashMap::new();
        for (source, tally) in self.seconds.iter().flat_map(|second| &second.sources) {
            sums.entry(*source).or_default().merge(tally);
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(source, tally)| (Reverse(tally.packets), *source));
        sums.truncate(TOLD);
        let seconds = self.covered(now);
        let told = sums
            .iter()
            .map(|(source, tally)| tally.tell(net(*source, ipv6_prefix), seconds));
        TopTalkers {
            seconds,
            one_packet_in: SHARE,
            sources: told.collect(),
        }
    }

    fn number(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs()
    }

    fn forget(&mut self, now: Instant) {
        let first = self.number(now).saturating_sub(SECONDS);
        self.seconds.retain(|second| second.number >= first);
    }

    /// Seconds that the summaries cover, those in which nothing came too. At least one, so that the
    /// first packets are not made much of.
    fn covered(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.started).as_secs_f64();
        let first = self.number(now).saturating_sub(SECONDS);
        (since - first as f64).max(1.0)
    }
}

impl Second {
    fn tally(&mut self, source: IpAddr) -> &mut Tally {
        let mut rank = 0;
        if self.sources.len() >= KEPT && !self.sources.contains_key(&source) {
            let least = self.sources.iter().min_by_key(|(_, tally)| tally.rank);
            let least = least.map(|(source, tally)| (*source, tally.rank));
            if let Some((least, least_rank)) = least {
                self.sources.remove(&least);
                rank = least_rank;
            }
        }
        self.sources.entry(source).or_insert_with(|| Tally {
            rank,
            ..Tally::default()
        })
    }
}

impl Tally {
    fn add(&mut self, record: &Record) {
        let candidates = record.seq;
        let packets = u64::from(candidates);
        self.rank += packets;
        self.packets += packets;
        self.bytes += packets * u64::from(record.packet_bytes);
        let reasons = if record.verdict == Verdict::Pass {
            &mut self.passed_for
        } else {
            self.refused += packets;
            &mut self.refused_for
        };
        reasons[record.reason as usize] += candidates;
    }

    fn merge(&mut self, other: &Self) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.refused += other.refused;
        let reasons = self.passed_for.iter_mut().chain(&mut self.refused_for);
        let others = other.passed_for.iter().chain(&other.refused_for);
        for (own, other) in reasons.zip(others) {
            *own += other;
        }
    }

    fn tell(&self, source: IpNet, seconds: f64) -> Talker {
        let rate = |candidates: u64| (candidates * u64::from(SHARE)) as f64 / seconds;
        let reasons = if self.refused > 0 {
            &self.refused_for
        } else {
            &self.passed_for
        };
        let main = Reason::ALL
            .into_iter()
            .max_by_key(|reason| (reasons[*reason as usize], Reverse(*reason)));
        Talker {
            source,
            packets_per_second: rate(self.packets),
            bytes_per_second: rate(self.bytes),
            refused_share: self.refused as f64 / self.packets.max(1) as f64,
            reason: main.unwrap_or(Reason::Pass).name().to_owned(),
        }
    }
}

fn net(source: IpAddr, ipv6_prefix: u8) -> IpNet {
    let len = match source {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => ipv6_prefix,
    };
    IpNet::new(source, len).map_or_else(|_| source.into(), |net| net.trunc())
}

#[cfg(test)]
mod tests;
