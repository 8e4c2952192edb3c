//! Connections of which it is known what they are.
//!
//! Eight share a cache line. Who has closed makes room first, then who was quiet for longest.

use core::cell::Cell;

use crate::limit::Words;

/// Connections in a line.
pub const SETTLED_WAYS: usize = 8;

/// A cache line of connections.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Settled {
    /// Tag of the connection in the high half, never zero; then when it was last heard of, in
    /// units of [`AGE_TICKS`]; then a [`State`].
    ways: [Cell<u64>; SETTLED_WAYS],
}

const _: () = assert!(size_of::<Settled>() == 64);

/// Binary digits of a tick that an age does without: 256 ticks are 0.3 to 2.6 seconds.
const AGE_SHIFT: u32 = 8;

/// What is known of a connection, in 16 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State(pub u16);

impl State {
    /// The place of a connection.
    pub const TAKEN: u16 = 1 << 4;
    /// It has ended.
    pub const CLOSED: u16 = 1 << 5;
    /// Whatever its client sends is refused.
    pub const REFUSED: u16 = 1 << 6;
    /// More of it is wanted: its first kilobytes are looked into.
    pub const SAMPLED: u16 = 1 << 7;

    /// Whether it has `flag`.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    /// The number of its [`super::Outcome`].
    #[inline(always)]
    #[must_use]
    pub const fn outcome(self) -> u32 {
        self.0 as u32 & 7
    }
}

/// Where a line holds a connection.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    way: &'a Cell<u64>,
    word: u64,
}

impl Found<'_> {
    /// What is known of it.
    #[inline(always)]
    #[must_use]
    pub const fn state(&self) -> State {
        State(self.word as u16)
    }

    /// Notes that it was heard of; a line that says so already is left alone.
    #[inline(always)]
    pub fn touch(&self, now: u32) {
        let word = self.word & !0xffff_0000 | age(now);
        if word != self.word {
            self.way.set(word);
        }
    }

    /// Changes what is known of it.
    #[inline(always)]
    pub fn set(&self, state: State) {
        self.way.set(self.word & !0xffff | u64::from(state.0));
    }

    /// Forgets it.
    #[inline(always)]
    pub fn free(&self) {
        self.way.set(0);
    }
}

#[inline(always)]
const fn age(now: u32) -> u64 {
    ((now >> AGE_SHIFT) as u64 & 0xffff) << 16
}

impl Settled {
    /// The connection `tag`.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, tag: u32) -> Option<Found<'_>> {
        for way in &self.ways {
            let word = way.get();
            if (word >> 32) as u32 == tag {
                return Some(Found { way, word });
            }
        }
        None
    }

    /// Notes a connection. Whether one that had not closed made room for it.
    #[inline(always)]
    pub fn note<W: Words>(&self, tag: u32, state: State, now: u32) -> bool {
        const CLOSED: u64 = 1 << 16;
        const FREE: u64 = 1 << 17;
        const OWN: u64 = 1 << 18;
        let mut place = 0;
        let mut best = 0;
        for (at, way) in (0..).zip(&self.ways) {
            let word = way.get();
            let quiet = ((now >> AGE_SHIFT) as u16).wrapping_sub((word >> 16) as u16);
            let rank = if (word >> 32) as u32 == tag {
                OWN
            } else if word == 0 {
                FREE
            } else if State(word as u16).has(State::CLOSED) {
                CLOSED + u64::from(quiet)
            } else {
                u64::from(quiet)
            };
            let rank = W::forget(rank) + 1;
            if rank > best {
                (place, best) = (at, rank);
            }
        }
        let place = W::forget(place) as usize % SETTLED_WAYS;
        self.ways[place].set(u64::from(tag) << 32 | age(now) | u64::from(state.0 | State::TAKEN));
        best <= CLOSED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Alone;

    const NOW: u32 = 1 << 20;

    #[test]
    fn who_has_closed_makes_room_first_and_then_who_was_quiet_longest() {
        let line = Settled::default();
        let state = |number| State(number | State::TAKEN);
        for tag in 1..=8 {
            assert!(!line.note::<Alone>(tag, State(tag as u16 & 7), NOW + tag * 1000));
        }
        for tag in 1..=8_u32 {
            let found = line.find(tag).expect("it is there");
            assert_eq!(found.state(), state(tag as u16 & 7));
        }
        let closed = line.find(5).expect("it is there");
        closed.set(State(closed.state().0 | State::CLOSED));
        assert!(
            !line.note::<Alone>(9, State(0), NOW + 9000),
            "a closed one made room"
        );
        assert!(line.find(5).is_none() && line.find(9).is_some());

        line.find(1).expect("it is there").touch(NOW + 20_000);
        assert!(
            line.note::<Alone>(10, State(0), NOW + 20_000),
            "the second was quiet longest"
        );
        assert!(line.find(2).is_none() && line.find(1).is_some());

        assert!(
            !line.note::<Alone>(10, State(3), NOW),
            "again: in its own place"
        );
        line.find(10).expect("it is there").free();
        assert!(line.find(10).is_none());
    }
}
