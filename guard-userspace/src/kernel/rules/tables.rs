//! The rules of one family: single addresses in lines of the cache, prefixes and what found no room
//! as ranges.

use std::collections::BTreeMap;

use anyhow::Result;
use guard_common::{
    addresses::{Filter, Line as _},
    wire::RuleWord,
};

use super::{NoRoom, RuleCounts, cut::Prefix, family::Family, halves::Halves};
use crate::{kernel::mapped::Mapped, status::MapStatus};

/// A network and its rule from now on.
pub(super) type Change = (Prefix, RuleWord);

/// What changes have done so far.
#[derive(Default)]
pub(super) struct Changed {
    /// What was before; to be undone from the last one on.
    pub(super) before: Vec<Change>,
    /// What is still to be written.
    pub(super) prefixes: Vec<Prefix>,
}

/// The tables of one family.
pub(super) struct Tables<F: Family> {
    seed: [u64; 2],
    lines: Mapped<F::Line>,
    /// Says of most addresses without a rule that they have none.
    filter: Mapped<Filter>,
    halves: Halves<F>,
    /// What the ranges are made of: prefixes, and addresses that found no room in their line.
    prefixes: BTreeMap<Prefix, RuleWord>,
    /// Those of them that are the operator's and hold several addresses.
    operator_prefixes: usize,
    /// Addresses in lines.
    listed: usize,
    counts: RuleCounts,
}

impl<F: Family> Tables<F> {
    pub(super) fn new(
        seed: [u64; 2],
        lines: Mapped<F::Line>,
        filter: Mapped<Filter>,
        halves: Halves<F>,
    ) -> Self {
        Self {
            seed,
            lines,
            filter,
            halves,
            prefixes: BTreeMap::new(),
            operator_prefixes: 0,
            listed: 0,
            counts: RuleCounts::default(),
        }
    }

    /// The rule of exactly this network, if it has one.
    pub(super) fn get(&self, prefix: Prefix) -> Option<RuleWord> {
        let in_line = || {
            let line = self.lines.read(self.line_of(prefix.0));
            let rule = line.find(F::key(prefix.0));
            (is_address::<F>(prefix) && rule.is_some()).then_some(rule)
        };
        self.prefixes.get(&prefix).copied().or_else(in_line)
    }

    /// Gives a network a rule, unless it has one that goes before or is of the same layer. For
    /// tables from which nothing was taken so far; then comes [`Tables::write_all`].
    pub(super) fn put(&mut self, prefix: Prefix, rule: RuleWord) {
        self.update(prefix, is_address::<F>(prefix), |was| {
            if rule.goes_before(was) { rule } else { was }
        });
    }

    /// Writes all prefixes. They hold when the program is told so.
    pub(super) fn write_all(&mut self) -> Result<()> {
        self.demand_room()?;
        self.halves.replace(&self.prefixes)
    }

    /// Gives each network its rule, or with [`RuleWord::NONE`] takes it away: single addresses in
    /// their lines at once, the others when they are written.
    pub(super) fn change(&mut self, changes: &[Change]) -> Changed {
        let mut done = Changed::default();
        for (prefix, rule) in changes {
            let try_line = is_address::<F>(*prefix) && !self.prefixes.contains_key(prefix);
            let (was, in_line) = self.update(*prefix, try_line, |_| *rule);
            if was != *rule {
                done.before.push((*prefix, was));
                done.prefixes.extend((!in_line).then_some(*prefix));
            }
        }
        done
    }

    /// Takes changes back that were not written.
    pub(super) fn undo(&mut self, changed: Changed) {
        for change in changed.before.into_iter().rev() {
            self.change(&[change]);
        }
    }

    /// Writes the prefixes that have changed.
    pub(super) fn write(&mut self, changed: &Changed) -> Result<()> {
        let prefixes = &changed.prefixes;
        if prefixes.is_empty() || self.halves.amend(&self.prefixes, prefixes) {
            return Ok(());
        }
        self.halves.replace(&self.prefixes)
    }

    pub(super) fn demand_room(&self) -> Result<(), NoRoom> {
        let (wanted, capacity) = (self.prefixes.len(), (self.halves.capacity() - 1) / 2);
        if wanted > capacity {
            return Err(NoRoom { capacity, wanted });
        }
        Ok(())
    }

    /// Which half of the ranges holds, as the program is told.
    pub(super) fn holding(&self) -> u32 {
        self.halves.holding()
    }

    /// Whether prefixes of the operator are among the ranges, as the program is told.
    pub(super) fn has_operator_prefixes(&self) -> u32 {
        u32::from(self.operator_prefixes > 0)
    }

    pub(super) fn counts(&self) -> RuleCounts {
        self.counts
    }

    /// What fits in the tables, and what is in them.
    pub(super) fn status(&self) -> [MapStatus; 2] {
        let status = |name: &str, capacity: usize, entries: usize| MapStatus {
            map: name.to_lowercase(),
            capacity: capacity as u64,
            entries: Some(entries as u64),
        };
        [
            status(F::ADDRESSES, self.lines.len() * F::WAYS, self.listed),
            status(F::RANGES, self.halves.capacity(), self.halves.used()),
        ]
    }

    /// Gives a network the rule that it `becomes`, an address `try_line` in its line when there is
    /// room. What it was comes back, and whether it is in its line.
    fn update(
        &mut self,
        prefix: Prefix,
        try_line: bool,
        becomes: impl Fn(RuleWord) -> RuleWord,
    ) -> (RuleWord, bool) {
        let changed = try_line.then(|| self.update_line(prefix.0, &becomes));
        let (changed, in_line) = match changed.flatten() {
            Some(changed) => (changed, true),
            None => (self.update_prefix(prefix, &becomes), false),
        };
        let (was, is) = changed;
        self.counts.remove(was);
        self.counts.add(is);
        (was, in_line)
    }

    /// Nothing when there is no room in the line.
    fn update_line(
        &mut self,
        address: u128,
        becomes: impl Fn(RuleWord) -> RuleWord,
    ) -> Option<(RuleWord, RuleWord)> {
        let at = self.line_of(address);
        let mut line = self.lines.read(at);
        let was = line.find(F::key(address));
        let is = becomes(was);
        if is != was {
            if !line.set(F::key(address), is) {
                return None;
            }
            if is.is_some() {
                self.pass_filter(address);
            }
            self.lines.write(at, &line);
            self.listed += usize::from(is.is_some());
            self.listed -= usize::from(was.is_some());
        }
        Some((was, is))
    }

    fn update_prefix(
        &mut self,
        prefix: Prefix,
        becomes: impl Fn(RuleWord) -> RuleWord,
    ) -> (RuleWord, RuleWord) {
        let was = self.prefixes.get(&prefix).copied();
        let was = was.unwrap_or(RuleWord::NONE);
        let is = becomes(was);
        if is.is_some() {
            self.prefixes.insert(prefix, is);
        } else {
            self.prefixes.remove(&prefix);
        }
        if !is_address::<F>(prefix) {
            self.operator_prefixes += usize::from(is.is_operators());
            self.operator_prefixes -= usize::from(was.is_operators());
        }
        (was, is)
    }

    fn line_of(&self, address: u128) -> usize {
        self.hash(address) as usize & (self.lines.len() - 1)
    }

    /// Has the program look for an address in its line.
    fn pass_filter(&mut self, address: u128) {
        let hash = self.hash(address);
        let at = hash as usize & (self.filter.len() - 1);
        self.filter.write(at, &self.filter.read(at).with(hash));
    }

    fn hash(&self, address: u128) -> u64 {
        F::Line::hash(F::key(address), self.seed)
    }
}

/// Whether a prefix is a single address.
fn is_address<F: Family>((_, len): Prefix) -> bool {
    u32::from(len) == F::BITS
}
