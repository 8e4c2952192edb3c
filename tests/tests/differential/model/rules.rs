//! The operator's entries, and the host's own addresses.

use std::{collections::HashMap, net::IpAddr};

use ipnet::IpNet;

use crate::setup::Setup;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Allow,
    Deny,
    Own,
}

/// A rule, and the position of its entry among all.
pub(super) type Entry = (Rule, usize);

pub(super) struct Rules {
    entries: HashMap<IpNet, Entry>,
    /// What was looked up before.
    found: HashMap<IpAddr, Option<Entry>>,
}

impl Rules {
    /// Entries are numbered from the first one of `allow` to the last one of `deny`.
    pub(super) fn new(setup: &Setup) -> Self {
        let deny = setup.deny.iter().map(|net| (net, Rule::Deny));
        let allow = setup.allow.iter().map(|net| (net, Rule::Allow));
        let numbered = allow.chain(deny).zip(0..);
        let mut entries: HashMap<IpNet, Entry> = HashMap::new();
        for ((net, rule), number) in numbered {
            // At equal length allow wins, which has come first.
            entries.entry(*net).or_insert((rule, number));
        }
        for own in &setup.own {
            entries.insert(IpNet::from(*own), (Rule::Own, 0));
        }
        Self {
            entries,
            found: HashMap::new(),
        }
    }

    /// Gives a network a rule, or takes it away.
    pub(super) fn change(&mut self, net: IpNet, entry: Option<Entry>) {
        match entry {
            Some(entry) => self.entries.insert(net, entry),
            None => self.entries.remove(&net),
        };
        self.found.clear();
    }

    /// What the most specific network around an address says.
    pub(super) fn of(&mut self, address: IpAddr) -> Option<Entry> {
        let entries = &self.entries;
        *self.found.entry(address).or_insert_with(|| {
            let around = entries.iter().filter(|(net, _)| net.contains(&address));
            let narrowest = around.max_by_key(|(net, _)| net.prefix_len());
            narrowest.map(|(_, entry)| *entry)
        })
    }
}
