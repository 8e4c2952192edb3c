//! The switch that lets everything pass for a while.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::{Array, MapData};
use guard_common::wire::{Bypass, COARSE_TICK_SHIFT, Clock};

use super::{Kernel, STARTUP_PROGRAM, object, startup};

const BYPASS: &str = "BYPASS";

impl Kernel {
    /// Lets everything pass from now on for so long, or not any more. The kernel side ends it, so it
    /// ends also when nobody is left to do so. `now_unix` is in seconds since 1970.
    pub fn set_bypass(&mut self, period: Option<Duration>) -> Result<()> {
        let bypass = match period {
            None => Bypass::default(),
            Some(period) => Bypass {
                until: self
                    .ticks()?
                    .saturating_add(self.plan.tick.count_whole(period)),
            },
        };
        let mut map: Array<&mut MapData, Bypass> = object::map(&mut self.ebpf, BYPASS)?;
        map.set(0, bypass, 0).context("setting BYPASS")
    }

    /// Until when everything passes, in seconds since 1970, as it is now.
    pub fn bypass(&self, now_unix: u64) -> Result<Option<u64>> {
        let map = self.ebpf.map(BYPASS).context("there is no map BYPASS")?;
        let map: Array<&MapData, Bypass> = map.try_into().context("BYPASS")?;
        let until = map.get(&0, 0).context("reading BYPASS")?.until;
        if until == 0 {
            return Ok(None);
        }
        // By the clock that the kernel side goes by, which nobody sets.
        let left = until.saturating_sub(self.ticks()?);
        let seconds = left
            .saturating_mul(self.plan.tick.ns)
            .div_ceil(1_000_000_000);
        Ok((left > 0).then_some(now_unix.saturating_add(seconds)))
    }

    /// The running tick.
    fn ticks(&self) -> Result<u64> {
        let program = self.ebpf.program(STARTUP_PROGRAM);
        let program = program
            .context("there is no start-up program")?
            .try_into()?;
        let reading = startup::read(program)?;
        Ok(match self.plan.tick.clock {
            Clock::Jiffies => reading.jiffies,
            Clock::Coarse | Clock::Manual => reading.ns >> COARSE_TICK_SHIFT,
        })
    }
}
