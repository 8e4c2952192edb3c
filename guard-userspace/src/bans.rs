//! Sources that are banned for having stayed over their limit, and those that were.

use std::{cmp::Reverse, collections::BTreeMap, net::IpAddr, path::Path, time::Duration};

use anyhow::Result;
use guard_common::wire::{Rule, RuleWord};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    config::Ban,
    entries::{self, Banned},
    state_file::{self, Lasting, Loaded},
};

/// What the bans are kept in, in the state folder.
const FILE: &str = "bans.json";
/// Sources that are banned at once, or remembered, at most. All others are limited as before.
const CAPACITY: usize = 1 << 16;
/// Bans are counted together, under their reason; none has a count of its own.
const WORD: RuleWord = RuleWord::new(Rule::Ban, RuleWord::NUMBERS - 1);

/// One network's rule from now on; nothing when it has none.
type Change = (IpNet, Option<RuleWord>);

/// Who is banned, and who was. Times are seconds since 1970.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bans {
    records: BTreeMap<IpNet, Record>,
    /// Who was unbanned by hand, and is not banned again before then.
    pardoned: BTreeMap<IpNet, u64>,
    /// Bans that have begun since the agent started.
    begun: u64,
    /// Up to when the ends of bans have been seen to.
    seen: u64,
    /// Whether the file does not say what is here.
    unsaved: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    since: u64,
    until: u64,
    /// Bans in a row, this one among them.
    times: u32,
}

/// A record in the file.
#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(deserialize_with = "entries::network")]
    source: IpNet,
    #[serde(flatten)]
    record: Record,
}

impl Record {
    fn is_over(&self, now: u64) -> bool {
        self.until <= now
    }

    fn shift(&mut self, by: i64) {
        self.since = self.since.saturating_add_signed(by);
        self.until = self.until.saturating_add_signed(by);
    }

    /// Bans in a row that count at `now`: of those that have ended, each `max` since takes one off.
    fn counting(&self, ban: &Ban, now: u64) -> u32 {
        let forgotten = now.saturating_sub(self.until) / ban.max.as_secs().max(1);
        self.times
            .saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }
}

impl Bans {
    /// The bans of an earlier agent.
    pub(crate) fn load(folder: &Path, now: u64) -> Loaded<Self> {
        let kept: Loaded<Vec<Kept>> =
            state_file::load(folder, FILE, "the bans in it are not in force");
        let records = kept.value.into_iter().map(|Kept { source, mut record }| {
            // Begun later than now: the clock was set back since, and its time begins anew.
            if let Some(ahead) = record.since.checked_sub(now) {
                record.shift(0_i64.saturating_sub_unsigned(ahead));
            }
            (source, record)
        });
        Loaded {
            value: Self {
                records: records.take(CAPACITY).collect(),
                ..Self::default()
            },
            warning: kept.warning,
        }
    }

    /// Follows a clock that was set by so many seconds: a ban lasts for its time, not to a date.
    pub(crate) fn shift(&mut self, by: i64) {
        for record in self.records.values_mut() {
            record.shift(by);
        }
        for until in self.pardoned.values_mut() {
            *until = until.saturating_add_signed(by);
        }
        self.seen = self.seen.saturating_add_signed(by);
        self.unsaved |= !self.records.is_empty();
    }

    /// Writes them down, if anything has changed.
    pub(crate) fn save(&mut self, folder: &Path) -> Result<()> {
        if !self.unsaved {
            return Ok(());
        }
        let records = self.records.iter();
        let kept: Vec<Kept> = records
            .map(|(source, record)| Kept {
                source: *source,
                record: *record,
            })
            .collect();
        // Traffic decides how often: no disk is waited for.
        state_file::save(folder, FILE, &kept, Lasting::Agent)?;
        self.unsaved = false;
        Ok(())
    }

    /// Bans a source, unless it is banned already. For how long, when it is.
    pub(crate) fn add(&mut self, source: IpNet, ban: &Ban, now: u64) -> Option<Duration> {
        let pardoned = self.pardoned.get(&source).is_some_and(|until| *until > now);
        let record = self.records.get(&source);
        let is_full = record.is_none() && self.records.len() >= CAPACITY;
        if pardoned || is_full || record.is_some_and(|record| !record.is_over(now)) {
            return None;
        }
        let times = record.map_or(0, |record| record.counting(ban, now));
        let times = times.saturating_add(1);
        let doubled = 1_u64.checked_shl(times - 1).unwrap_or(u64::MAX);
        let seconds = ban.first.as_secs().saturating_mul(doubled);
        let lasts = Duration::from_secs(seconds).min(ban.max);
        let record = Record {
            since: now,
            until: now.saturating_add(lasts.as_secs()),
            times,
        };
        self.records.insert(source, record);
        self.begun += 1;
        self.unsaved = true;
        Some(lasts)
    }

    /// The sources that these addresses belong to, all of them banned.
    ///
    /// # Errors
    /// An address that is not.
    pub(crate) fn among(&self, addresses: &[IpAddr], now: u64) -> Result<Vec<IpNet>, IpAddr> {
        let banned = |address: &IpAddr| {
            let source = self.in_force(now).find(|source| source.contains(address));
            source.copied().ok_or(*address)
        };
        addresses.iter().map(banned).collect()
    }

    /// Ends bans, and forgets that they ever were. Who is over its limit still is not banned before
    /// `pardon` has passed.
    pub(crate) fn end(&mut self, sources: &[IpNet], pardon: Duration, now: u64) {
        let until = now.saturating_add(pardon.as_secs());
        for source in sources {
            self.records.remove(source);
            self.pardoned.insert(*source, until);
        }
        self.unsaved |= !sources.is_empty();
    }

    /// Up to when the ends of bans have been seen to.
    pub(crate) fn seen(&self) -> u64 {
        self.seen
    }

    /// Those whose bans have ended since [`Bans::forget`].
    pub(crate) fn ended(&self, now: u64) -> Vec<IpNet> {
        let ended = |record: &Record| !record.is_over(self.seen) && record.is_over(now);
        let records = self.records.iter().filter(|(_, record)| ended(record));
        records.map(|(source, _)| *source).collect()
    }

    /// Notes that the ends of bans have been seen to, and forgets what counts no more.
    pub(crate) fn forget(&mut self, ban: &Ban, now: u64) {
        self.seen = now;
        let before = self.records.len();
        self.records
            .retain(|_, record| !record.is_over(now) || record.counting(ban, now) > 0);
        self.unsaved |= self.records.len() != before;
        self.pardoned.retain(|_, until| *until > now);
    }

    /// Who is banned.
    pub(crate) fn in_force(&self, now: u64) -> impl Iterator<Item = &IpNet> {
        let records = self.records.iter();
        records.filter_map(move |(source, record)| (!record.is_over(now)).then_some(source))
    }

    /// How many are.
    pub(crate) fn count(&self, now: u64) -> usize {
        self.in_force(now).count()
    }

    /// The rule for a network that is banned.
    pub(crate) fn word(&self, source: IpNet, now: u64) -> Option<RuleWord> {
        let record = self.records.get(&source)?;
        (!record.is_over(now)).then_some(WORD)
    }

    /// Lays the bans under `rules`: whoever has a rule already keeps it.
    pub(crate) fn lay_under(&self, rules: &mut Vec<(IpNet, RuleWord)>, now: u64) {
        let mut banned: BTreeMap<IpNet, RuleWord> =
            self.in_force(now).map(|source| (*source, WORD)).collect();
        if banned.is_empty() {
            return;
        }
        for (net, _) in &*rules {
            banned.remove(net);
        }
        rules.extend(banned);
    }

    /// What the kernel is to be told of `sources`, which holds `in_force`: rules of anybody else
    /// stay.
    pub(crate) fn changes(
        &self,
        sources: &[IpNet],
        in_force: impl Fn(IpNet) -> Option<RuleWord>,
        now: u64,
    ) -> Vec<Change> {
        let sources = sources.iter().filter(|source| {
            let rule = in_force(**source).and_then(RuleWord::rule);
            rule.is_none_or(|rule| rule == Rule::Ban)
        });
        sources
            .map(|source| (*source, self.word(*source, now)))
            .collect()
    }

    /// The ban that an address falls under.
    pub(crate) fn around(&self, address: IpAddr, now: u64) -> Option<Banned> {
        let mut banned = self.list(now).into_iter();
        banned.find(|banned| banned.source.contains(&address))
    }

    /// Bans that have begun since the agent started.
    pub(crate) fn begun(&self) -> u64 {
        self.begun
    }

    /// Those who were banned last, newest first.
    pub(crate) fn last(&self, most: usize, now: u64) -> Vec<Banned> {
        let mut banned = self.list(now);
        let newest_first = |banned: &Banned| (Reverse(banned.since), banned.source);
        if banned.len() > most {
            // There may be very many.
            banned.select_nth_unstable_by_key(most, newest_first);
            banned.truncate(most);
        }
        banned.sort_by_key(newest_first);
        banned
    }

    /// Everybody who is banned.
    pub(crate) fn list(&self, now: u64) -> Vec<Banned> {
        let records = self.records.iter();
        let records = records.filter(|(_, record)| !record.is_over(now));
        records
            .map(|(source, record)| Banned {
                source: *source,
                since: record.since,
                until: record.until,
                times: record.times,
            })
            .collect()
    }
}

/// The source that an address belongs to: itself, or its IPv6 prefix of so many bits.
pub(crate) fn source(address: IpAddr, ipv6_prefix: u8) -> IpNet {
    let whole = IpNet::from(address.to_canonical());
    match whole {
        IpNet::V4(_) => whole,
        IpNet::V6(_) => IpNet::new(whole.addr(), ipv6_prefix).map_or(whole, |net| net.trunc()),
    }
}

#[cfg(test)]
#[path = "bans_tests.rs"]
mod tests;
