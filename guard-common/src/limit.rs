//! Limits per source: the arithmetic (GCRA as a leaking debt) and one set of the source table.
//!
//! A source owes the cost of each packet it sends, and its debt leaks away with time. A packet
//! that would raise the debt above a full burst is over the limit; it is refused and costs
//! nothing. What passes then in any window, and what is refused, stands in `docs/SPECIFICATION.md`.
//!
//! The debt is a share of the burst, not a time: 32 bits hold it for every rate.

use core::cell::Cell;

use crate::ticks;

/// Sources that share one set of the table. A set fills one cache line.
pub const WAYS: usize = 4;
/// Limits whose debts stand side by side in one table.
pub const DEBTS: usize = 2;

/// Debt of a full burst, before it is rounded to whole units. Three binary digits are left above it
/// for CPUs that charge at once.
const SCALE: u64 = 1 << 29;
/// Binary digits after the point of `cost` and `leak`.
const FRACTION_BITS: u32 = 16;

/// One limit, ready for the packet path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Limit {
    /// Debt of one unit (a packet, a byte, a SYN), in parts of 2^-16. Zero: no limit.
    pub cost: u64,
    /// Debt that leaks away in one tick of the clock, in parts of 2^-16.
    pub leak: u64,
    /// The most debt a source may have.
    pub full: u32,
    /// Ticks in which any debt has leaked away, also one that CPUs have made who charged at once.
    pub idle: u32,
}

impl Limit {
    /// No limit.
    pub const OFF: Self = Self {
        cost: 0,
        leak: 0,
        full: 0,
        idle: 0,
    };

    /// Lets exactly `capacity` packets (at least 1) through at once, and as many again in every
    /// `burst_ns`, on a clock whose tick lasts `tick_ns`. Both times are at least 1. More than
    /// 2^29 are cut to that many at once, at the same rate.
    #[must_use]
    pub fn per_packet(capacity: u64, burst_ns: u64, tick_ns: u64) -> Self {
        let (asked, capacity) = (capacity.max(1), capacity.clamp(1, SCALE));
        let burst_ns = u128::from(burst_ns) * u128::from(capacity) / u128::from(asked);
        let burst_ns = burst_ns as u64;
        let cost = SCALE / capacity;
        Self::new(cost << FRACTION_BITS, cost * capacity, burst_ns, tick_ns)
    }

    /// The same for bytes (1 to 2^44, clamped), but for rounding: each packet's debt is rounded up to
    /// 2^-29 of the burst.
    #[must_use]
    pub fn per_byte(capacity: u64, burst_ns: u64, tick_ns: u64) -> Self {
        let capacity = capacity.clamp(1, SCALE << (FRACTION_BITS - 1));
        let cost = (SCALE << FRACTION_BITS) / capacity;
        // A byte's cost is rounded down, and what a burst may cost with it: no more bytes fit in.
        Self::new(cost, (cost * capacity) >> FRACTION_BITS, burst_ns, tick_ns)
    }

    fn new(cost: u64, full: u64, burst_ns: u64, tick_ns: u64) -> Self {
        let (burst_ns, tick_ns) = (burst_ns.max(1), tick_ns.max(1));
        let leak = (u128::from(full) << FRACTION_BITS) * u128::from(tick_ns) / u128::from(burst_ns);
        let leak = u64::try_from(leak).unwrap_or(u64::MAX).max(1);
        Self {
            cost,
            leak,
            full: full as u32,
            idle: idle(leak),
        }
    }

    /// What tells who owes least to either limit, of debts to both: the one that leaks more slowly,
    /// if both are on. Under the other a deep debt to this one would soon look like none.
    #[must_use]
    pub fn slower(self, other: Self) -> Self {
        let is_slower = !other.is_on() || self.leak <= other.leak;
        if self.is_on() && is_slower {
            self
        } else {
            other
        }
    }

    /// Whether there is a limit at all.
    #[inline(always)]
    #[must_use]
    pub const fn is_on(&self) -> bool {
        self.cost != 0
    }

    /// What is left of `debt` after `elapsed` ticks.
    #[inline(always)]
    #[must_use]
    pub fn drained(&self, debt: u32, elapsed: u32) -> u32 {
        if elapsed >= self.idle {
            return 0;
        }
        // Cannot overflow: below `idle` ticks, less than 2^48 leak.
        let leaked = (u64::from(elapsed) * self.leak) >> FRACTION_BITS;
        u64::from(debt).saturating_sub(leaked) as u32
    }

    /// `debt` and the cost of `units` on top of it; nothing when that is over the limit.
    #[inline(always)]
    #[must_use]
    pub fn charged(&self, debt: u32, units: u32) -> Option<u32> {
        let cost = rounded(u64::from(units) * self.cost);
        let debt = u64::from(debt) + cost;
        if cost != 0 && debt > u64::from(self.full) {
            None
        } else {
            Some(debt as u32)
        }
    }
}

/// A cost in whole units of debt.
#[inline(always)]
const fn rounded(cost: u64) -> u64 {
    (cost + (1 << FRACTION_BITS) - 1) >> FRACTION_BITS
}

/// What of two limits it takes to charge a packet within a tick: [`Limit::cost`] and
/// [`Limit::full`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tariff {
    /// Debt of one unit, in parts of 2^-16.
    pub costs: [u64; DEBTS],
    /// The most debt a source may have.
    pub full: [u32; DEBTS],
}

/// Ticks in which the largest debt there can be has leaked away, at so much a tick. From the leak as
/// it was rounded, so that no debt is forgotten before.
fn idle(leak: u64) -> u32 {
    let ticks = (1_u64 << (u32::BITS + FRACTION_BITS)).div_ceil(leak);
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

/// What one source owes.
///
/// Two words, each read and written whole. CPUs that serve one source add to its debts; one of them
/// begins each tick by taking off what has leaked. What others add while it does so is lost: a few
/// nanoseconds a tick.
#[derive(Debug, Default)]
#[repr(C)]
struct Way {
    /// High half: which source, the high half of its hash, never zero; zero is nobody. Low half:
    /// tick of the last charge.
    tag_and_tick: Cell<u64>,
    /// Debt at that tick: to the second limit in the high half, to the first in the low half.
    debts: Cell<u64>,
}

/// The sources that share one cache line of the table.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Set {
    ways: [Way; WAYS],
}

const _: () = assert!(size_of::<Set>() == 64);

/// What a packet would owe, not yet written down.
#[derive(Debug)]
pub struct Quote<'a> {
    way: &'a Way,
    /// The place's first word as it was, and as it is to be.
    tag_and_tick: [u64; 2],
    /// Debts without the packet, and what it costs. A carry between them cannot happen.
    owed: u64,
    costs: u64,
}

/// How words are changed that several CPUs share.
pub trait Words {
    /// Adds a number to a word, at once.
    fn add(word: &Cell<u64>, number: u64);
    /// Puts a word in the place of `old`, at once; false when something else stands there.
    fn exchange(word: &Cell<u64>, old: u64, new: u64) -> bool;

    /// The same number, of which the verifier has forgotten what it may be: it would follow each
    /// way in which the best of several is found.
    #[inline(always)]
    #[must_use]
    fn forget(number: u64) -> u64 {
        number
    }
}

/// Where there is one CPU.
#[derive(Debug)]
pub struct Alone;

impl Words for Alone {
    fn add(word: &Cell<u64>, number: u64) {
        word.set(word.get().wrapping_add(number));
    }

    fn exchange(word: &Cell<u64>, old: u64, new: u64) -> bool {
        word.get() == old && word.replace(new) == old
    }
}

impl Quote<'_> {
    /// Writes the debt down.
    #[inline(always)]
    pub fn pay<W: Words>(self) {
        let [was, is] = self.tag_and_tick;
        if was != is && W::exchange(&self.way.tag_and_tick, was, is) {
            self.way.debts.set(self.owed + self.costs);
        } else if self.way.tag_and_tick.get() >> 32 == is >> 32 {
            // The tick had begun, or another CPU was faster: what it wrote stands.
            W::add(&self.way.debts, self.costs);
        }
    }
}

/// Two halves in one word.
#[inline(always)]
const fn pair(low: u32, high: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

impl Set {
    /// What the source `tag` would owe after `units` more under each of `limits`, at tick `now`;
    /// or the position of the first limit that would be exceeded.
    ///
    /// A source the set does not know starts without debt, in the place of the source that owes
    /// least: who owes nothing loses nothing, and who is over a limit stays.
    ///
    /// `least` says which place that is: [`Set::least`], called out of line in the kernel, since it
    /// is long and known sources do without. Where sources under several limits share a set, it asks
    /// by the slowest of them ([`Limit::slower`]).
    #[inline(always)]
    pub fn quote(
        &self,
        tag: u32,
        now: u32,
        limits: &[Limit; DEBTS],
        units: [u32; DEBTS],
        least: impl FnOnce() -> usize,
    ) -> Result<Quote<'_>, usize> {
        let (way, owed, replaces) = match self.find(tag) {
            Some(way) => (way, way.owed(now, limits), false),
            None => (&self.ways[least() % WAYS], [0; DEBTS], true),
        };
        let mut costs = [0; DEBTS];
        for i in 0..DEBTS {
            if units[i] != 0 {
                costs[i] = limits[i].charged(owed[i], units[i]).ok_or(i)? - owed[i];
            }
        }
        let was = way.tag_and_tick.get();
        // A CPU whose clock lags does not set it back.
        let lags = !replaces && way.elapsed(now) == 0;
        Ok(Quote {
            way,
            tag_and_tick: [was, if lags { was } else { pair(now, tag) }],
            owed: pair(owed[0], owed[1]),
            costs: pair(costs[0], costs[1]),
        })
    }

    /// Charges the source `tag` a unit under each of both limits that `applies`, if it has already
    /// been charged in tick `now`, in which its debts stand as they are: what [`Set::quote`] and
    /// [`Quote::pay`] come to then, or the position of the first limit that would be exceeded.
    /// Nothing where there is more to find out.
    #[inline(always)]
    pub fn charge_again<W: Words>(
        &self,
        tag: u32,
        now: u32,
        tariff: Tariff,
        applies: [bool; DEBTS],
    ) -> Option<Result<(), usize>> {
        let begun = pair(now, tag);
        let way = self
            .ways
            .iter()
            .find(|way| way.tag_and_tick.get() == begun)?;
        let debts = way.debts.get();
        let debts = [debts & u64::from(u32::MAX), debts >> 32];
        let mut costs = [0; DEBTS];
        for i in 0..DEBTS {
            let cost = rounded(tariff.costs[i]);
            if applies[i] && cost != 0 {
                if debts[i] + cost > u64::from(tariff.full[i]) {
                    return Some(Err(i));
                }
                costs[i] = cost;
            }
        }
        W::add(&way.debts, costs[1] << 32 | costs[0]);
        Some(Ok(()))
    }

    /// Whether the source `tag`, which is under one limit alone, may send a unit more.
    #[inline(always)]
    #[must_use]
    pub fn has_room(&self, tag: u32, now: u32, limit: &Limit) -> bool {
        self.find(tag).is_none_or(|way| {
            let debt = limit.drained(way.debts.get() as u32, way.elapsed(now));
            limit.charged(debt, 1).is_some()
        })
    }

    #[inline(always)]
    fn find(&self, tag: u32) -> Option<&Way> {
        self.ways
            .iter()
            .find(|way| (way.tag_and_tick.get() >> 32) as u32 == tag)
    }

    /// The place of the source that owes least at tick `now`: the first one, of several.
    #[inline(always)]
    #[must_use]
    pub fn least(&self, now: u32, limits: &[Limit; DEBTS]) -> usize {
        let mut least = 0;
        let mut least_owed = u32::MAX;
        for (at, way) in self.ways.iter().enumerate() {
            let owed = way.most_owed(now, limits);
            // Nobody owes less. Of a flood from ever new sources the first one is such a place.
            if owed == 0 {
                return at;
            }
            if owed < least_owed {
                (least, least_owed) = (at, owed);
            }
        }
        least
    }
}

impl Way {
    /// Ticks since the debts were written down.
    #[inline(always)]
    fn elapsed(&self, now: u32) -> u32 {
        ticks::elapsed(self.tag_and_tick.get() as u32, now)
    }

    /// What is owed to each limit at tick `now`.
    #[inline(always)]
    fn owed(&self, now: u32, limits: &[Limit; DEBTS]) -> [u32; DEBTS] {
        let elapsed = self.elapsed(now);
        let word = self.debts.get();
        let mut debts = [word as u32, (word >> 32) as u32];
        for i in 0..DEBTS {
            debts[i] = if limits[i].is_on() {
                limits[i].drained(debts[i], elapsed)
            } else {
                0
            };
        }
        debts
    }

    #[inline(always)]
    fn most_owed(&self, now: u32, limits: &[Limit; DEBTS]) -> u32 {
        let [first, second] = self.owed(now, limits);
        first.max(second)
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
