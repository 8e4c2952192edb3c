//! Loads the kernel side, through nothing but what the agent itself goes through.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use guard::{
    config::{Config, Style},
    kernel::{Kernel, Place, Plan, Tick},
};

use super::{
    lists::Lists,
    memory::{self, MapMemory},
};

/// Any will do, and the same one each time makes figures comparable.
pub(super) const HASH_SEED: [u64; 2] = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];

/// A kernel side, and what it took to load.
#[derive(Debug)]
pub struct Loaded {
    /// It.
    pub kernel: Kernel,
    /// Its maps, the largest first.
    pub maps: Vec<MapMemory>,
    /// From configuration to plan.
    pub planned_in: Duration,
    /// From plan to verified programs and filled maps.
    pub loaded_in: Duration,
}

impl Loaded {
    /// Loads what `settings`, a TOML text, and `lists` ask for.
    pub fn new(settings: &str, lists: Option<&Lists>, tick: Tick) -> Result<Self> {
        let text = format!("interfaces = [\"lo\"]\n{settings}");
        let mut config = Config::parse("bench.toml", &text)
            .map_err(|errors| anyhow!("{}", errors.render(Style::Plain)))?;
        if let Some(lists) = lists {
            lists.deny(&mut config)?;
        }
        let before = memory::open_maps()?;
        let start = Instant::now();
        let mut plan = Plan::new(&config, tick, HASH_SEED);
        plan.settings.asks_sockets = 0;
        let planned_in = start.elapsed();
        let start = Instant::now();
        let kernel = Kernel::load(&plan, Some(Place::private()?))?;
        Ok(Self {
            kernel,
            planned_in,
            loaded_in: start.elapsed(),
            maps: memory::opened_since(&before)?,
        })
    }
    /// Bytes of all its maps.
    pub fn map_bytes(&self) -> u64 {
        self.maps.iter().map(|map| map.bytes).sum()
    }
}
