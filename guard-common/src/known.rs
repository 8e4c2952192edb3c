//! Whom the host's own stack talks with: a table that only what leaves the host is written to.
//!
//! A line holds eight sources, each with the tick at which the host last sent it something. A new
//! one takes the place of the one heard of longest ago. What comes in changes nothing here, so no
//! flood does.

use core::cell::Cell;

use crate::ticks::elapsed;

/// Sources in a line.
pub const KNOWN_WAYS: usize = 8;
/// Tag and tick: the tag in the high half, never zero.
type Way = Cell<u64>;

/// Eight known sources.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Known {
    ways: [Way; KNOWN_WAYS],
}

const _: () = assert!(size_of::<Known>() == 64);

impl Known {
    /// Whether the host has sent the source `tag` something in the last `ticks`.
    #[inline(always)]
    #[must_use]
    pub fn holds(&self, tag: u32, now: u32, ticks: u32) -> bool {
        for way in &self.ways {
            let word = way.get();
            if (word >> 32) as u32 == tag {
                return elapsed(word as u32, now) <= ticks;
            }
        }
        false
    }

    /// Notes that the host sends the source `tag` something. One that was noted less than `fresh`
    /// ticks ago is left as it is: two CPUs need not fight for the line with each segment.
    #[inline(always)]
    pub fn note(&self, tag: u32, now: u32, fresh: u32) {
        let mut place = &self.ways[0];
        let mut longest = 0;
        for way in &self.ways {
            let word = way.get();
            let age = elapsed(word as u32, now);
            if (word >> 32) as u32 == tag {
                if age >= fresh {
                    way.set(u64::from(tag) << 32 | u64::from(now));
                }
                return;
            }
            // The first free place is taken: it is found soonest.
            let age = if word == 0 {
                u64::MAX
            } else {
                u64::from(age) + 1
            };
            if age > longest {
                (place, longest) = (way, age);
            }
        }
        place.set(u64::from(tag) << 32 | u64::from(now));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, vec::Vec};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Longer than anything here lasts.
    const EVER: u32 = 1 << 30;

    proptest! {
        #[test]
        fn who_was_heard_of_longest_ago_makes_room(
            notes in vec((1..14_u32, 0..40_u32), 1..200),
            fresh in 1..30_u32,
            start: u32,
        ) {
            let (known, mut now) = (Known::default(), start);
            // When each was noted, in ticks since the start.
            let mut noted: HashMap<u32, u32> = HashMap::new();
            for (tag, pause) in notes {
                now = now.wrapping_add(pause);
                let at = now.wrapping_sub(start);
                let oldest = noted.values().min().copied();
                let was = noted.get(&tag).copied();
                known.note(tag, now, fresh);
                if was.is_none_or(|was| at - was >= fresh) {
                    noted.insert(tag, at);
                }
                let gone: Vec<u32> = noted.keys().copied().filter(|tag| !known.holds(*tag, now, EVER)).collect();
                let makes_room = was.is_none() && noted.len() > KNOWN_WAYS;
                prop_assert_eq!(gone.len(), usize::from(makes_room), "{:?}", gone);
                for tag in gone {
                    prop_assert_eq!(noted.remove(&tag), oldest);
                }
                for (tag, was) in &noted {
                    prop_assert!(known.holds(*tag, now, at - was));
                    prop_assert!(at == *was || !known.holds(*tag, now, at - was - 1));
                }
            }
        }
    }

    #[test]
    fn the_last_eight_are_known_for_a_while() {
        let known = Known::default();
        assert!(!known.holds(1, 0, 100));
        for tag in 1..=9 {
            known.note(tag, tag, 1);
        }
        assert!(
            !known.holds(1, 9, 100),
            "the ninth took the place of the first"
        );
        assert!((2..=9).all(|tag| known.holds(tag, 9, 100)));
        assert!(known.holds(2, 102, 100) && !known.holds(2, 103, 100));
        known.note(2, 103, 1);
        assert!(known.holds(2, 203, 100));
    }

    #[test]
    fn a_fresh_note_is_not_written_again() {
        let known = Known::default();
        known.note(1, u32::MAX - 1, 10);
        known.note(1, 3, 10);
        assert!(
            known.holds(1, 8, 10) && !known.holds(1, 9, 10),
            "noted at the first tick"
        );
        known.note(1, 8, 10);
        assert!(known.holds(1, 18, 10), "the clock may wrap");
    }

    #[test]
    fn a_cpu_whose_clock_lags_knows_what_another_has_noted() {
        let known = Known::default();
        known.note(1, 7, 1);
        assert!(
            known.holds(1, 6, 100),
            "noted after the packet's clock was read"
        );
        known.note(1, 6, 1);
        assert!(known.holds(1, 107, 100), "and not set back");
        known.note(1, u32::MAX, 1);
        assert!(
            known.holds(1, 107, 100),
            "nor when the counter wraps between"
        );
    }
}
