//! Entries that are against this host itself, or against those who administer it.

use std::{
    collections::{BTreeSet, HashSet},
    net::IpAddr,
};

use guard_common::wire::{Rule, RuleWord};
use ipnet::IpNet;

use super::state::{Inner, Rules};
use crate::{config::Config, entries::List, kernel::Kernel};

/// Entries of the configuration that hold an address of this host: one sentence for each list.
pub(super) fn of_own(config: &Config, own: &BTreeSet<IpAddr>) -> Vec<String> {
    let around: HashSet<IpNet> = own.iter().flat_map(|own| networks_around(*own)).collect();
    let whole: HashSet<IpNet> = own.iter().copied().map(IpNet::from).collect();
    let allowed = config
        .allow
        .iter()
        .filter(|entry| whole.contains(&entry.cidr));
    let denied = config
        .deny
        .iter()
        .filter(|entry| around.contains(&entry.cidr));
    let lists = [
        ("the list allow".to_owned(), allowed.count()),
        ("the list deny".to_owned(), denied.count()),
    ];
    let feeds = config.feeds.iter().map(|feed| {
        let holds = |net: &&IpNet| feed.nets.binary_search(net).is_ok();
        (
            format!("the feed {}", feed.name),
            around.iter().filter(holds).count(),
        )
    });
    lists
        .into_iter()
        .chain(feeds)
        .filter_map(|(list, count)| holds_own(&list, count))
        .collect()
}

/// Entries that the running agent was told to deny and that hold an address of this host.
pub(super) fn of_own_denied(nets: impl Iterator<Item = IpNet>, rules: &Rules) -> Option<String> {
    if !rules.config.protect_self {
        return None;
    }
    let own: Vec<IpNet> = rules.over.own.iter().copied().map(IpNet::from).collect();
    let denied = nets.filter(|net| own.iter().any(|own| net.contains(own)));
    holds_own("the list deny of the running agent", denied.count())
}

fn holds_own(list: &str, count: usize) -> Option<String> {
    let what = match count {
        0 => return None,
        1 => "an entry that holds an address of this host: it is not in force for that".to_owned(),
        _ => format!(
            "{count} entries that hold addresses of this host: they are not in force for those"
        ),
    };
    Some(format!("{list} has {what}"))
}

/// An address that is shut out although it has an SSH connection to this host.
#[derive(Clone, Debug)]
pub(super) struct ShutOut {
    peer: IpAddr,
    /// What decides for it.
    pub(super) net: IpNet,
    by: String,
    /// Its connection goes on.
    is_kept: bool,
}

impl ShutOut {
    pub(super) fn sentence(&self) -> String {
        let Self {
            peer,
            net,
            by,
            is_kept,
        } = self;
        let outlook = if *is_kept {
            "that goes on, but no new one from there will come in: to let it in"
        } else {
            "to keep it"
        };
        format!(
            "{net} ({by}) holds {peer}, which has an SSH connection to this host: {outlook}, \
             `guard allow add {peer}`"
        )
    }
}

/// Those of the other ends of SSH connections that are shut out.
pub(super) fn shut_out(inner: &Inner) -> Vec<ShutOut> {
    let shut_out = inner.lifelines.clients().into_iter().filter_map(|peer| {
        let (net, word) = deciding(&inner.kernel, peer).into_iter().next()?;
        let by = match word.rule()? {
            Rule::Deny => List::Deny.to_string(),
            Rule::Feed => format!("feed {}", inner.rules.feed(word)?),
            Rule::Allow | Rule::Own | Rule::Ban => return None,
        };
        Some(ShutOut {
            peer,
            net,
            by,
            is_kept: inner.lifelines.keeps(peer),
        })
    });
    shut_out.collect()
}

/// The rules of the networks that hold an address. The first one decides.
pub(super) fn deciding(kernel: &Kernel, address: IpAddr) -> Vec<(IpNet, RuleWord)> {
    let nets = networks_around(address.to_canonical());
    let rules = nets.filter_map(|net| Some((net, kernel.rule(net)?)));
    let mut rules: Vec<_> = rules.collect();
    // Stable: in each layer the longest stays the first.
    rules.sort_by_key(|(_, word)| word.layer());
    rules
}

/// The networks that hold an address, the longest first.
fn networks_around(address: IpAddr) -> impl Iterator<Item = IpNet> {
    let whole = IpNet::from(address);
    let lengths = (0..=whole.max_prefix_len()).rev();
    lengths.filter_map(move |len| Some(IpNet::new(address, len).ok()?.trunc()))
}

impl Rules {
    /// The name of the feed that a rule is of.
    pub(super) fn feed(&self, word: RuleWord) -> Option<&str> {
        let feed = self.config.feeds.get(word.number() as usize)?;
        (word.rule() == Some(Rule::Feed)).then_some(&feed.name)
    }
}

impl Inner {
    /// Everything that is to be warned of at this moment.
    pub(super) fn warnings(&self) -> Vec<String> {
        let over = &self.rules.over;
        let denied = of_own_denied(over.book.nets(List::Deny), &self.rules);
        let shut_out = shut_out(self);
        let all = over.broken.iter().chain(&over.warnings);
        let all = all.cloned().chain(denied);
        let all = all
            .chain(self.room.warning())
            .chain(self.map_pins.warning());
        let all = all.chain(shut_out.iter().map(ShutOut::sentence));
        all.chain(self.rejection()).collect()
    }
}
