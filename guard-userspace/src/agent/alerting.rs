//! What the loop does for alerts, once a second.

use std::collections::HashSet;

use guard_common::wire::{Rule, RuleWord};
use ipnet::IpNet;
use tracing::debug;

use super::state::{Agent, Extent, Inner};
use crate::entries::List;

/// Entries for whose network the kernel side holds no rule at all, by list. An entry that is not in
/// force since another goes before it is not among them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Missing {
    pub(super) allow: u64,
    pub(super) deny: u64,
    pub(super) feed: u64,
    /// What was configured and in force of each list when it was last counted: while that stays the
    /// same, so does this.
    seen: [(u64, u64); 3],
}

impl Agent {
    /// Looks whether there is cause for an alert.
    pub(super) fn look_for_alerts(&self) {
        if !self.alerts.are_wanted() {
            return;
        }
        match self.snapshot(Extent::ForAlerts) {
            Ok(status) => self.alerts.observe(&status),
            // The metrics and the status say it too, to whoever asks.
            Err(error) => debug!(
                error = format!("{error:#}"),
                "no alerts: nothing can be read"
            ),
        }
    }
}

impl Inner {
    /// Looks for entries that nothing stands for, where the sums have changed and do not agree.
    pub(super) fn count_missing(&mut self) {
        let in_force = self.kernel.rules();
        let seen = [
            (self.configured(List::Allow) as u64, in_force.allow),
            (self.configured(List::Deny) as u64, in_force.deny),
            (self.listed_by_feeds() as u64, in_force.feed),
        ];
        if seen == self.missing.seen {
            return;
        }
        let lacks = |(configured, in_force): (u64, u64)| configured > in_force;
        self.missing = Missing {
            allow: self.missing_of(List::Allow, lacks(seen[0])),
            deny: self.missing_of(List::Deny, lacks(seen[1])),
            feed: self.missing_of_feeds(seen[2].0, seen[2].1),
            seen,
        };
    }

    fn missing_of(&self, list: List, lacks: bool) -> u64 {
        if !lacks {
            return 0;
        }
        self.nets_of(list)
            .filter(|net| self.kernel.rule(*net).is_none())
            .count() as u64
    }

    /// Feeds may be very long: what goes before them is looked for instead, and is what lacks
    /// otherwise.
    fn missing_of_feeds(&self, configured: u64, in_force: u64) -> u64 {
        let lacking = configured.saturating_sub(in_force);
        if lacking == 0 {
            return 0;
        }
        let feeds = &self.rules.config.feeds;
        let is_listed = |net: &IpNet| {
            feeds
                .iter()
                .any(|feed| feed.nets.binary_search(net).is_ok())
        };
        let own = self.rules.over.own.iter().copied().map(IpNet::from);
        let before: HashSet<IpNet> = own
            .chain(self.nets_of(List::Allow))
            .chain(self.nets_of(List::Deny))
            .filter(is_listed)
            .collect();
        let is_overruled = |net: &&IpNet| {
            let rule = self.kernel.rule(**net).and_then(RuleWord::rule);
            rule.is_some_and(|rule| rule != Rule::Feed)
        };
        let overruled = before.iter().filter(is_overruled).count();
        lacking.saturating_sub(overruled as u64)
    }

    /// The networks on a list, by the configuration and by the running agent.
    fn nets_of(&self, list: List) -> impl Iterator<Item = IpNet> {
        let config = &self.rules.config;
        let configured = match list {
            List::Allow => &config.allow,
            List::Deny => &config.deny,
        };
        let book = self.rules.over.book.list();
        let book = book.filter(move |entry| entry.list == list);
        configured
            .iter()
            .map(|entry| entry.cidr)
            .chain(book.map(|entry| entry.cidr))
    }
}
