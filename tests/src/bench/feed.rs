//! The lists as a feed: replaced whole, as a reload does it, and changed by an entry.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use guard::{
    config::{Config, Style},
    kernel::{Kernel, Plan, Tick},
};
use guard_common::wire::{Rule, RuleWord};

use super::{
    Family, Scale,
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
    /// From file to configuration.
    pub read_in: Duration,
    /// From configuration to plan.
    pub planned_in: Duration,
    /// From plan to verified programs and filled maps.
    pub loaded_in: Duration,
}

impl Replaced {
    /// Medians of several rounds.
    pub fn new(scale: &Scale, lists: &Lists, tick: Tick) -> Result<Self> {
        let folder = Scratch::new()?;
        lists.write(&folder.join("lists"))?;
        let name = folder.join("bench.toml");
        let text = "interfaces = [\"lo\"]\n[[feed]]\nname = \"lists\"\nfile = \"lists\"";
        let mut kernel = Loaded::new("", None, tick)?.kernel;
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..scale.rounds {
            let start = Instant::now();
            let config = Config::parse(&name.to_string_lossy(), text)
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
        let [read, planned, loaded] = times.map(median);
        Ok(Self {
            kernel,
            read_in: read.context("no round")?,
            planned_in: planned.context("no round")?,
            loaded_in: loaded.context("no round")?,
        })
    }

    /// How long it takes until one more network of this length is denied, as a median.
    pub fn add_one(&mut self, family: Family, length: u8) -> Result<Duration> {
        let mut times = Vec::new();
        for net in lists::alike(family, length, ENTRIES)? {
            let start = Instant::now();
            let denied = RuleWord::new(Rule::Deny, 1);
            self.kernel.change_rules(&[(net, Some(denied))])?;
            times.push(start.elapsed());
        }
        median(times).context("no entry")
    }
}

fn median(mut times: Vec<Duration>) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}
