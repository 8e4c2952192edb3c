//! The clock of the packet path.

use std::{ops::RangeInclusive, time::Duration};

use guard_common::wire::{COARSE_TICK_NS, Clock};
use nix::time::{ClockId, clock_getres};

/// What a tick may be, in nanoseconds: kernels are built for 24 to 1,000 a second (`CONFIG_HZ`).
const TICKS_NS: RangeInclusive<u64> = 1_000_000..=41_666_667;

/// The clock of the packet path and how long its tick is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Which clock.
    pub clock: Clock,
    /// Nanoseconds of a tick, at least 1.
    pub ns: u64,
}

impl Tick {
    /// The kernel's own: its coarse clocks advance with it, and their resolution is its length
    /// (`clock_getres(2)`). Where that says nothing of the kind, the answer is the coarse clock, whose
    /// reading costs some 20 ns more.
    pub fn of_kernel() -> Self {
        let resolution = clock_getres(ClockId::CLOCK_MONOTONIC_COARSE);
        let ns = resolution.map_or(0, |time| Duration::from(time).as_nanos() as u64);
        Self::of_resolution(ns)
    }

    fn of_resolution(ns: u64) -> Self {
        if TICKS_NS.contains(&ns) {
            return Self {
                clock: Clock::Jiffies,
                ns,
            };
        }
        Self {
            clock: Clock::Coarse,
            ns: COARSE_TICK_NS,
        }
    }

    /// Whole ticks in a time.
    pub(super) fn count_whole(self, time: Duration) -> u64 {
        let ticks = time.as_nanos() / u128::from(self.ns.max(1));
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// The same, as the programs count them.
    pub(super) fn count(self, time: Duration) -> u32 {
        u32::try_from(self.count_whole(time)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolution_that_is_no_tick_has_the_coarse_clock_serve() {
        assert_eq!(Tick::of_resolution(4_000_000).clock, Clock::Jiffies);
        assert_eq!(Tick::of_resolution(4_000_000).ns, 4_000_000);
        for ns in [0, 1, 999_999, 1_000_000_000] {
            assert_eq!(Tick::of_resolution(ns).clock, Clock::Coarse);
            assert_eq!(Tick::of_resolution(ns).ns, COARSE_TICK_NS);
        }
    }
}
