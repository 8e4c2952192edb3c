//! The packet path's one clock.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns};
use guard_common::wire::{COARSE_TICK_SHIFT, Clock};

use crate::{maps, settings};

/// The running tick. It wraps: only differences mean something.
#[inline(always)]
pub(crate) fn now() -> u32 {
    ticks() as u32
}

/// The running tick, which does not wrap.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    const JIFFIES: u32 = Clock::Jiffies as u32;
    const COARSE: u32 = Clock::Coarse as u32;

    match settings::clock() {
        JIFFIES => jiffies(),
        // SAFETY: the helper takes nothing and touches nothing.
        COARSE => (unsafe { bpf_ktime_get_coarse_ns() }) >> COARSE_TICK_SHIFT,
        _ => maps::manual_clock_ns() >> COARSE_TICK_SHIFT,
    }
}

/// The kernel's tick counter.
#[inline(always)]
pub(crate) fn jiffies() -> u64 {
    // SAFETY: the helper takes nothing and touches nothing.
    unsafe { bpf_jiffies64() }
}

/// The word for the clock that is read.
#[inline(always)]
pub(crate) fn name() -> &'static str {
    const JIFFIES: u32 = Clock::Jiffies as u32;
    const COARSE: u32 = Clock::Coarse as u32;

    match settings::clock() {
        JIFFIES => "jiffies",
        COARSE => "coarse",
        _ => "manual",
    }
}
