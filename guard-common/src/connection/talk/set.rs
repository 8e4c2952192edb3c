//! A set of connections.

use super::{Talk, Word};
use crate::{limit::Words, ticks::elapsed};

/// Connections in a set.
pub const TALK_WAYS: u32 = 4;

/// A set of connections: the place of each of [`TALK_WAYS`].
#[derive(Debug)]
pub struct Talks<W>(pub W);

impl<'a, W: Fn(u32) -> Option<&'a Talk>> Talks<W> {
    /// Which of them is the connection of this number.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, hash: u64) -> Option<u32> {
        (0..TALK_WAYS).find(|way| (self.0)(*way).is_some_and(|talk| talk.hash.get() == hash))
    }

    /// Which of them makes room: a free one, or whoever was quiet longest among those in which the
    /// host takes no part; for a `confirmed` one anybody does.
    #[inline(always)]
    #[must_use]
    pub fn place<R: Words>(&self, confirmed: bool, now: u32) -> Option<u32> {
        const FREE: u64 = 1 << 34;
        const UNCONFIRMED: u64 = 1 << 33;
        let mut place = 0;
        let mut best = 0;
        for way in 0..TALK_WAYS {
            let Some(talk) = (self.0)(way) else {
                continue;
            };
            let quiet = u64::from(elapsed(talk.last.get(), now)) + 1;
            let rank = if talk.hash.get() == 0 {
                FREE
            } else if !talk.noted().has(Word::CONFIRMED) {
                quiet + UNCONFIRMED
            } else if confirmed {
                quiet
            } else {
                0
            };
            let rank = R::forget(rank);
            if rank > best {
                (place, best) = (way, rank);
            }
        }
        (best != 0).then_some(place)
    }
}
