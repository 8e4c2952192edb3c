//! What of a snapshot is cause for an alert, by what it says and by how it differs from the one
//! before.

mod flood;
mod state;
mod traffic;

use std::{collections::BTreeMap, time::Duration};

use self::flood::Meter;
use super::rule::{Rule, Severity};
use crate::status::Status;

/// What an alert is about: two causes with one subject are one alert.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Subject {
    pub(super) rule: Rule,
    /// What tells it from others of its rule: names that the operator gave and fixed words, never
    /// anything that a sender of packets can choose.
    pub(super) labels: BTreeMap<String, String>,
}

impl Subject {
    fn new(rule: Rule, labels: &[(&str, &str)]) -> Self {
        let labels = labels.iter();
        Self {
            rule,
            labels: labels
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }
}

/// Something that is the case now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cause {
    pub(super) subject: Subject,
    pub(super) severity: Severity,
    /// One line.
    pub(super) summary: String,
    /// What is known of it.
    pub(super) description: String,
    /// What to do.
    pub(super) action: String,
    /// Sources that it is about, for annotations; only some of them when there are many.
    pub(super) sources: Vec<String>,
    /// Grows when there is more to tell than that it goes on.
    pub(super) news: u64,
}

/// What there is to remember of earlier snapshots.
#[derive(Debug, Default)]
pub(super) struct Memory {
    counters: BTreeMap<Counter, u64>,
    /// By interface and reason.
    meters: BTreeMap<(String, String), Meter>,
    /// When the last snapshot was taken.
    last: Option<Duration>,
}

/// A number that only grows.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Counter {
    /// Of a service.
    Plaintext(String),
    /// Of a service, by scheme.
    Credential(String, String),
    /// Of an interface, by verdict and reason.
    Packets(String, String, String),
    EventsLost,
    LogLines,
}

impl Memory {
    /// Everything that is the case at `now`, which is the time since whenever, never set back.
    pub(super) fn causes(&mut self, status: &Status, now: Duration) -> Vec<Cause> {
        let since = self.last.map(|last| now.saturating_sub(last));
        let mut causes = Vec::new();
        traffic::plaintext(self, status, &mut causes);
        traffic::credentials(self, status, &mut causes);
        causes.extend(state::bans(status));
        flood::floods(self, status, (now, since), &mut causes);
        state::attachment(status, &mut causes);
        state::losses(self, status, &mut causes);
        state::configuration(status, &mut causes);
        self.last = Some(now);
        causes
    }

    /// By how much a number has grown. What was there when it was first seen is nothing new, unless
    /// the number could not be there before: then all of it is.
    fn growth(&mut self, counter: Counter, value: u64) -> u64 {
        let is_first = self.last.is_none();
        let before = self.counters.insert(counter, value);
        let before = before.unwrap_or(if is_first { value } else { 0 });
        // Counters begin anew where the tables of the kernel side do.
        value.checked_sub(before).unwrap_or(value)
    }
}

/// `1 packet`, `2 packets`; `many` is the word for more than one.
fn counted(count: u64, one: &str, many: &str) -> String {
    match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}
