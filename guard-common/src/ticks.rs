//! Ticks of the clock, of which only differences mean something.

/// Ticks by which a CPU may lag behind what another has written down: a virtual one can be stopped
/// between reading the clock and using it. At least a minute.
pub(crate) const MAX_SKEW: u32 = 1 << 16;

/// Ticks from `since` to `now`. The counter wraps, and so does the difference, rightly; just before
/// that it is a lag, and none have gone by.
#[inline(always)]
pub(crate) const fn elapsed(since: u32, now: u32) -> u32 {
    let elapsed = now.wrapping_sub(since);
    if elapsed >= MAX_SKEW.wrapping_neg() {
        0
    } else {
        elapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_may_wrap_and_a_clock_may_lag() {
        assert_eq!(elapsed(7, 7), 0);
        assert_eq!(elapsed(u32::MAX, 1), 2);
        assert_eq!(elapsed(7, 6), 0);
        assert_eq!(elapsed(0, MAX_SKEW.wrapping_neg()), 0);
        let longest = MAX_SKEW.wrapping_neg() - 1;
        assert_eq!(elapsed(9, longest.wrapping_add(9)), longest);
    }
}
