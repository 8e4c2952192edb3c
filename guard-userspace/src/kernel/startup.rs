//! The start-up test-run: how long a tick is, and what the kernel side says of itself.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::{Ebpf, TestRun as _, TestRunOptions, programs::Xdp};
use aya_log::EbpfLogger;
use guard_common::wire::{COARSE_TICK_NS, Clock};

use super::{STARTUP_PROGRAM, Tick, object, plan::Plan, program, verify};

/// What kernels are built with (`CONFIG_HZ`).
const TICK_RATES_HZ: [u64; 10] = [24, 32, 64, 100, 128, 200, 250, 256, 300, 1000];
/// Time over which ticks are counted.
const MEASURED: Duration = Duration::from_millis(24);
/// After this long without a clear answer, the coarse clock does.
const PATIENCE: Duration = Duration::from_millis(400);
/// Two readings further apart than this do not tell when a tick fell between them.
const SHARP_NS: u64 = 300_000;

/// Measures the kernel's tick. Where that cannot be told within half a second, the answer is the
/// coarse clock, whose tick is known and whose reading costs some 20 ns more.
pub fn measure_tick() -> Result<Tick> {
    let mut ebpf = object::load(&Plan::idle(), object::Logging::Off, None)?;
    let program = program(&mut ebpf, STARTUP_PROGRAM)?;
    verify(program, STARTUP_PROGRAM)?;
    let deadline = Instant::now() + PATIENCE;
    while let Some(measured_ns) = tick_ns(program, deadline)? {
        if let Some(ns) = nearest_tick_ns(measured_ns) {
            return Ok(Tick {
                clock: Clock::Jiffies,
                ns,
            });
        }
    }
    Ok(Tick {
        clock: Clock::Coarse,
        ns: COARSE_TICK_NS,
    })
}

/// Runs the start-up program of a loaded kernel side; what it says goes to the log.
pub(super) fn report(ebpf: &mut Ebpf) -> Result<()> {
    let mut logger = EbpfLogger::init(ebpf).context("reading the log of the kernel side")?;
    let reading = read(program(ebpf, STARTUP_PROGRAM)?)?;
    logger.flush();
    ensure!(
        reading.ns > 0,
        "the start-up program ran, but did not answer"
    );
    Ok(())
}

/// Both clocks at one instant.
#[derive(Clone, Copy)]
pub(super) struct Reading {
    pub(super) jiffies: u64,
    pub(super) ns: u64,
}

/// Reads them.
pub(super) fn read(program: &Xdp) -> Result<Reading> {
    let frame = [0_u8; 64];
    let mut answer = [0_u8; 64];
    let options = TestRunOptions {
        data_in: Some(&frame),
        data_out: Some(&mut answer),
        ..TestRunOptions::default()
    };
    program
        .test_run(options)
        .context("the start-up test-run failed")?;
    let word = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| answer[at + byte]));
    Ok(Reading {
        jiffies: word(0),
        ns: word(8),
    })
}

/// Nanoseconds of a tick, between two instants at which one fell. Nothing when the deadline passes
/// first.
fn tick_ns(program: &Xdp, deadline: Instant) -> Result<Option<u64>> {
    let Some(first) = next_tick(program, deadline)? else {
        return Ok(None);
    };
    loop {
        let Some(last) = next_tick(program, deadline)? else {
            return Ok(None);
        };
        let elapsed_ns = last.ns - first.ns;
        if elapsed_ns >= MEASURED.as_nanos() as u64 {
            let ticks = last.jiffies - first.jiffies;
            return Ok(Some(elapsed_ns / ticks));
        }
    }
}

/// The first reading after a tick that is known to have just fallen.
fn next_tick(program: &Xdp, deadline: Instant) -> Result<Option<Reading>> {
    let mut before = read(program)?;
    while Instant::now() < deadline {
        let after = read(program)?;
        if after.jiffies != before.jiffies && after.ns - before.ns < SHARP_NS {
            return Ok(Some(after));
        }
        before = after;
    }
    Ok(None)
}

/// The tick, in nanoseconds, that a measurement stands for, if it is within 1 % of one.
fn nearest_tick_ns(measured_ns: u64) -> Option<u64> {
    TICK_RATES_HZ
        .into_iter()
        .map(|hz| 1_000_000_000 / hz)
        .find(|ns| measured_ns.abs_diff(*ns) * 100 < *ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_close_measurement_names_a_tick() {
        assert_eq!(nearest_tick_ns(4_010_000), Some(4_000_000));
        assert_eq!(nearest_tick_ns(3_907_000), Some(3_906_250));
        assert_eq!(nearest_tick_ns(999_000), Some(1_000_000));
        assert_eq!(nearest_tick_ns(3_600_000), None);
    }
}
