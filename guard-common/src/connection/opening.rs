//! Sequence numbers of handshakes, until somebody speaks.
//!
//! A line holds four, and a new one takes the place of the oldest: this is all that a SYN costs,
//! however many there are.

use core::cell::Cell;

use crate::{limit::Words, ticks::elapsed};

/// Handshakes in a line.
pub const OPENING_WAYS: usize = 4;

/// A cache line of handshakes.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Openings {
    ways: [Way; OPENING_WAYS],
}

#[derive(Debug, Default)]
#[repr(C)]
struct Way {
    /// Tag of the connection in the high half, zero where there is none; when it was last written,
    /// in ticks.
    tag_and_tick: Cell<u64>,
    /// Where the client starts in the high half, the server in the low one.
    starts: Cell<u64>,
}

const _: () = assert!(size_of::<Openings>() == 64);

/// Where both sides of a connection start: the sequence numbers of their first bytes. The verifier
/// minds values that are there only sometimes, so this is no option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Starts {
    /// Whether anything is known.
    pub known: bool,
    /// The client's.
    pub client: u32,
    /// The server's, once it has answered. Zero stands for «not yet»: one connection of four
    /// thousand million is taken for one whose answer was not seen.
    pub server: u32,
}

impl Openings {
    /// Notes where the client of the connection `tag` starts, and forgets what was there of it.
    #[inline(always)]
    pub fn called<W: Words>(&self, tag: u32, client: u32, now: u32) {
        let way = self.place::<W>(tag, now);
        let starts = way.starts.get();
        let is_again =
            (way.tag_and_tick.get() >> 32) as u32 == tag && (starts >> 32) as u32 == client;
        way.tag_and_tick.set(u64::from(tag) << 32 | u64::from(now));
        if !is_again {
            way.starts.set(u64::from(client) << 32);
        }
    }

    /// Notes where both start.
    #[inline(always)]
    pub fn answered<W: Words>(&self, tag: u32, starts: Starts, now: u32) {
        let way = self.place::<W>(tag, now);
        way.tag_and_tick.set(u64::from(tag) << 32 | u64::from(now));
        way.starts
            .set(u64::from(starts.client) << 32 | u64::from(starts.server));
    }

    /// Where both start.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, tag: u32) -> Starts {
        let mut found = 0;
        let mut known = false;
        for way in &self.ways {
            if (way.tag_and_tick.get() >> 32) as u32 == tag {
                found = way.starts.get();
                known = true;
            }
        }
        Starts {
            known,
            client: (found >> 32) as u32,
            server: found as u32,
        }
    }

    /// Forgets a handshake.
    #[inline(always)]
    pub fn forget(&self, tag: u32) {
        for way in &self.ways {
            if (way.tag_and_tick.get() >> 32) as u32 == tag {
                way.tag_and_tick.set(0);
            }
        }
    }

    /// The place of `tag`, or of whoever has to make room for it.
    #[inline(always)]
    fn place<W: Words>(&self, tag: u32, now: u32) -> &Way {
        const FREE: u64 = 1 << 33;
        const OWN: u64 = 1 << 34;
        let mut place = 0;
        let mut best = 0;
        for (at, way) in (0..).zip(&self.ways) {
            let word = way.tag_and_tick.get();
            let rank = if (word >> 32) as u32 == tag {
                OWN
            } else if word == 0 {
                FREE
            } else {
                u64::from(elapsed(word as u32, now))
            };
            let rank = W::forget(rank) + 1;
            if rank > best {
                (place, best) = (at, rank);
            }
        }
        &self.ways[W::forget(place) as usize % OPENING_WAYS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Alone;

    #[test]
    fn a_handshake_is_found_until_it_makes_room() {
        let line = Openings::default();
        for tag in 1..=4 {
            line.called::<Alone>(tag, tag * 100, tag);
        }
        let starts = Starts {
            known: true,
            client: 100,
            server: 7,
        };
        line.answered::<Alone>(1, starts, 5);
        line.called::<Alone>(1, 100, 6);
        assert_eq!(line.find(1), starts, "the same SYN once more");
        line.called::<Alone>(5, 500, 7);
        assert!(!line.find(2).known, "the oldest made room");
        let of = |client| Starts {
            known: true,
            client,
            server: 0,
        };
        assert_eq!(
            [line.find(3), line.find(4), line.find(5)],
            [of(300), of(400), of(500)]
        );
        line.called::<Alone>(1, 101, 8);
        assert_eq!(line.find(1), of(101), "another connection of the same ends");
    }
}
