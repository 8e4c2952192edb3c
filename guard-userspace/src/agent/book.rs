//! The entries given to the running agent, and those that end by themselves: over those of the
//! configuration, which stay as long as it does.

use std::{collections::BTreeMap, path::Path};

use anyhow::Result;
use guard_common::wire::{Rule, RuleWord};
use ipnet::IpNet;

pub(super) use super::time::now;
use super::time::shifted;
use crate::{
    config::Entry,
    entries::{List, Listed, Origin},
    kernel::FeedRules,
    state_file::{self, Lasting, Loaded},
};

/// What the entries are kept in, in the state folder.
const FILE: &str = "entries.json";

/// One network's rule from now on; nothing when it has none.
pub(super) type Change = (IpNet, Option<RuleWord>);

/// Entries by their networks.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    slots: BTreeMap<IpNet, Slot>,
    /// The number of the next rule.
    next: u32,
}

/// A network that the agent was told of.
#[derive(Clone, Debug, Default)]
struct Slot {
    /// What else is said of it, by the configuration or a feed, for as long as it is in force.
    beneath: Option<RuleWord>,
    allow: Option<Kept>,
    deny: Option<Kept>,
}

#[derive(Clone, Debug)]
struct Kept {
    number: u32,
    origin: Origin,
    reason: Option<String>,
    /// Since when it is there, in seconds since 1970; of the running agent's alone.
    since: Option<u64>,
    /// Seconds since 1970.
    expires: Option<u64>,
}

impl Slot {
    fn of(&mut self, list: List) -> &mut Option<Kept> {
        match list {
            List::Allow => &mut self.allow,
            List::Deny => &mut self.deny,
        }
    }

    fn kept(&self, list: List) -> Option<&Kept> {
        match list {
            List::Allow => self.allow.as_ref(),
            List::Deny => self.deny.as_ref(),
        }
    }

    /// At equal length allow wins, and the operator goes before everybody else.
    fn rule(&self) -> Option<RuleWord> {
        let word = |rule, kept: &Kept| RuleWord::new(rule, kept.number);
        let beneath = |rule| self.beneath.filter(|word| word.rule() == Some(rule));
        let allowed = self.allow.as_ref().map(|kept| word(Rule::Allow, kept));
        let denied = self.deny.as_ref().map(|kept| word(Rule::Deny, kept));
        beneath(Rule::Own)
            .or(beneath(Rule::Allow))
            .or(allowed)
            .or(beneath(Rule::Deny))
            .or(denied)
            .or(self.beneath)
    }

    fn is_empty(&self) -> bool {
        self.allow.is_none() && self.deny.is_none()
    }
}

/// An entry to add.
#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) cidr: IpNet,
    pub(super) reason: Option<String>,
    pub(super) since: Option<u64>,
    pub(super) expires: Option<u64>,
}

impl From<&Listed> for New {
    fn from(entry: &Listed) -> Self {
        Self {
            cidr: entry.cidr,
            reason: entry.reason.clone(),
            since: entry.since,
            expires: entry.expires,
        }
    }
}

impl Book {
    /// What an earlier agent was told, and what of it has not ended at `now`.
    pub(super) fn load(folder: &Path, now: u64) -> Loaded<Self> {
        let kept: Loaded<Vec<Listed>> =
            state_file::load(folder, FILE, "the entries in it are not in force");
        let mut book = Self::default();
        for entry in &kept.value {
            let mut new = New::from(entry);
            // Made later than now: the clock was set back since, and its time begins anew.
            if let Some(ahead) = new.since.and_then(|since| since.checked_sub(now)) {
                let by = 0_i64.saturating_sub_unsigned(ahead);
                new.since = Some(now);
                new.expires = new.expires.map(|expires| shifted(expires, by));
            }
            if !is_over(new.expires, now) {
                book.put(entry.list, new, Origin::Runtime);
            }
        }
        Loaded {
            value: book,
            warning: kept.warning,
        }
    }

    /// Writes down what the next agent has to know.
    pub(super) fn save(&self, folder: &Path) -> Result<()> {
        let kept: Vec<Listed> = self.runtime().collect();
        state_file::save(folder, FILE, &kept, Lasting::PowerCut)
    }

    /// Follows a clock that was set by so many seconds: what was given a time keeps it.
    pub(super) fn shift(&mut self, by: i64) {
        for slot in self.slots.values_mut() {
            let kept = [&mut slot.allow, &mut slot.deny].into_iter().flatten();
            for kept in kept.filter(|kept| kept.origin == Origin::Runtime) {
                kept.since = kept.since.map(|since| shifted(since, by));
                kept.expires = kept.expires.map(|expires| shifted(expires, by));
            }
        }
    }

    /// Lays the book over `rules` and `feeds`, those of a configuration whose own entries that end are
    /// `ending`.
    pub(super) fn lay_over(
        &mut self,
        rules: &mut Vec<(IpNet, RuleWord)>,
        feeds: &[FeedRules],
        ending: &[(List, Entry)],
        now: u64,
    ) {
        let words = rules.iter().map(|(_, rule)| *rule);
        let words = words.chain(feeds.iter().map(|feed| feed.word));
        let highest = words.map(RuleWord::number).max();
        self.next = highest.map_or(0, |highest| highest + 1);
        let runtime: Vec<Listed> = self.runtime().collect();
        self.slots.clear();
        for entry in runtime {
            self.put(entry.list, New::from(&entry), Origin::Runtime);
        }
        for (
            list,
            Entry {
                cidr,
                reason,
                expires,
            },
        ) in ending
        {
            if !is_over(*expires, now) {
                let (cidr, reason, expires) = (*cidr, reason.clone(), *expires);
                let new = New {
                    cidr,
                    reason,
                    since: None,
                    expires,
                };
                self.put(*list, new, Origin::Configuration);
            }
        }
        rules.retain(|(cidr, rule)| match self.slots.get_mut(cidr) {
            Some(slot) => {
                slot.beneath = Some(*rule);
                false
            }
            None => true,
        });
        for (cidr, slot) in &mut self.slots {
            let listed = || feeds.iter().find_map(|feed| feed.of(*cidr));
            slot.beneath = slot.beneath.or_else(listed);
        }
        let laid = self
            .slots
            .iter()
            .filter_map(|(cidr, slot)| Some((*cidr, slot.rule()?)));
        rules.extend(laid);
    }

    fn runtime(&self) -> impl Iterator<Item = Listed> {
        self.list().filter(|entry| entry.origin == Origin::Runtime)
    }

    fn put(&mut self, list: List, new: New, origin: Origin) {
        let number = self.next;
        self.next += 1;
        let New {
            cidr,
            reason,
            since,
            expires,
        } = new;
        let slot = self.slots.entry(cidr).or_default();
        *slot.of(list) = Some(Kept {
            number,
            origin,
            reason,
            since,
            expires,
        });
    }

    /// Adds entries, or renews those that are there already. `in_force` says what the kernel holds.
    pub(super) fn add(
        &mut self,
        list: List,
        entries: Vec<New>,
        in_force: impl Fn(IpNet) -> Option<RuleWord>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for new in entries {
            let cidr = new.cidr;
            if !self.slots.contains_key(&cidr) {
                let beneath = in_force(cidr);
                self.slots.entry(cidr).or_default().beneath = beneath;
            }
            self.put(list, new, Origin::Runtime);
            changes.push((cidr, self.slots[&cidr].rule()));
        }
        changes
    }

    /// Takes entries off; what is not there is told.
    pub(super) fn remove(&mut self, list: List, cidrs: &[IpNet]) -> Result<Vec<Change>, IpNet> {
        let held = |slot: &mut Slot| {
            let kept = slot.of(list).as_ref();
            kept.is_some_and(|kept| kept.origin == Origin::Runtime)
        };
        for cidr in cidrs {
            if !self.slots.get_mut(cidr).is_some_and(held) {
                return Err(*cidr);
            }
        }
        let changes = cidrs.iter().map(|cidr| self.take(list, *cidr));
        Ok(changes.collect())
    }

    fn take(&mut self, list: List, cidr: IpNet) -> Change {
        let Some(slot) = self.slots.get_mut(&cidr) else {
            return (cidr, None);
        };
        *slot.of(list) = None;
        let rule = slot.rule();
        if slot.is_empty() {
            self.slots.remove(&cidr);
        }
        (cidr, rule)
    }

    /// Takes off what has ended.
    pub(super) fn expire(&mut self, now: u64) -> Vec<Change> {
        let lists = [List::Allow, List::Deny].into_iter();
        let over: Vec<(List, IpNet)> = lists
            .flat_map(|list| self.of(list).map(move |(cidr, kept)| (list, cidr, kept)))
            .filter(|(_, _, kept)| is_over(kept.expires, now))
            .map(|(list, cidr, _)| (list, cidr))
            .collect();
        over.into_iter()
            .map(|(list, cidr)| self.take(list, cidr))
            .collect()
    }

    fn of(&self, list: List) -> impl Iterator<Item = (IpNet, &Kept)> {
        let slots = self.slots.iter();
        slots.filter_map(move |(cidr, slot)| Some((*cidr, slot.kept(list)?)))
    }

    /// The networks of a list, of which there may be very many.
    pub(super) fn nets(&self, list: List) -> impl Iterator<Item = IpNet> {
        self.of(list).map(|(cidr, _)| cidr)
    }

    /// Every entry in it.
    pub(super) fn list(&self) -> impl Iterator<Item = Listed> {
        self.slots.iter().flat_map(|(cidr, slot)| {
            let entry = |list, kept: &Option<Kept>| {
                let kept = kept.clone()?;
                Some(Listed {
                    list,
                    cidr: *cidr,
                    origin: kept.origin,
                    reason: kept.reason,
                    since: kept.since,
                    expires: kept.expires,
                })
            };
            let entries = [
                entry(List::Allow, &slot.allow),
                entry(List::Deny, &slot.deny),
            ];
            entries.into_iter().flatten()
        })
    }
}

fn is_over(expires: Option<u64>, now: u64) -> bool {
    expires.is_some_and(|expires| expires <= now)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NOW: u64 = 1_000;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a network")
    }

    fn new(cidr: &str, expires: Option<u64>) -> New {
        New {
            cidr: net(cidr),
            reason: Some("test".to_owned()),
            since: Some(NOW),
            expires,
        }
    }

    fn says(change: Change) -> Option<Rule> {
        change.1.and_then(RuleWord::rule)
    }

    #[test]
    fn what_is_beneath_comes_back() {
        let mut book = Book::default();
        let denied = RuleWord::new(Rule::Deny, 0);
        let mut rules = vec![(net("192.0.2.0/24"), denied), (net("10.0.0.0/8"), denied)];
        book.lay_over(&mut rules, &[], &[], NOW);
        assert_eq!(rules.len(), 2);

        let in_force = |_| Some(denied);
        let added = book.add(List::Allow, vec![new("192.0.2.0/24", None)], in_force);
        assert_eq!(says(added[0]), Some(Rule::Allow));
        book.lay_over(&mut rules, &[], &[], NOW);
        let rule = rules.iter().find(|(cidr, _)| *cidr == net("192.0.2.0/24"));
        assert_eq!(
            says((net("::/0"), rule.map(|(_, rule)| *rule))),
            Some(Rule::Allow)
        );

        let taken = book
            .remove(List::Allow, &[net("192.0.2.0/24")])
            .expect("it is there");
        assert_eq!(taken[0].1, Some(denied));
        assert_eq!(book.list().count(), 0);
    }

    #[test]
    fn what_a_feed_says_comes_back_too() {
        let feed = FeedRules {
            word: RuleWord::new(Rule::Feed, 0),
            nets: [net("192.0.2.0/24"), net("198.51.100.7/32")].into(),
        };
        let mut book = Book::default();
        // Told while it runs, and told before a reload.
        for reloaded in [false, true] {
            for cidr in &*feed.nets {
                let entry = vec![new(&cidr.to_string(), None)];
                let added = book.add(List::Deny, entry, |net| feed.of(net));
                assert_eq!(says(added[0]), Some(Rule::Deny));
            }
            let mut rules = Vec::new();
            if reloaded {
                book.lay_over(&mut rules, std::slice::from_ref(&feed), &[], NOW);
                assert_eq!(rules.len(), 2);
                assert!(
                    rules.iter().all(|(_, rule)| rule.number() > 0),
                    "a number of its own"
                );
            }
            let taken = book.remove(List::Deny, &feed.nets).expect("they are there");
            assert_eq!(
                taken,
                feed.nets
                    .iter()
                    .map(|net| (*net, Some(feed.word)))
                    .collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn allow_wins_and_what_is_not_there_is_told() {
        let mut book = Book::default();
        let entry = || vec![new("192.0.2.7/32", None)];
        book.add(List::Allow, entry(), |_| None);
        let denied = book.add(List::Deny, entry(), |_| None);
        assert_eq!(says(denied[0]), Some(Rule::Allow));
        let left = book
            .remove(List::Allow, &[net("192.0.2.7/32")])
            .expect("it is there");
        assert_eq!(says(left[0]), Some(Rule::Deny));
        let both = [net("192.0.2.7/32"), net("192.0.2.8/32")];
        assert_eq!(book.remove(List::Deny, &both).err(), Some(both[1]));
        assert_eq!(book.list().count(), 1, "all or none");
    }

    #[test]
    fn entries_end_and_the_rest_is_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut book = Book::default();
        let entries = vec![
            new("192.0.2.7/32", Some(NOW + 5)),
            new("2001:db8::/32", None),
        ];
        book.add(List::Deny, entries, |_| None);
        book.save(folder.path()).expect("it can be written");
        assert!(book.expire(NOW + 4).is_empty());
        assert_eq!(book.expire(NOW + 5), [(net("192.0.2.7/32"), None)]);

        let load = |now| Book::load(folder.path(), now);
        assert_eq!(load(NOW).value.list().count(), 2);
        let late = load(NOW + 5);
        assert_eq!(late.warning, None);
        let left: Vec<_> = late.value.list().map(|entry| entry.cidr).collect();
        assert_eq!(left, [net("2001:db8::/32")]);
    }

    #[test]
    fn a_broken_file_of_entries_is_moved_aside_and_told() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "[{").expect("a file");
        let loaded = Book::load(folder.path(), NOW);
        assert_eq!(loaded.value.list().count(), 0);
        let warning = loaded.warning.expect("it is told");
        assert!(warning.contains("entries.json.broken"), "{warning}");
        let book = Book::default();
        book.save(folder.path()).expect("it can be written");
        assert_eq!(Book::load(folder.path(), NOW).warning, None);
    }

    fn ends(book: &Book) -> Vec<Option<u64>> {
        book.list().map(|entry| entry.expires).collect()
    }

    #[test]
    fn what_was_given_a_time_keeps_it_when_the_clock_is_set() {
        let mut book = Book::default();
        let dated = Entry {
            cidr: net("198.51.100.0/24"),
            reason: None,
            expires: Some(NOW + 30),
        };
        book.lay_over(&mut Vec::new(), &[], &[(List::Deny, dated)], NOW);
        let entries = vec![
            new("192.0.2.7/32", Some(NOW + 20)),
            new("192.0.2.8/32", None),
        ];
        book.add(List::Deny, entries, |_| None);
        // Forward by a year: what ends at a date has ended, what ends in 20 seconds has not.
        let year = 365 * 86_400;
        book.shift(year);
        let later = NOW + year.cast_unsigned();
        assert_eq!(ends(&book), [Some(later + 20), None, Some(NOW + 30)]);
        assert_eq!(book.expire(later).len(), 1);
        // And back again.
        book.shift(-year);
        assert!(book.expire(NOW + 19).is_empty());
        assert_eq!(book.expire(NOW + 20).len(), 1);
    }

    #[test]
    fn a_clock_that_was_set_back_while_no_agent_ran_prolongs_nothing_for_years() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut book = Book::default();
        book.add(
            List::Deny,
            vec![new("192.0.2.7/32", Some(NOW + 20))],
            |_| None,
        );
        book.save(folder.path()).expect("it can be written");
        let early = Book::load(folder.path(), NOW - 900).value;
        assert_eq!(ends(&early), [Some(NOW - 900 + 20)], "its time begins anew");
    }

    #[test]
    fn entries_of_the_configuration_end_too() {
        let mut book = Book::default();
        let ending = |expires| {
            let entry = Entry {
                cidr: net("192.0.2.0/24"),
                reason: None,
                expires: Some(expires),
            };
            (List::Allow, entry)
        };
        let denied = (net("192.0.2.0/24"), RuleWord::new(Rule::Deny, 0));
        let mut rules = vec![denied];
        book.lay_over(&mut rules, &[], &[ending(NOW + 1)], NOW);
        assert_eq!(says((rules[0].0, Some(rules[0].1))), Some(Rule::Allow));
        assert_eq!(book.expire(NOW + 1), [(denied.0, Some(denied.1))]);
        let mut rules = vec![denied];
        book.lay_over(&mut rules, &[], &[ending(NOW)], NOW);
        assert_eq!(rules, [denied], "it has ended before");
    }
}
