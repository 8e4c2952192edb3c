//! The kernel side as the agent handles it: load, measure, attach, read.

mod addresses;
mod attach;
mod counters;
mod object;
mod pins;
mod plan;
mod startup;

use std::{fmt, iter::Sum, path::Path};

use anyhow::{Context as _, Error, Result};
use aya::{
    Ebpf,
    maps::{Array, MapData, RingBuf},
    programs::{ProgramError, TestRun as _, TestRunOptions, Xdp},
};
use guard_common::{
    reason::{Reason, Verdict},
    wire::Told,
};

use crate::status::MapStatus;

pub use self::{
    attach::{AttachError, Attachment, Mode},
    counters::{Counters, EventCounts},
    pins::Pins,
    plan::{Plan, Tick},
    startup::measure_tick,
};

/// The program that judges packets, as the kernel lists it.
pub const PROGRAM: &str = "guard";
/// The program that is run once, at start.
const STARTUP_PROGRAM: &str = "guard_startup";

/// A loaded kernel side. Dropping it unloads everything that is not attached.
pub struct Kernel {
    ebpf: Ebpf,
    _pins: Option<Pins>,
    program_id: u32,
    tables: Vec<MapStatus>,
    rules: RuleCounts,
    /// What it counts.
    pub counters: Counters,
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").finish_non_exhaustive()
    }
}

impl Kernel {
    /// Loads the kernel side, has it verified, and runs its start-up program, which says in the
    /// log what it was told. With `pins` the maps are pinned in that folder.
    pub fn load(plan: &Plan, pins: Option<&Path>) -> Result<Self> {
        let mut ebpf = object::load(plan, object::Logging::On)?;
        for name in [PROGRAM, STARTUP_PROGRAM] {
            verify(program(&mut ebpf, name)?, name)?;
        }
        let pins = pins.map(|folder| Pins::make(&ebpf, folder)).transpose()?;
        startup::report(&mut ebpf)?;
        let in_force = object::count_rules(&mut ebpf)?;
        let tables = object::tables(&mut ebpf, &in_force)?;
        let rules = in_force.values().copied().sum();
        let counters = Counters::new(&mut ebpf)?;
        let program_id = program(&mut ebpf, PROGRAM)?
            .info()
            .context("what the kernel calls the program")?
            .id();
        Ok(Self {
            ebpf,
            _pins: pins,
            program_id,
            tables,
            rules,
            counters,
        })
    }

    /// What the program tells of single packets. There is one reader.
    pub fn take_events(&mut self) -> Result<RingBuf<MapData>> {
        let map = self
            .ebpf
            .take_map("EVENTS")
            .context("the events have a reader already")?;
        map.try_into().context("EVENTS is not a ring buffer")
    }

    /// The program that judges packets.
    pub fn program(&mut self) -> Result<&mut Xdp> {
        program(&mut self.ebpf, PROGRAM)
    }

    /// What becomes of a frame, without any interface: a test-run of the program, which a plan has
    /// to have told to tell.
    pub fn judge(&mut self, frame: &[u8]) -> Result<(Verdict, Reason)> {
        let options = TestRunOptions {
            data_in: Some(frame),
            ..TestRunOptions::default()
        };
        let answer = self
            .program()?
            .test_run(options)
            .context("the kernel does not run the program on it")?;
        Told(answer.return_value)
            .read()
            .context("the program does not tell what it did")
    }

    /// What the kernel calls the program that judges packets.
    pub fn program_id(&self) -> u32 {
        self.program_id
    }

    /// Sets the clock of a plan with [`guard_common::wire::Clock::Manual`].
    pub fn set_manual_clock(&mut self, now_ns: u64) -> Result<()> {
        let mut clock: Array<&mut MapData, u64> = object::map(&mut self.ebpf, "CLOCK")?;
        clock.set(0, now_ns, 0).context("setting CLOCK")
    }

    /// Allowed and denied networks that the kernel holds.
    pub fn rules(&self) -> RuleCounts {
        self.rules
    }

    /// The tables that traffic or the operator fills, and how much fits.
    pub fn tables(&self) -> &[MapStatus] {
        &self.tables
    }
}

/// How many rules there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCounts {
    /// Allowed ones.
    pub allow: u64,
    /// Denied ones.
    pub deny: u64,
}

impl Sum for RuleCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, counts| Self {
            allow: sum.allow + counts.allow,
            deny: sum.deny + counts.deny,
        })
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp> {
    let program = ebpf
        .program_mut(name)
        .with_context(|| format!("the object has no program {name}"))?;
    program
        .try_into()
        .with_context(|| format!("the program {name} is not XDP"))
}

/// Loads the program into the kernel. Of what the verifier says against it, which is long, the
/// error holds the last line; all of it goes to the log as `debug`.
fn verify(program: &mut Xdp, name: &str) -> Result<()> {
    let Err(error) = program.load() else {
        return Ok(());
    };
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return Err(error).with_context(|| format!("loading the program {name}"));
    };
    let log = verifier_log.to_string();
    tracing::debug!(program = name, log, "refused by the verifier");
    let reason = verdict_line(&log)
        .unwrap_or("it does not say why")
        .to_owned();
    Err(Error::new(io_error))
        .with_context(|| format!("the kernel's verifier refused the program {name}: {reason}"))
}

/// The line of a verifier's log that says why: the last one before its statistics.
fn verdict_line(log: &str) -> Option<&str> {
    let statistics = ["processed ", "stack depth ", "verification time "];
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !statistics.iter().any(|start| line.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_gives_its_reason_last() {
        let log = "0: R1=ctx()\nR4 invalid zero-sized read\nverification time 3 usec\n\
                   stack depth 8\nprocessed 4 insns (limit 1000000)\n\n";
        assert_eq!(verdict_line(log), Some("R4 invalid zero-sized read"));
        assert_eq!(verdict_line(""), None);
    }
}
