//! How often what strangers ask for is written down.
//!
//! Both files of the audit log together are bounded, so a stranger who wrote as much as he likes
//! would push out of them what those have done who may.

use std::{
    mem,
    time::{Duration, Instant},
};

/// Refusals that are written down one right after the other.
pub(super) const BURST: u32 = 10;
/// Beyond these, one in so long.
pub(super) const EVERY: Duration = Duration::from_mins(1);

/// Says which refusals are written down.
#[derive(Debug)]
pub(super) struct Pace {
    /// What those that were written down have used up. It passes with the time.
    debt: Duration,
    last: Instant,
    left_out: u64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            debt: Duration::ZERO,
            last: now,
            left_out: 0,
        }
    }

    /// Whether the next one is written down: then with how many were left out since the one before.
    pub(super) fn next(&mut self, now: Instant) -> Option<u64> {
        let passed = now.saturating_duration_since(self.last);
        self.debt = self.debt.saturating_sub(passed);
        self.last = now;
        if self.debt > EVERY * (BURST - 1) {
            self.left_out += 1;
            return None;
        }
        self.debt += EVERY;
        Some(mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_at_once_then_one_a_minute_and_none_uncounted() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..BURST {
            assert_eq!(pace.next(start), Some(0));
        }
        for _ in 0..1_000 {
            assert_eq!(pace.next(start), None);
        }
        let mut now = start + EVERY;
        assert_eq!(pace.next(now), Some(1_000));
        assert_eq!(pace.next(now), None);
        // A day of a hundred a second.
        let (mut written, mut left_out) = (0, 1);
        let end = now + Duration::from_hours(24);
        while now < end {
            now += Duration::from_millis(10);
            match pace.next(now) {
                Some(before) => {
                    written += 1;
                    assert_eq!(before, left_out);
                    left_out = 0;
                }
                None => left_out += 1,
            }
        }
        assert_eq!(written, 24 * 60);
        // Who waits has as many again, and not more.
        now += Duration::from_hours(24);
        let at_once = (0..100).filter(|_| pace.next(now).is_some()).count();
        assert_eq!(at_once, BURST as usize);
    }
}
