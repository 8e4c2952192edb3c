//! The operator's rules as the kernel side holds them: single addresses in lines of the cache,
//! prefixes as ranges. Filled when the kernel side is loaded, and changed entry by entry since.

mod cut;
mod family;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, Map, MapData},
};
use guard_common::{
    addresses::Line,
    ranges::{MAX_RANGES, ROOTS, Root},
    wire::{Rule, RuleWord, Variables},
};
use ipnet::IpNet;
use thiserror::Error;

use self::{
    cut::{Prefix, cut, roots},
    family::{Family, V4, V6},
};
use super::mapped::{Mapped, wait_for_readers};
use crate::status::MapStatus;

/// The map of the program's variables, which say which halves hold.
const VARIABLES: &str = ".bss";

/// Lines and prefixes there are at least, so that an agent which started without rules can be told
/// many.
const LEAST_LINES: usize = 1 << 10;
const SPARE_PREFIXES: usize = 1 << 12;
/// Of so many addresses, one may find no room in its line.
const ADDRESSES_PER_SPILL: usize = 16;

/// A network and its rule from now on.
type Change = (Prefix, RuleWord);

/// How many rules there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Allowed ones.
    pub allow: u64,
    /// Denied ones.
    pub deny: u64,
    /// Those of feeds.
    pub feed: u64,
    /// Bans.
    pub ban: u64,
}

impl RuleCounts {
    /// The count that a rule belongs to; the host's own addresses have none.
    fn of(&mut self, rule: RuleWord) -> Option<&mut u64> {
        match rule.rule()? {
            Rule::Allow => Some(&mut self.allow),
            Rule::Deny => Some(&mut self.deny),
            Rule::Feed => Some(&mut self.feed),
            Rule::Ban => Some(&mut self.ban),
            Rule::Own => None,
        }
    }

    fn add(&mut self, rule: RuleWord) {
        if let Some(count) = self.of(rule) {
            *count += 1;
        }
    }

    fn add_all(&mut self, others: Self) {
        self.allow += others.allow;
        self.deny += others.deny;
        self.feed += others.feed;
        self.ban += others.ban;
    }

    fn sum(self) -> u64 {
        self.allow + self.deny + self.feed + self.ban
    }

    fn remove(&mut self, rule: RuleWord) {
        if let Some(count) = self.of(rule) {
            *count -= 1;
        }
    }
}

/// There is no room for all of it, and nothing is changed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the tables of the kernel side hold {capacity} prefixes, and {wanted} are asked for")]
pub struct NoRoom {
    /// Prefixes that fit.
    pub capacity: usize,
    /// Prefixes there would be.
    pub wanted: usize,
}

/// How large the tables are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    v4: Size,
    v6: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    /// A power of two.
    lines: u32,
    /// In one half.
    ranges: u32,
}

impl Sizes {
    /// For so many rules, and some more.
    pub(super) fn of(rules: &[(IpNet, RuleWord)]) -> Self {
        let of_v4 = |(net, _): &&(IpNet, RuleWord)| matches!(net, IpNet::V4(_));
        Self {
            v4: Size::of::<V4>(rules.iter().filter(of_v4)),
            v6: Size::of::<V6>(rules.iter().filter(|rule| !of_v4(rule))),
        }
    }

    /// What the mask of the lines is, of both families.
    pub(super) fn masks(&self) -> [u32; 2] {
        [self.v4.lines - 1, self.v6.lines - 1]
    }

    /// Has the maps made so large.
    pub(super) fn set(&self, loader: &mut EbpfLoader<'_>) {
        for (name, size) in [
            (V4::ADDRESSES, self.v4.lines),
            (V6::ADDRESSES, self.v6.lines),
            (V4::RANGES, 2 * self.v4.ranges),
            (V6::RANGES, 2 * self.v6.ranges),
        ] {
            loader.map_max_entries(name, size);
        }
    }
}

impl Size {
    fn of<'a, F: Family>(rules: impl Iterator<Item = &'a (IpNet, RuleWord)>) -> Self {
        let (mut addresses, mut prefixes) = (0_usize, 0_usize);
        for (net, _) in rules {
            if net.prefix_len() == net.max_prefix_len() {
                addresses += 1;
            } else {
                prefixes += 1;
            }
        }
        let lines = addresses.div_ceil(F::LOAD).max(LEAST_LINES);
        let prefixes = prefixes + addresses / ADDRESSES_PER_SPILL + SPARE_PREFIXES;
        Self {
            lines: u32::try_from(lines.next_power_of_two()).unwrap_or(u32::MAX / 2 + 1),
            // Each begins a range and ends one.
            ranges: u32::try_from(2 * prefixes + 1)
                .map_or(MAX_RANGES, |ranges| ranges.min(MAX_RANGES)),
        }
    }
}

/// The tables of the loaded kernel side.
pub(super) struct Rules {
    v4: Tables<V4>,
    v6: Tables<V6>,
    variables: Array<MapData, Variables>,
    /// Whether a half may still be read that is no longer the one that holds.
    left: bool,
}

impl Rules {
    /// Takes the tables of `ebpf` and puts `rules` in them.
    pub(super) fn fill(
        ebpf: &mut Ebpf,
        rules: &[(IpNet, RuleWord)],
        seed: [u64; 2],
    ) -> Result<Self> {
        let variables = ebpf
            .take_map(VARIABLES)
            .context("the object has no variables")?;
        let mut filled = Self {
            v4: Tables::new(ebpf, seed)?,
            v6: Tables::new(ebpf, seed)?,
            variables: variables
                .try_into()
                .context("the variables are not what they should be")?,
            left: false,
        };
        let rules: Vec<_> = rules
            .iter()
            .map(|(net, rule)| (*net, Some(*rule)))
            .collect();
        filled.change(&rules)?;
        Ok(filled)
    }

    /// Gives each network its rule, or takes it away: all of them, or none.
    ///
    /// Prefixes change at one instant; single addresses one by one.
    ///
    /// # Errors
    /// [`NoRoom`], or the kernel cannot be told.
    pub(super) fn change(&mut self, changes: &[(IpNet, Option<RuleWord>)]) -> Result<()> {
        let word = |rule: Option<RuleWord>| rule.unwrap_or(RuleWord::NONE);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (net, rule) in changes {
            match net {
                IpNet::V4(net) => {
                    let first = u128::from(net.network().to_bits());
                    v4.push(((first, net.prefix_len()), word(*rule)));
                }
                IpNet::V6(net) => {
                    v6.push(((net.network().to_bits(), net.prefix_len()), word(*rule)));
                }
            }
        }
        let undo = (self.v4.set(&v4), self.v6.set(&v6));
        let switched = self.switch(&v4, &v6);
        if switched.is_err() {
            self.v4.set(&undo.0);
            self.v6.set(&undo.1);
        }
        switched
    }

    /// Puts what has no place in the lines into the half of the ranges that is not read, and
    /// switches to it.
    fn switch(&mut self, v4: &[Change], v6: &[Change]) -> Result<()> {
        let wanted = (self.v4.prefixes_after(v4), self.v6.prefixes_after(v6));
        if wanted == (None, None) {
            return Ok(());
        }
        self.v4.demand_room(wanted.0.as_ref())?;
        self.v6.demand_room(wanted.1.as_ref())?;
        if self.left {
            wait_for_readers().context("waiting for packets that are being judged")?;
        }
        let halves = [self.v4.write(wanted.0), self.v6.write(wanted.1)];
        self.variables
            .set(0, Variables { halves }, 0)
            .context("switching to the new prefixes")?;
        self.left = true;
        Ok(())
    }

    /// The rule of exactly this network, if it has one.
    pub(super) fn get(&self, net: IpNet) -> Option<RuleWord> {
        match net {
            IpNet::V4(net) => self
                .v4
                .get((net.network().to_bits().into(), net.prefix_len())),
            IpNet::V6(net) => self.v6.get((net.network().to_bits(), net.prefix_len())),
        }
    }

    /// How many rules the kernel holds.
    pub(super) fn counts(&self) -> RuleCounts {
        let mut counts = RuleCounts::default();
        for (tables, prefixes) in [
            (self.v4.listed, &self.v4.prefixes),
            (self.v6.listed, &self.v6.prefixes),
        ] {
            counts.add_all(tables);
            for rule in prefixes.values() {
                counts.add(*rule);
            }
        }
        counts
    }

    /// What fits in the tables, and what is in them.
    pub(super) fn tables(&self) -> [MapStatus; 4] {
        let ([addresses_v4, ranges_v4], [addresses_v6, ranges_v6]) =
            (self.v4.status(), self.v6.status());
        [addresses_v4, addresses_v6, ranges_v4, ranges_v6]
    }
}

/// The tables of one family.
struct Tables<F: Family> {
    seed: [u64; 2],
    lines: Mapped<F::Line>,
    /// What the lines hold.
    listed: RuleCounts,
    ranges: Mapped<F::Range>,
    roots: Mapped<Root>,
    /// What the ranges are made of: prefixes, and addresses that found no room in their line.
    prefixes: BTreeMap<Prefix, RuleWord>,
    /// Ranges in the half that holds.
    used: usize,
    /// From 1; zero where there are no prefixes.
    half: u32,
    /// The half to write next, from 0.
    next: u32,
}

impl<F: Family> Tables<F> {
    fn new(ebpf: &Ebpf, seed: [u64; 2]) -> Result<Self> {
        Ok(Self {
            seed,
            lines: mapped(ebpf, F::ADDRESSES)?,
            listed: RuleCounts::default(),
            ranges: mapped(ebpf, F::RANGES)?,
            roots: mapped(ebpf, F::ROOTS)?,
            prefixes: BTreeMap::new(),
            used: 0,
            half: 0,
            next: 0,
        })
    }

    fn line_of(&self, address: u128) -> usize {
        F::Line::of(F::key(address), self.seed) as usize & (self.lines.len() - 1)
    }

    fn get(&self, (first, len): Prefix) -> Option<RuleWord> {
        let listed = || {
            let rule = self.lines.read(self.line_of(first)).find(F::key(first));
            (u32::from(len) == F::BITS && rule.is_some()).then_some(rule)
        };
        self.prefixes.get(&(first, len)).copied().or_else(listed)
    }

    /// Whether a network has its place in a line, if any.
    fn is_listed(&self, (first, len): Prefix, rule: RuleWord) -> bool {
        if u32::from(len) != F::BITS || self.prefixes.contains_key(&(first, len)) {
            return false;
        }
        !rule.is_some()
            || self
                .lines
                .read(self.line_of(first))
                .find(F::key(first))
                .is_some()
    }

    /// The prefixes after `changes`; nothing when they change none.
    fn prefixes_after(&self, changes: &[Change]) -> Option<BTreeMap<Prefix, RuleWord>> {
        let mut after = None;
        for (prefix, rule) in changes
            .iter()
            .filter(|(prefix, rule)| !self.is_listed(*prefix, *rule))
        {
            let after = after.get_or_insert_with(|| self.prefixes.clone());
            if rule.is_some() {
                after.insert(*prefix, *rule);
            } else {
                after.remove(prefix);
            }
        }
        after
    }

    fn demand_room(&self, wanted: Option<&BTreeMap<Prefix, RuleWord>>) -> Result<(), NoRoom> {
        let wanted = wanted.map_or(0, BTreeMap::len);
        let capacity = (self.ranges.len() / 2 - 1) / 2;
        if wanted > capacity {
            return Err(NoRoom { capacity, wanted });
        }
        Ok(())
    }

    /// Writes new prefixes to the half that is not read, and says which one holds from now on.
    fn write(&mut self, prefixes: Option<BTreeMap<Prefix, RuleWord>>) -> u32 {
        let Some(prefixes) = prefixes else {
            return self.half;
        };
        self.prefixes = prefixes;
        if self.prefixes.is_empty() {
            (self.used, self.half) = (0, 0);
            return self.half;
        }
        let entries = self.prefixes.iter().map(|(prefix, rule)| (*prefix, *rule));
        let ranges = cut(F::BITS, entries);
        let base = self.next as usize * (self.ranges.len() / 2);
        for (at, (start, rule)) in ranges.iter().enumerate() {
            self.ranges.write(base + at, &F::range(*start, *rule));
        }
        let first_root = (self.next * ROOTS) as usize;
        for (at, root) in roots(&ranges, base as u32, F::root_end).enumerate() {
            self.roots.write(first_root + at, &root);
        }
        self.used = ranges.len();
        self.half = self.next + 1;
        self.next ^= 1;
        self.half
    }

    /// Changes the single addresses that have or find a place in their lines. What they were
    /// before comes back.
    fn set(&mut self, changes: &[Change]) -> Vec<Change> {
        let mut before = Vec::new();
        for (prefix, rule) in changes {
            let (first, len) = *prefix;
            if u32::from(len) == F::BITS && !self.prefixes.contains_key(prefix) {
                let at = self.line_of(first);
                let mut line = self.lines.read(at);
                let was = line.find(F::key(first));
                if was != *rule && line.set(F::key(first), *rule) {
                    self.lines.write(at, &line);
                    self.listed.remove(was);
                    self.listed.add(*rule);
                    before.push((*prefix, was));
                }
            }
        }
        before
    }

    fn status(&self) -> [MapStatus; 2] {
        let status = |name: &str, capacity: usize, entries: usize| MapStatus {
            map: name.to_lowercase(),
            capacity: capacity as u64,
            entries: Some(entries as u64),
        };
        [
            status(
                F::ADDRESSES,
                self.lines.len() * F::WAYS,
                self.listed.sum() as usize,
            ),
            status(F::RANGES, self.ranges.len() / 2, self.used),
        ]
    }
}

fn mapped<T: Pod>(ebpf: &Ebpf, name: &str) -> Result<Mapped<T>> {
    let Some(Map::Array(array)) = ebpf.map(name) else {
        bail!("the object has no array {name}");
    };
    Mapped::new(array).with_context(|| format!("mapping {name}"))
}
