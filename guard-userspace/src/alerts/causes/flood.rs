//! How much is dropped, on which interface and for which reason.

use std::{collections::BTreeMap, time::Duration};

use super::{Cause, Counter, Memory, Subject};
use crate::{
    alerts::rule::{Rule, Severity},
    status::{InterfaceStatus, Status},
};

/// Dropped packets a second that are a flood.
pub(in crate::alerts) const FLOOD_PPS: u64 = 1_000;
/// The same of those that the operator, a feed or a ban refuses: that many are hardly worth a word.
pub(in crate::alerts) const UNWANTED_PPS: u64 = 10_000;
/// For how long so many must be dropped.
pub(in crate::alerts) const SUSTAINED: Duration = Duration::from_secs(3);
/// A flood goes on while there is more than this share of what made it one.
const LESS: u64 = 2;

/// How it goes with the drops of one reason on one interface.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Meter {
    /// Since when there are enough for a flood.
    over_since: Option<Duration>,
    is_flood: bool,
}

impl Meter {
    /// Whether a rate makes a flood, or lets one go on.
    fn read(&mut self, rate_pps: u64, threshold_pps: u64, now: Duration) -> bool {
        if self.is_flood {
            self.is_flood = rate_pps >= threshold_pps / LESS;
            self.over_since = None;
        } else if rate_pps >= threshold_pps {
            let since = *self.over_since.get_or_insert(now);
            self.is_flood = now.saturating_sub(since) >= SUSTAINED;
        } else {
            self.over_since = None;
        }
        self.is_flood
    }
}

/// From how many packets a second on drops for this reason are a flood; nothing where another rule
/// tells of them, or where nothing was dropped that should not have come.
fn threshold_pps(reason: &str) -> Option<u64> {
    match reason {
        "deny" | "feed" | "ban" | "service_acl" => Some(UNWANTED_PPS),
        "plaintext" | "bypass" | "pass" | "allow" => None,
        _ => Some(FLOOD_PPS),
    }
}

/// What was dropped on an interface for one reason.
#[derive(Default)]
struct Dropped {
    /// Since the last snapshot.
    new: u64,
    all: u64,
    /// In dry-run nothing is.
    is_dry: bool,
}

/// Floods, and whether they shut out sources that are not known. `since` is the time from the last
/// snapshot to `now`.
pub(super) fn floods(
    memory: &mut Memory,
    status: &Status,
    (now, since): (Duration, Option<Duration>),
    causes: &mut Vec<Cause>,
) {
    let mut shut_out = 0;
    for interface in &status.interfaces {
        for (reason, dropped) in dropped(memory, interface) {
            if reason == "new_sources" {
                shut_out += dropped.new;
            }
            let (Some(threshold), Some(since)) = (threshold_pps(reason), since) else {
                continue;
            };
            let rate = per_second(dropped.new, since);
            let name = (interface.name.clone(), reason.to_owned());
            let meter = memory.meters.entry(name).or_default();
            if meter.read(rate, threshold, now) {
                causes.push(flood(&interface.name, reason, &dropped, rate));
            }
        }
    }
    if let Some(since) = since.filter(|_| shut_out > 0) {
        causes.push(gate_closed(per_second(shut_out, since)));
    }
}

/// What was dropped on an interface, by reason.
fn dropped<'s>(memory: &mut Memory, interface: &'s InterfaceStatus) -> BTreeMap<&'s str, Dropped> {
    let mut by_reason: BTreeMap<&str, Dropped> = BTreeMap::new();
    for count in &interface.packets {
        let is_dry = count.verdict == "would_drop";
        if !is_dry && count.verdict != "drop" {
            continue;
        }
        let counter = Counter::Packets(
            interface.name.clone(),
            count.verdict.clone(),
            count.reason.clone(),
        );
        let new = memory.growth(counter, count.packets);
        let dropped = by_reason.entry(&count.reason).or_default();
        dropped.new += new;
        dropped.all += count.packets;
        // A reload may have switched it: what comes now counts.
        dropped.is_dry |= is_dry && new > 0;
    }
    by_reason
}

fn flood(iface: &str, reason: &str, dropped: &Dropped, rate_pps: u64) -> Cause {
    let done = if dropped.is_dry {
        "would be dropped"
    } else {
        "are dropped"
    };
    let rate = rounded(rate_pps);
    Cause {
        subject: Subject::new(Rule::Flood, &[("iface", iface), ("reason", reason)]),
        severity: Severity::Warning,
        summary: format!("flood on {iface}: {rate} packets a second {done} ({reason})"),
        description: format!(
            "On {iface}, {rate} packets a second {done} for the reason {reason}; {} so far.",
            dropped.all
        ),
        action: "`guard status` and `guard events` show what it is. While the limits hold nothing \
                 has to be done; whom you know, `guard allow add` exempts, and what nobody needs, \
                 `guard deny add` drops earlier."
            .to_owned(),
        sources: Vec::new(),
        news: 0,
    }
}

fn gate_closed(rate_pps: u64) -> Cause {
    let rate = rounded(rate_pps);
    Cause {
        subject: Subject::new(Rule::NewSourcesGateClosed, &[]),
        severity: Severity::Critical,
        summary: "sources that are not known are shut out".to_owned(),
        description: format!(
            "All sources that this host does not know send more than `limits.new_sources` lets \
             through: {rate} of their packets a second are refused, so new clients may not get \
             in. Known ones go on."
        ),
        action: "If clients are legitimate and many, raise `limits.new_sources`; those who must get \
                 in, exempt with `guard allow add`. Against a flood of forged addresses it is right \
                 as it is."
            .to_owned(),
        sources: Vec::new(),
        news: 0,
    }
}

fn per_second(packets: u64, time: Duration) -> u64 {
    // Two snapshots in one instant say nothing of a rate.
    let millis = (time.as_millis() as u64).max(500);
    packets.saturating_mul(1_000) / millis
}

/// A rate with two digits that count: more would pretend to more than a second tells.
fn rounded(rate: u64) -> String {
    let digits = rate.checked_ilog10().unwrap_or(0);
    let unit = 10_u64.pow(digits.saturating_sub(1));
    (rate / unit * unit).to_string()
}
