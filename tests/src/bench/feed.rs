//! The lists as a feed: replaced whole, as a reload does it, and changed by an entry.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use guard::{
    config::{Config, Style},
    kernel::{Kernel, Plan, Tick},
};
use guard_common::wire::{Rule, RuleWord};

use super::{
    Family,
    lists::{self, Lists},
    load::{HASH_SEED, Loaded},
};
use crate::Scratch;

/// How often an entry is added.
const ENTRIES: usize = 101;

/// A kernel side with the lists, and what it took to put them in the place of the same before.
#[derive(Debug)]
pub struct Replaced {
    kernel: Kernel,
    /// From file to configuration, once a round as all of them.
    pub read_in: Vec<Duration>,
    /// From configuration to plan.
    pub planned_in: Vec<Duration>,
    /// From plan to verified programs and filled maps.
    pub loaded_in: Vec<Duration>,
}

impl Replaced {
    /// Replaces them, so many times.
    pub fn new(rounds: usize, lists: &Lists, tick: Tick) -> Result<Self> {
        let folder = Scratch::new()?;
        lists.write(&folder.join("lists"))?;
        let name = folder.join("bench.toml");
        let mut text = "interfaces = [\"lo\"]\n".to_owned();
        // A feed without an entry is refused.
        if !lists.is_empty() {
            text += "[[feed]]\nname = \"lists\"\nfile = \"lists\"";
        }
        let mut kernel = Loaded::new("", None, tick)?.kernel;
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            let start = Instant::now();
            let config = Config::parse(&name.to_string_lossy(), &text)
                .map_err(|errors| anyhow!("{}", errors.render(Style::Plain)))?;
            let read = Instant::now();
            let plan = Plan::new(&config, tick, HASH_SEED);
            let planned = Instant::now();
            kernel = kernel.succeed(&plan)?;
            let loaded = Instant::now();
            for (times, time) in
                times
                    .iter_mut()
                    .zip([read - start, planned - read, loaded - planned])
            {
                times.push(time);
            }
        }
        let [read_in, planned_in, loaded_in] = times;
        Ok(Self {
            kernel,
            read_in,
            planned_in,
            loaded_in,
        })
    }

    /// How long each round took in all.
    pub fn whole(&self) -> Vec<Duration> {
        let parts = self.read_in.iter().zip(&self.planned_in);
        let parts = parts.zip(&self.loaded_in);
        parts
            .map(|((read, planned), loaded)| *read + *planned + *loaded)
            .collect()
    }

    /// How long it takes until one more network of this length is denied, so many times.
    pub fn add_one(&mut self, family: Family, length: u8) -> Result<Vec<Duration>> {
        let mut times = Vec::new();
        for net in lists::alike(family, length, ENTRIES)? {
            let start = Instant::now();
            let denied = RuleWord::new(Rule::Deny, 1);
            self.kernel.change_rules(&[(net, Some(denied))])?;
            times.push(start.elapsed());
        }
        Ok(times)
    }
}
