//! The lists of the running agent: entries that come and go, and what decides for an address.

use std::net::IpAddr;

use anyhow::{Context as _, Result, anyhow, ensure};
use guard_common::wire::{Rule, RuleWord};
use ipnet::IpNet;
use tracing::{error, info, warn};

use super::{
    book::{self, Change, New},
    reload::Over,
    state::{Agent, Inner},
    warnings::{self, ShutOut},
};
use crate::{
    config::units,
    entries::{Addition, Done, Edit, List, Listed},
    explanation::{Explanation, Matching},
    kernel::NoRoom,
};

impl Agent {
    /// Adds entries to a list and takes others off: all of it, or nothing.
    pub(super) fn edit(&self, edit: Edit) -> Result<Done> {
        let Edit {
            list,
            add,
            remove,
            reason,
            seconds,
            ssh_connection,
        } = edit;
        let everyone = add.iter().find(|new| units::is_everyone(new.cidr));
        if let Some(Addition { cidr, .. }) = everyone {
            ensure!(
                list != List::Deny,
                "{cidr} is everyone: if that is meant, add a [[deny]] with `everyone = true` to \
                 the configuration, and `guard reload`"
            );
        }
        let inner = &mut *self.lock();
        let now = book::now();
        let expires = seconds.map(|seconds| now.saturating_add(seconds));
        let new = |new: Addition| New {
            cidr: new.cidr.trunc(),
            reason: new.reason.or_else(|| reason.clone()),
            since: Some(now),
            expires,
        };
        let added: Vec<IpNet> = add.iter().map(|new| new.cidr).collect();
        // Before what is denied may be whoever denies it.
        inner.keep_lifelines(ssh_connection);
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
        changes.extend(book.add(list, add.into_iter().map(new).collect(), in_force));
        inner.rules.over.uncover(&mut changes);
        // Written down first: what could not be is not in force either.
        if let Err(error) = inner.save_book() {
            inner.rules.over.book = before;
            return Err(error.context("nothing has changed"));
        }
        if let Err(error) = self.apply(inner, &changes) {
            inner.rules.over.book = before;
            return Err(error.context(if self.undo(inner) {
                "nothing has changed"
            } else {
                "some of it may be in force and some not: `guard reload` goes back to what was before"
            }));
        }
        info!(%list, entries = changes.len(), "entries changed");
        if list == List::Allow || added.is_empty() {
            return Ok(Done::default());
        }
        Ok(inner.warn_of_denied(&added))
    }

    /// Tells file and kernel again what is in the book. Whether both know it.
    fn undo(&self, inner: &mut Inner) -> bool {
        let undone = inner.save_book().and_then(|()| self.renew(inner));
        if let Err(error) = &undone {
            error!(
                error = format!("{error:#}"),
                "a change that was refused may be in force in parts until the next reload"
            );
        }
        undone.is_ok()
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
        if let Err(error) = inner.save_book() {
            // Whoever reads the file leaves out what has ended.
            let error = format!("{error:#}");
            warn!(error, "entries that have ended stay in the file");
        }
        if let Err(error) = self.apply(inner, &changes) {
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

    /// What decides for packets of an address, to a port of this host if one is asked for.
    pub(super) fn explain(&self, address: IpAddr, port: Option<u16>) -> Explanation {
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
        let found = (entries.collect(), ban);
        let spares =
            inner.rules.config.dry_run || matches!(inner.kernel.bypass(book::now()), Ok(Some(_)));
        Explanation::new(
            (address, port),
            decides,
            found,
            (&inner.rules.config, spares),
        )
    }
}

impl Inner {
    pub(super) fn save_book(&self) -> Result<()> {
        self.rules.over.book.save(&self.rules.config.state_dir)
    }

    /// Looks who has an SSH connection to this host, and says whom the rules shut out.
    pub(super) fn look_for_administrators(&mut self) -> Vec<ShutOut> {
        self.keep_lifelines(None);
        let shut_out = warnings::shut_out(self);
        for peer in &shut_out {
            warn!("{}", peer.sentence());
        }
        shut_out
    }

    /// What whoever has denied these networks should know.
    fn warn_of_denied(&mut self, denied: &[IpNet]) -> Done {
        let own = warnings::of_own_denied(denied.iter().copied(), &self.rules);
        if let Some(own) = &own {
            warn!("{own}");
        }
        let shut_out = self.look_for_administrators().into_iter();
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

impl Over {
    /// Where an entry goes that a ban lies under, the ban holds again.
    fn uncover(&self, changes: &mut [Change]) {
        let now = book::now();
        for (cidr, rule) in changes {
            *rule = rule.or_else(|| self.bans.word(*cidr, now));
        }
    }
}
