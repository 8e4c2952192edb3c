//! The kernel side as the agent handles it: load, measure, attach, read.

mod counters;
mod object;
mod plan;

use std::fmt;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, MapData, RingBuf},
    programs::Xdp,
};

pub use self::{
    counters::{Counters, EventCounts},
    plan::{Plan, Tick},
};

/// The program that judges packets, as the kernel lists it.
pub const PROGRAM: &str = "guard";
/// The program that is run once, at start.
const STARTUP_PROGRAM: &str = "guard_startup";

/// A loaded kernel side. Dropping it detaches and unloads everything.
pub struct Kernel {
    ebpf: Ebpf,
    /// What it counts.
    pub counters: Counters,
    /// What it tells of single packets.
    pub events: RingBuf<MapData>,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads the kernel side and has it verified.
    pub fn load(plan: &Plan) -> Result<Self> {
        let mut ebpf = object::load(plan)?;
        for name in [PROGRAM, STARTUP_PROGRAM] {
            program(&mut ebpf, name)?
                .load()
                .with_context(|| format!("the kernel's verifier refused the program {name}"))?;
        }
        let counters = Counters::new(&mut ebpf)?;
        let events = ebpf.take_map("EVENTS").context("the object has no map EVENTS")?;
        let events = events.try_into().context("EVENTS")?;
        Ok(Self { ebpf, counters, events })
    }

    /// The program that judges packets.
    pub fn program(&mut self) -> Result<&mut Xdp> {
        program(&mut self.ebpf, PROGRAM)
    }

    /// Sets the clock of a plan with [`guard_common::wire::Clock::Manual`].
    pub fn set_manual_clock(&mut self, now_ns: u64) -> Result<()> {
        let mut clock: Array<&mut MapData, u64> = object::map(&mut self.ebpf, "CLOCK")?;
        clock.set(0, now_ns, 0).context("setting CLOCK")
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program =
        ebpf.program_mut(name).with_context(|| format!("the object has no program {name}"))?;
    program.try_into().with_context(|| format!("the program {name} is not XDP"))
}
