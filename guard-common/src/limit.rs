//! Limits per source: the arithmetic (GCRA as a leaking debt) and one set of the source table.
//!
//! A source owes the cost of each packet it sends, and its debt leaks away with time. A packet
//! that would raise the debt above a full burst is over the limit; it is refused and costs
//! nothing. So in any window of `t` a source gets at most `capacity + t × rate` units through,
//! plus what leaks in one tick of the clock, whatever it sends and whenever the window starts.
//!
//! The debt is a share of the burst, not a time: 32 bits hold it for every rate.

use core::cell::Cell;

/// Sources that share one set of the table. A set fills one cache line.
pub const WAYS: usize = 4;
/// Limits whose debts stand side by side in one table.
pub const DEBTS: usize = 2;
/// Ticks by which a CPU's clock may lag behind what another CPU has just written down.
const MAX_SKEW: u32 = 16;

/// Debt of a full burst, before it is rounded to whole units.
const SCALE: u64 = 1 << 31;
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
    /// Ticks in which the fullest debt has leaked away.
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
    /// 2^31 are cut to that many at once, at the same rate.
    #[must_use]
    pub fn per_packet(capacity: u64, burst_ns: u64, tick_ns: u64) -> Self {
        let (asked, capacity) = (capacity.max(1), capacity.clamp(1, SCALE));
        let burst_ns = u128::from(burst_ns) * u128::from(capacity) / u128::from(asked);
        let burst_ns = burst_ns as u64;
        let cost = SCALE / capacity;
        Self::new(cost << FRACTION_BITS, cost * capacity, burst_ns, tick_ns)
    }

    /// The same for bytes (1 to 2^46, clamped). Each packet's debt is rounded up to 2^-31 of the
    /// burst.
    #[must_use]
    pub fn per_byte(capacity: u64, burst_ns: u64, tick_ns: u64) -> Self {
        let capacity = capacity.clamp(1, SCALE << (FRACTION_BITS - 1));
        Self::new(
            (SCALE << FRACTION_BITS) / capacity,
            SCALE,
            burst_ns,
            tick_ns,
        )
    }

    fn new(cost: u64, full: u64, burst_ns: u64, tick_ns: u64) -> Self {
        let (burst_ns, tick_ns) = (burst_ns.max(1), tick_ns.max(1));
        let leak = (u128::from(full) << FRACTION_BITS) * u128::from(tick_ns) / u128::from(burst_ns);
        let leak = u64::try_from(leak).unwrap_or(u64::MAX).max(1);
        // From the leak as rounded, so that no debt is forgotten before it has leaked.
        let idle = (full << FRACTION_BITS).div_ceil(leak);
        Self {
            cost,
            leak,
            full: full as u32,
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
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
        // Cannot overflow: `elapsed × leak` is below `full × 2^16`, which is at most 2^47.
        let leaked = (u64::from(elapsed) * self.leak) >> FRACTION_BITS;
        u64::from(debt).saturating_sub(leaked) as u32
    }

    /// `debt` and the cost of `units` on top of it; nothing when that is over the limit.
    #[inline(always)]
    #[must_use]
    pub fn charged(&self, debt: u32, units: u32) -> Option<u32> {
        let rounding = (1 << FRACTION_BITS) - 1;
        let cost = (u64::from(units) * self.cost + rounding) >> FRACTION_BITS;
        let debt = u64::from(debt) + cost;
        if cost != 0 && debt > u64::from(self.full) {
            None
        } else {
            Some(debt as u32)
        }
    }
}

/// What one source owes.
///
/// Two words, each read and written whole: two CPUs that serve one source at the same instant may
/// each miss the other's last charge, and never see half of one.
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
    tag: u32,
    now: u32,
    debts: [u32; DEBTS],
}

impl Quote<'_> {
    /// Writes the debt down.
    #[inline(always)]
    pub fn pay(self) {
        let [first, second] = self.debts;
        self.way.tag_and_tick.set(pair(self.now, self.tag));
        self.way.debts.set(pair(first, second));
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
    #[inline(always)]
    pub fn quote(
        &self,
        tag: u32,
        now: u32,
        limits: &[Limit; DEBTS],
        units: [u32; DEBTS],
    ) -> Result<Quote<'_>, usize> {
        let (way, mut debts) = match self.find(tag) {
            Some(way) => (way, way.owed(now, limits)),
            None => (self.least(now, limits), [0; DEBTS]),
        };
        for i in 0..DEBTS {
            if units[i] != 0 {
                debts[i] = limits[i].charged(debts[i], units[i]).ok_or(i)?;
            }
        }
        Ok(Quote {
            way,
            tag,
            now,
            debts,
        })
    }

    #[inline(always)]
    fn find(&self, tag: u32) -> Option<&Way> {
        self.ways
            .iter()
            .find(|way| (way.tag_and_tick.get() >> 32) as u32 == tag)
    }

    #[inline(always)]
    fn least(&self, now: u32, limits: &[Limit; DEBTS]) -> &Way {
        let mut least = &self.ways[0];
        let mut least_owed = least.most_owed(now, limits);
        for way in &self.ways[1..] {
            let owed = way.most_owed(now, limits);
            if owed < least_owed {
                (least, least_owed) = (way, owed);
            }
        }
        least
    }
}

impl Way {
    /// What is owed to each limit at tick `now`.
    #[inline(always)]
    fn owed(&self, now: u32, limits: &[Limit; DEBTS]) -> [u32; DEBTS] {
        // The tick counter wraps; so does the difference, rightly.
        let elapsed = now.wrapping_sub(self.tag_and_tick.get() as u32);
        let elapsed = if elapsed >= MAX_SKEW.wrapping_neg() {
            0
        } else {
            elapsed
        };
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
