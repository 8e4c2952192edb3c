//! What time it is, when somebody sets the clock.
//!
//! What is to last for a time, such as a ban, lasts for that time and not until a date: when the
//! clock is set, its end is set too. Entries of the configuration name a date and keep it.

use std::{
    mem,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::time::{ClockId, clock_gettime};
use tracing::warn;

use super::state::Inner;

/// A clock that goes off by more than this at once was set; by less, it was put right.
const SET: u64 = 60;

/// Two clocks at one moment, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Since 1970, as somebody has set it.
    wall: u64,
    /// Since the system started, asleep or not, which nobody sets.
    boot: u64,
}

impl Moment {
    /// This one.
    pub(super) fn now() -> Self {
        Self {
            wall: now(),
            // There has been one since Linux 2.6.39.
            boot: clock_gettime(ClockId::CLOCK_BOOTTIME)
                .map_or(0, |time| time.tv_sec().cast_unsigned()),
        }
    }

    /// By how many seconds the clock was set between `earlier` and this moment; nothing when it was
    /// not.
    pub(super) fn set_since(self, earlier: Self) -> Option<i64> {
        let expected =
            i128::from(earlier.wall) + i128::from(self.boot.saturating_sub(earlier.boot));
        let ahead = i128::from(self.wall) - expected;
        let was_set = ahead.unsigned_abs() > u128::from(SET);
        was_set.then(|| i64::try_from(ahead).unwrap_or(i64::MAX))
    }
}

impl Inner {
    /// Keeps what was given a time to that time, when somebody has set the clock.
    pub(super) fn follow_clock(&mut self) {
        let moment = Moment::now();
        let set = moment.set_since(mem::replace(&mut self.moment, moment));
        let Some(seconds) = set else { return };
        warn!(
            seconds,
            "the clock was set: bans, and entries given a time, last as long as they were to"
        );
        self.rules.over.book.shift(seconds);
        self.rules.over.bans.shift(seconds);
        if let Err(error) = self.save_book() {
            let error = format!("{error:#}");
            warn!(error, "a restart would go by the old time of the entries");
        }
    }
}

/// The date `time`, in seconds since 1970, after the clock was set by so many seconds.
pub(crate) fn shifted(time: u64, by: i64) -> u64 {
    time.saturating_add_signed(by)
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clock_that_is_put_right_was_not_set() {
        let before = Moment {
            wall: 1_000_000,
            boot: 500,
        };
        for (wall, boot, set) in [
            (1_000_000, 500, None),
            (1_003_600, 4_100, None),
            (1_003_660, 4_100, None),
            (1_003_540, 4_100, None),
            (1_003_661, 4_100, Some(61)),
            (1_003_539, 4_100, Some(-61)),
            (0, 4_100, Some(-1_003_600)),
        ] {
            assert_eq!(Moment { wall, boot }.set_since(before), set, "{wall}");
        }
        let now = Moment::now();
        assert!(now.boot > 0 && now.wall > 0);
        assert_eq!(Moment::now().set_since(now), None);
    }

    proptest! {
        #[test]
        fn what_was_left_is_left_whoever_sets_the_clock(
            wall in 0..u64::from(u32::MAX),
            left in 0..1_000_000_u64,
            passed in 0..1_000_000_u64,
            set in 0..u64::from(u32::MAX),
        ) {
            let earlier = Moment { wall, boot: 7 };
            let later = Moment { wall: set, boot: 7 + passed };
            let end = wall + left;
            let by = later.set_since(earlier).unwrap_or(0);
            let end = shifted(end, by);
            // In seconds from then on, and never more than a minute off.
            let still = end.cast_signed() - set.cast_signed();
            let due = left.cast_signed() - passed.cast_signed();
            if end > 0 {
                prop_assert!(still.abs_diff(due) <= SET, "{still} instead of {due}");
            }
        }
    }
}
