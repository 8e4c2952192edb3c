//! Who stays over its limit, told by nothing that could be forged: only segments of a connection
//! that the host itself keeps up count.
//!
//! Who sends from a forged address does not see what the host answers. To have a segment counted
//! against somebody it would have to hit a connection of his: his port, and a sequence number
//! within a megabyte of four gigabytes.

use core::cell::Cell;

/// Connections in a line.
pub const CONNECTION_WAYS: usize = 8;
/// Sources in a line.
pub const OFFENDER_WAYS: usize = 4;

/// How far ahead of what the host waits for a segment of the connection may be, in bytes.
const AHEAD: u32 = 1 << 20;
/// How far behind: what was sent before the host's last answer came in, or is sent again.
const BEHIND: u32 = 1 << 16;

/// Whether a segment with the sequence number `seq` is one that the host may be waiting for when it
/// has acknowledged all before `ack`.
#[inline(always)]
#[must_use]
pub const fn is_awaited(seq: u32, ack: u32) -> bool {
    seq.wrapping_sub(ack).wrapping_add(BEHIND) < AHEAD + BEHIND
}

/// Connections that the host keeps up. Only what leaves the host is written here.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Connections {
    /// Tag of the connection in the high half, never zero; the sequence number that the host waits
    /// for in the low half.
    ways: [Cell<u64>; CONNECTION_WAYS],
}

impl Connections {
    /// Notes which sequence number the host waits for in the connection `tag`. A new one takes a
    /// free place, or anybody's: whoever is forgotten is noted again with the next answer.
    #[inline(always)]
    pub fn note(&self, tag: u32, ack: u32) {
        let mut place = &self.ways[ack as usize % CONNECTION_WAYS];
        for way in &self.ways {
            let held = (way.get() >> 32) as u32;
            if held == tag {
                place = way;
                break;
            }
            if held == 0 {
                place = way;
            }
        }
        place.set(u64::from(tag) << 32 | u64::from(ack));
    }

    /// Whether a segment with this sequence number is one that the host may be waiting for.
    #[inline(always)]
    #[must_use]
    pub fn awaits(&self, tag: u32, seq: u32) -> bool {
        for way in &self.ways {
            let word = way.get();
            if (word >> 32) as u32 == tag {
                return is_awaited(seq, word as u32);
            }
        }
        false
    }
}

/// Sources that are over their limit.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Offenders {
    ways: [Offender; OFFENDER_WAYS],
}

#[derive(Debug, Default)]
#[repr(C)]
struct Offender {
    /// Tag of the source in the high half, never zero; when it was over the last time, in ticks, in
    /// the low half.
    tag_and_last: Cell<u64>,
    /// Since when, in ticks.
    since: Cell<u64>,
}

/// How long is too long, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For how long a source may be over its limit.
    pub after: u32,
    /// After how long without an offence it starts anew.
    pub gap: u32,
}

impl Offenders {
    /// Notes that the source `tag` is over its limit at tick `now`. Whether it has been for too
    /// long; when that is said, it starts anew.
    ///
    /// A new source takes the place of the one whose last offence is the longest ago.
    #[inline(always)]
    pub fn note(&self, tag: u32, now: u32, patience: Patience) -> bool {
        let mut place = &self.ways[0];
        let mut longest = 0;
        for way in &self.ways {
            let word = way.tag_and_last.get();
            if (word >> 32) as u32 == tag {
                return way.goes_on(tag, now, patience);
            }
            let ago = u64::from(now.wrapping_sub(word as u32));
            let ago = if word == 0 { u64::MAX } else { ago };
            if ago >= longest {
                (place, longest) = (way, ago);
            }
        }
        place.begin(tag, now);
        false
    }
}

impl Offender {
    #[inline(always)]
    fn goes_on(&self, tag: u32, now: u32, patience: Patience) -> bool {
        let last = self.tag_and_last.get() as u32;
        let lasted = now.wrapping_sub(self.since.get() as u32);
        if now.wrapping_sub(last) > patience.gap {
            self.begin(tag, now);
            return false;
        }
        if lasted >= patience.after {
            self.begin(tag, now);
            return true;
        }
        self.tag_and_last.set(u64::from(tag) << 32 | u64::from(now));
        false
    }

    #[inline(always)]
    fn begin(&self, tag: u32, now: u32) {
        self.since.set(u64::from(now));
        self.tag_and_last.set(u64::from(tag) << 32 | u64::from(now));
    }
}

const _: () = {
    assert!(size_of::<Connections>() == 64);
    assert!(size_of::<Offenders>() == 64);
};

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience { after: 10, gap: 2 };

    #[test]
    fn only_what_the_host_may_wait_for_is_of_the_connection() {
        let connections = Connections::default();
        assert!(!connections.awaits(7, 1000), "nobody is there");
        for ack in [1_000_000, 10, u32::MAX - 10] {
            connections.note(7, ack);
            for (seq, awaited) in [
                (ack, true),
                (ack.wrapping_sub(1), true),
                (ack.wrapping_sub(BEHIND), true),
                (ack.wrapping_sub(BEHIND + 1), false),
                (ack.wrapping_add(AHEAD - 1), true),
                (ack.wrapping_add(AHEAD), false),
                (ack.wrapping_add(1 << 31), false),
            ] {
                assert_eq!(connections.awaits(7, seq), awaited, "{seq} at {ack}");
            }
            assert!(!connections.awaits(9, ack), "another connection");
        }
    }

    #[test]
    fn eight_connections_are_kept_and_the_latest_is_among_them() {
        let connections = Connections::default();
        for tag in 1..=8 {
            connections.note(tag, tag * 1000);
        }
        assert!((1..=8).all(|tag| connections.awaits(tag, tag * 1000)));
        for tag in 9..100 {
            connections.note(tag, tag * 1000);
            assert!(connections.awaits(tag, tag * 1000));
        }
    }

    #[test]
    fn who_stays_over_its_limit_is_told_once_and_starts_anew() {
        let offenders = Offenders::default();
        for start in [0, 1000, u32::MAX - 5] {
            let told: std::vec::Vec<u32> = (0..25)
                .filter(|tick| offenders.note(7, start.wrapping_add(*tick), PATIENCE))
                .collect();
            assert_eq!(told, [10, 20], "from {start}");
        }
    }

    #[test]
    fn a_pause_longer_than_the_gap_starts_it_anew() {
        let offenders = Offenders::default();
        let at = |tick| offenders.note(7, tick, PATIENCE);
        assert!((0..10).all(|tick| !at(tick)));
        // Two ticks without an offence are none too many, three are.
        assert!(at(11));
        assert!((14..24).all(|tick| !at(tick)), "anew from 14 on");
        assert!(at(24));
    }

    #[test]
    fn the_last_four_are_kept() {
        let offenders = Offenders::default();
        for tick in 0..10 {
            assert!((1..=4).all(|tag| !offenders.note(tag, tick, PATIENCE)));
        }
        assert!(offenders.note(4, 10, PATIENCE));
        assert!(!offenders.note(5, 10, PATIENCE), "in the place of another");
        let told = (1..=3)
            .rev()
            .filter(|tag| offenders.note(*tag, 10, PATIENCE));
        assert_eq!(told.count(), 2, "one was forgotten");
    }
}
