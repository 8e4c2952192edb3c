//! The operator's entries, the host's own addresses, and what feeds and bans say where those say
//! nothing.

use std::{cmp::Reverse, collections::HashMap, net::IpAddr};

use ipnet::IpNet;

use crate::setup::Setup;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Allow,
    Deny,
    Own,
    Feed,
    Ban,
}

impl Rule {
    /// What goes before has the lower number.
    fn layer(self) -> u8 {
        match self {
            Self::Allow | Self::Deny | Self::Own => 0,
            Self::Feed => 1,
            Self::Ban => 2,
        }
    }
}

/// A rule, and the position of its entry among all.
pub(super) type Entry = (Rule, usize);

pub(super) struct Rules {
    entries: HashMap<IpNet, Entry>,
    /// What was looked up before.
    found: HashMap<IpAddr, Option<Entry>>,
}

impl Rules {
    /// Entries are numbered from the first one of `allow` to the last one that is banned.
    pub(super) fn new(setup: &Setup) -> Self {
        let deny = setup.deny.iter().map(|net| (net, Rule::Deny));
        let allow = setup.allow.iter().map(|net| (net, Rule::Allow));
        let feed = setup.feed.iter().map(|net| (net, Rule::Feed));
        let banned = setup.banned.iter().map(|net| (net, Rule::Ban));
        let numbered = allow.chain(deny).chain(feed).chain(banned).zip(0..);
        let mut entries: HashMap<IpNet, Entry> = HashMap::new();
        for ((net, rule), number) in numbered {
            // Of one network, what has come first wins: allow before all others.
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

    /// What the most specific network around an address says, of the first layer that says anything.
    /// The ban of an address goes before the feed's networks around it: nobody asks them then.
    pub(super) fn of(&mut self, address: IpAddr) -> Option<Entry> {
        let entries = &self.entries;
        *self.found.entry(address).or_insert_with(|| {
            let around = entries.iter().filter(|(net, _)| net.contains(&address));
            let deciding = around.min_by_key(|(net, (rule, _))| {
                let is_address = net.prefix_len() == net.max_prefix_len();
                let layer = if is_address {
                    rule.layer().min(1)
                } else {
                    rule.layer()
                };
                (layer, Reverse(net.prefix_len()))
            });
            deciding.map(|(_, entry)| *entry)
        })
    }
}
