//! The rules as the kernel side holds them: single addresses in lines of the cache, prefixes as
//! ranges. Filled when the kernel side is loaded, and changed entry by entry since.

mod cut;
mod family;
mod halves;
mod sizes;
mod tables;

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, Pod,
    maps::{Array, Map, MapData},
};
use guard_common::wire::{Rule, RuleWord, Variables};
use ipnet::IpNet;
use thiserror::Error;

pub(super) use self::sizes::Sizes;
pub use self::sizes::{MAX_ADDRESSES, MAX_PREFIXES};
use self::{
    cut::Prefix,
    family::{Family, V4, V6},
    halves::Halves,
    tables::{Change, Changed, Tables},
};
use super::mapped::Mapped;
use crate::status::MapStatus;

/// The map of the program's variables.
const VARIABLES: &str = ".bss";

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

    fn remove(&mut self, rule: RuleWord) {
        if let Some(count) = self.of(rule) {
            *count -= 1;
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            allow: self.allow + other.allow,
            deny: self.deny + other.deny,
            feed: self.feed + other.feed,
            ban: self.ban + other.ban,
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

/// The tables of the loaded kernel side.
pub(super) struct Rules {
    v4: Tables<V4>,
    v6: Tables<V6>,
    variables: Array<MapData, Variables>,
    /// What the program was told last.
    told: Variables,
}

impl Rules {
    /// Takes the tables of `ebpf` and puts `rules` in them. Of several for one network that of the
    /// first layer holds, and of one layer the first.
    pub(super) fn fill(
        ebpf: &mut Ebpf,
        rules: impl Iterator<Item = (IpNet, RuleWord)>,
        seed: [u64; 2],
    ) -> Result<Self> {
        let variables = ebpf
            .take_map(VARIABLES)
            .context("the object has no variables")?;
        let mut filled = Self {
            v4: tables(ebpf, seed)?,
            v6: tables(ebpf, seed)?,
            variables: variables
                .try_into()
                .context("the variables are not what they should be")?,
            told: Variables::NONE,
        };
        for (net, rule) in rules {
            match net {
                IpNet::V4(_) => filled.v4.put(prefix(net), rule),
                IpNet::V6(_) => filled.v6.put(prefix(net), rule),
            }
        }
        filled.v4.write_all()?;
        filled.v6.write_all()?;
        filled.tell(filled.variables())?;
        Ok(filled)
    }

    /// Gives each network its rule, or takes it away: all of them, or none.
    ///
    /// They change one by one, each at one instant, but for prefixes that are shorter than a root,
    /// which change root by root.
    ///
    /// # Errors
    /// [`NoRoom`], or the kernel cannot be told.
    pub(super) fn change(&mut self, changes: &[(IpNet, Option<RuleWord>)]) -> Result<()> {
        let (v4, v6): (Vec<_>, Vec<_>) = changes
            .iter()
            .partition(|(net, _)| matches!(net, IpNet::V4(_)));
        let (v4, v6) = (self.v4.change(&words(&v4)), self.v6.change(&words(&v6)));
        let room = self.v4.demand_room().and_then(|()| self.v6.demand_room());
        if let Err(no_room) = room {
            self.v4.undo(v4);
            self.v6.undo(v6);
            return Err(no_room.into());
        }
        self.write(&v4, &v6)
    }

    fn write(&mut self, v4: &Changed, v6: &Changed) -> Result<()> {
        // Before there is a prefix of the operator that others must yield to.
        let [was, is] = [self.told, self.variables()].map(|told| told.operator_prefixes);
        self.tell(Variables {
            operator_prefixes: [was[0] | is[0], was[1] | is[1]],
            ..self.told
        })?;
        self.v4.write(v4)?;
        self.v6.write(v6)?;
        self.tell(self.variables())
    }

    /// What the program is to be told.
    fn variables(&self) -> Variables {
        Variables {
            halves: [self.v4.holding(), self.v6.holding()],
            operator_prefixes: [
                self.v4.has_operator_prefixes(),
                self.v6.has_operator_prefixes(),
            ],
        }
    }

    fn tell(&mut self, variables: Variables) -> Result<()> {
        if variables != self.told {
            self.variables
                .set(0, variables, 0)
                .context("telling the program which prefixes hold")?;
            self.told = variables;
        }
        Ok(())
    }

    /// The rule of exactly this network, if it has one.
    pub(super) fn get(&self, net: IpNet) -> Option<RuleWord> {
        match net {
            IpNet::V4(_) => self.v4.get(prefix(net)),
            IpNet::V6(_) => self.v6.get(prefix(net)),
        }
    }

    /// How many rules the kernel holds.
    pub(super) fn counts(&self) -> RuleCounts {
        self.v4.counts().plus(self.v6.counts())
    }

    /// What fits in the tables, and what is in them.
    pub(super) fn tables(&self) -> [MapStatus; 4] {
        let ([addresses_v4, ranges_v4], [addresses_v6, ranges_v6]) =
            (self.v4.status(), self.v6.status());
        [addresses_v4, addresses_v6, ranges_v4, ranges_v6]
    }
}

/// A network as a number.
fn prefix(net: IpNet) -> Prefix {
    match net {
        IpNet::V4(net) => (net.network().to_bits().into(), net.prefix_len()),
        IpNet::V6(net) => (net.network().to_bits(), net.prefix_len()),
    }
}

fn words(changes: &[&(IpNet, Option<RuleWord>)]) -> Vec<Change> {
    let word = |rule: Option<RuleWord>| rule.unwrap_or(RuleWord::NONE);
    let changes = changes.iter();
    changes
        .map(|(net, rule)| (prefix(*net), word(*rule)))
        .collect()
}

fn tables<F: Family>(ebpf: &Ebpf, seed: [u64; 2]) -> Result<Tables<F>> {
    let halves = Halves::new(mapped(ebpf, F::RANGES)?, mapped(ebpf, F::ROOTS)?);
    let (lines, filter) = (mapped(ebpf, F::ADDRESSES)?, mapped(ebpf, F::FILTER)?);
    Ok(Tables::new(seed, lines, filter, halves))
}

fn mapped<T: Pod>(ebpf: &Ebpf, name: &str) -> Result<Mapped<T>> {
    let Some(Map::Array(array)) = ebpf.map(name) else {
        bail!("the object has no array {name}");
    };
    Mapped::new(array).with_context(|| format!("mapping {name}"))
}
