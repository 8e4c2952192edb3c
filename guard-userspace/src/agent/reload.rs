//! Changes of what the running agent enforces: a new configuration, entries that come and go.
//!
//! Each is done whole or not at all, and what goes wrong leaves in force what was.

use std::{
    collections::BTreeSet,
    mem,
    net::IpAddr,
    time::{Instant, SystemTime},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use guard_common::wire::{Rule, RuleWord};
use ipnet::IpNet;
use tracing::{error, info, warn};

use super::{
    book::{self, Book, Change, New},
    state::{Agent, Inner},
    warnings::{self, ShutOut},
};
use crate::{
    bans::Bans,
    config::{Config, Entry, Style, units},
    entries::{Done, Edit, Explanation, List, Listed, Matching},
    kernel::{NoRoom, Plan, Tick},
};

/// What every program of this agent has in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) tick: Tick,
    pub(super) hash_seed: [u64; 2],
}

impl Clock {
    /// What the kernel side is told of a configuration and what is laid over it.
    pub(super) fn plan(self, config: &Config, over: &mut Over) -> Plan {
        let mut plan = Plan::new(config, self.tick, self.hash_seed);
        let feeds = plan.feeds.clone();
        plan.lay_over(|rules| {
            over.book.lay_over(rules, &feeds, &over.ending, book::now());
            if config.protect_self {
                claim(rules, &over.own);
            }
            if config.limits.ban.is_some() {
                over.bans.lay_under(rules, book::now());
            }
        });
        over.warn_of_own(config);
        if over.by_loopback {
            plan.settings.refuses_land = 0;
        }
        plan
    }
}

/// What is laid over the entries of a configuration.
#[derive(Default)]
pub(super) struct Over {
    /// Entries of the configuration that end by themselves.
    pub(super) ending: Vec<(List, Entry)>,
    /// Entries of the running agent.
    pub(super) book: Book,
    /// Sources that stayed over their limit.
    pub(super) bans: Bans,
    /// The addresses of this host.
    pub(super) own: BTreeSet<IpAddr>,
    /// A loopback is protected, on which the host writes to itself.
    pub(super) by_loopback: bool,
    /// What there is to say of the configuration and the addresses of this host.
    pub(super) warnings: Vec<String>,
}

impl Over {
    /// Says, once, what of the configuration is against this host.
    fn warn_of_own(&mut self, config: &Config) {
        let own = config
            .protect_self
            .then(|| warnings::of_own(config, &self.own));
        let own = own.unwrap_or_default();
        for warning in own
            .iter()
            .filter(|warning| !self.warnings.contains(warning))
        {
            warn!("{warning}");
        }
        self.warnings = own;
    }
}

impl Over {
    /// Where an entry goes that a ban lies under, the ban holds again.
    fn uncover(&self, changes: &mut [Change]) {
        let now = book::now();
        for (cidr, rule) in changes {
            *rule = rule.or_else(|| self.bans.word(*cidr, now));
        }
    }
}

/// Whatever is said of the host's own addresses, nobody else has them.
fn claim(rules: &mut Vec<(IpNet, RuleWord)>, own: &BTreeSet<IpAddr>) {
    rules.retain(|(net, _)| {
        let is_own = net.prefix_len() == net.max_prefix_len() && own.contains(&net.addr());
        !is_own
    });
    let word = RuleWord::new(Rule::Own, 0);
    rules.extend(own.iter().map(|own| (IpNet::from(*own), word)));
}

impl Agent {
    /// Follows the addresses of this host.
    pub(super) fn protect_own(&self, own: BTreeSet<IpAddr>) {
        let inner = &mut *self.lock();
        if !inner.rules.config.protect_self || own == inner.rules.over.own {
            return;
        }
        inner.rules.over.own = own;
        match self.renew(inner) {
            Ok(()) => info!("the addresses of this host have changed"),
            Err(error) => error!(
                error = format!("{error:#}"),
                "packets that claim a new address of this host are not dropped"
            ),
        }
    }

    /// Loads what is configured anew, and puts it in the place of what runs.
    fn renew(&self, inner: &mut Inner) -> Result<()> {
        let rules = &mut inner.rules;
        let plan = self.clock.plan(&rules.config, &mut rules.over);
        let mut next = inner.kernel.succeed(&plan)?;
        inner.interfaces.hand_over(&mut inner.kernel, &mut next)?;
        inner.kernel = next;
        Ok(())
    }

    /// Reads the configuration again and puts it in force, whole and at one instant on each
    /// interface.
    pub(super) fn reload(&self) -> Result<Done> {
        let started = Instant::now();
        let mut inner = self.lock();
        let done = self.try_reload(&mut inner);
        inner.reload_failed = done.is_err();
        match &done {
            Ok(()) => info!(
                milliseconds = started.elapsed().as_millis() as u64,
                "the configuration is in force"
            ),
            Err(error) => error!(
                error = format!("{error:#}"),
                "the configuration is not taken; what was in force stays"
            ),
        }
        done?;
        inner.look_for_administrators(None);
        Ok(Done {
            warnings: inner.warnings(),
        })
    }

    fn try_reload(&self, inner: &mut Inner) -> Result<()> {
        let mut config = Config::resolve(self.flags.config.as_deref(), &self.flags)
            .map_err(|errors| anyhow!("{}", errors.render(Style::Plain).trim_end().to_owned()))?;
        demand_same(&inner.rules.config, &config)?;
        let ending = config.take_ending();
        let rules = &mut inner.rules;
        let old_config = mem::replace(&mut rules.config, config);
        let old_ending = mem::replace(&mut rules.over.ending, ending);
        let renewed = self.renew(inner);
        if renewed.is_ok() {
            inner.loaded_at = SystemTime::now();
            self.alerts.configure(&inner.rules.config.alerts);
        } else {
            inner.rules.config = old_config;
            inner.rules.over.ending = old_ending;
        }
        renewed
    }

    /// Adds entries to a list and takes others off: all of it, or nothing.
    pub(super) fn edit(&self, edit: Edit) -> Result<Done> {
        let Edit {
            list,
            add,
            remove,
            reason,
            seconds,
            ssh_client,
        } = edit;
        if let Some(everyone) = add.iter().find(|cidr| units::is_everyone(**cidr)) {
            ensure!(
                list != List::Deny,
                "{everyone} is everyone: if that is meant, add a [[deny]] with `everyone = true` to \
                 the configuration, and `guard reload`"
            );
        }
        let now = book::now();
        let expires = seconds.map(|seconds| now.saturating_add(seconds));
        let new = |cidr: IpNet| New {
            cidr: cidr.trunc(),
            reason: reason.clone(),
            expires,
        };
        let inner = &mut *self.lock();
        let before = inner.rules.over.book.clone();
        let book = &mut inner.rules.over.book;
        let mut changes = book.remove(list, &remove).map_err(|cidr| {
            anyhow!(
                "{cidr} is not among the entries that `guard {list} add` has made: `guard {list} \
                 list` shows them"
            )
        })?;
        // What a ban says of a network is not the configuration's to keep.
        let in_force = |cidr| {
            let word = inner.kernel.rule(cidr);
            word.filter(|word| word.rule() != Some(Rule::Ban))
        };
        changes.extend(book.add(list, add.iter().copied().map(new).collect(), in_force));
        inner.rules.over.uncover(&mut changes);
        let done = self
            .apply(inner, &changes)
            .and_then(|()| inner.rules.over.book.save(&inner.rules.config.state_dir));
        if let Err(error) = done {
            // What the kernel was told is told again, with what is in the book, by a reload.
            inner.rules.over.book = before;
            return Err(error);
        }
        info!(%list, entries = changes.len(), "entries changed");
        if list == List::Allow || add.is_empty() {
            return Ok(Done::default());
        }
        Ok(inner.warn_of_denied(&add, ssh_client))
    }

    /// Takes off the entries that have ended.
    pub(super) fn expire_entries(&self) {
        let inner = &mut *self.lock();
        let mut changes = inner.rules.over.book.expire(book::now());
        inner.rules.over.uncover(&mut changes);
        if changes.is_empty() {
            return;
        }
        info!(entries = changes.len(), "entries have ended");
        let state_dir = &inner.rules.config.state_dir;
        let saved = inner.rules.over.book.save(state_dir);
        if let Err(error) = self.apply(inner, &changes).and(saved) {
            error!(
                error = format!("{error:#}"),
                "entries that have ended stay in force"
            );
        }
    }

    /// Tells the kernel of changes; where its tables have no room for them, a new program with
    /// larger ones takes over.
    pub(super) fn apply(&self, inner: &mut Inner, changes: &[Change]) -> Result<()> {
        let done = inner.kernel.change_rules(changes);
        let Err(error) = done else {
            return Ok(());
        };
        if !error.is::<NoRoom>() {
            return Err(error);
        }
        self.renew(inner).context("making room")
    }

    /// The entries of a list: those of the configuration first.
    pub(super) fn entries(&self, list: List) -> Vec<Listed> {
        let inner = self.lock();
        let configured = match list {
            List::Allow => &inner.rules.config.allow,
            List::Deny => &inner.rules.config.deny,
        };
        let configured = configured
            .iter()
            .map(|entry| Listed::configured(list, entry));
        let others = inner
            .rules
            .over
            .book
            .list()
            .filter(|entry| entry.list == list);
        configured.chain(others).collect()
    }

    /// What decides for packets of an address.
    pub(super) fn explain(&self, address: IpAddr) -> Explanation {
        let inner = self.lock();
        let rules = warnings::deciding(&inner.kernel, address);
        let decides = rules.first().and_then(|(_, word)| word.rule());
        let entries = rules.iter().filter_map(|(cidr, word)| {
            let packets = inner.kernel.counters.rule_hits(word.number());
            if let Some(name) = inner.rules.feed(*word) {
                return Some(Matching::of_feed(*cidr, name, packets));
            }
            let entry = inner.entry(*cidr, *word)?;
            Some(Matching::of_operator(entry, packets))
        });
        let ban = inner.rules.over.bans.around(address, book::now());
        Explanation::new(address, decides, entries.collect(), ban)
    }
}

impl Inner {
    /// Looks who has an SSH connection to this host, or asks by one as `ssh_client`, and says whom
    /// the rules shut out.
    pub(super) fn look_for_administrators(&mut self, ssh_client: Option<IpAddr>) -> Vec<ShutOut> {
        self.peers.look(ssh_client);
        let shut_out = warnings::shut_out(self);
        for peer in &shut_out {
            warn!("{}", peer.sentence());
        }
        shut_out
    }

    /// What whoever has denied these networks should know.
    fn warn_of_denied(&mut self, denied: &[IpNet], ssh_client: Option<IpAddr>) -> Done {
        let own = warnings::of_own_denied(denied.iter().copied(), &self.rules);
        if let Some(own) = &own {
            warn!("{own}");
        }
        let shut_out = self.look_for_administrators(ssh_client).into_iter();
        let now = shut_out.filter(|peer| denied.contains(&peer.net));
        Done {
            warnings: own
                .into_iter()
                .chain(now.map(|peer| peer.sentence()))
                .collect(),
        }
    }

    /// The entry of the operator that a rule comes from.
    fn entry(&self, cidr: IpNet, word: RuleWord) -> Option<Listed> {
        let list = match word.rule()? {
            Rule::Allow => List::Allow,
            Rule::Deny => List::Deny,
            Rule::Own | Rule::Feed | Rule::Ban => return None,
        };
        let config = &self.rules.config;
        let mut configured = config.allow.iter().chain(&config.deny);
        // Feeds have the first numbers.
        let position = (word.number() as usize).checked_sub(config.feeds.len())?;
        match configured.nth(position) {
            Some(entry) => Some(Listed::configured(list, entry)),
            None => self
                .rules
                .over
                .book
                .list()
                .find(|entry| (entry.list, entry.cidr) == (list, cidr)),
        }
    }
}

/// What a reload does not change.
fn demand_same(old: &Config, new: &Config) -> Result<()> {
    let names = |config: &Config| -> Vec<String> {
        config
            .services
            .iter()
            .map(|service| service.name.clone())
            .collect()
    };
    for (same, what) in [
        (old.interfaces == new.interfaces, "the interfaces"),
        (old.xdp_mode == new.xdp_mode, "`xdp_mode`"),
        (old.listen == new.listen, "`listen`"),
        (old.socket == new.socket, "the socket"),
        (old.state_dir == new.state_dir, "the state folder"),
        (old.bpffs == new.bpffs, "the folder of pins"),
        (names(old) == names(new), "the names of the services"),
    ] {
        ensure!(
            same,
            "a reload does not change {what}: restart guard for that"
        );
    }
    Ok(())
}
