//! One limit: what is owed, and whether there is room for more.
//!
//! Kept twice: as the specification says that the kernel side counts, in whole grains, and without
//! any rounding. Both are compared at each packet, so that what is said of the rounding holds too.

use crate::setup::Rate;

/// Nanoseconds of a tick of the clock that tests set.
pub(crate) const TICK_NS: u64 = 1 << 20;
/// Whole ticks of a second.
pub(super) const SECOND_TICKS: u64 = 1_000_000_000 / TICK_NS;

/// Grains in a full burst, or a few less.
const GRAINS: u128 = 1 << 29;
/// Parts of a grain, the smallest that anything is rounded to.
const PARTS: u128 = 1 << 16;
const NS_PER_SECOND: u128 = 1_000_000_000;

/// A limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law {
    /// Units that may come at once.
    capacity: u128,
    /// Nanoseconds in which the rate gives as many again.
    refill_ns: u128,
    /// Parts of a grain that a unit costs.
    unit: u128,
    /// Grains of a full burst.
    full: u128,
    /// Parts of a grain that leak in a tick.
    leak: u128,
}

impl Law {
    /// Of packets or SYNs: at least one, at most 2^29 at once. Each is the same whole number of
    /// grains.
    pub(super) fn of_packets(rate: Rate, burst_ms: u64) -> Self {
        let (asked, refill_ns) = allowance(rate, burst_ms, 1);
        let capacity = asked.min(GRAINS);
        let grains = GRAINS / capacity;
        Self::new(
            capacity,
            refill_ns * capacity / asked,
            grains * PARTS,
            grains * capacity,
        )
    }

    /// Of bytes: at least 65,536 at once. Each is a whole number of parts of a grain.
    pub(super) fn of_bytes(rate: Rate, burst_ms: u64) -> Self {
        let (capacity, refill_ns) = allowance(rate, burst_ms, 65_536);
        let unit = GRAINS * PARTS / capacity;
        Self::new(capacity, refill_ns, unit, unit * capacity / PARTS)
    }

    fn new(capacity: u128, refill_ns: u128, unit: u128, full: u128) -> Self {
        let leak = full * PARTS * u128::from(TICK_NS) / refill_ns;
        Self {
            capacity,
            refill_ns,
            unit,
            full,
            leak: leak.max(1),
        }
    }

    /// The slower of two limits, as far as who owes least is concerned.
    pub(super) fn slower(self, other: Self) -> Self {
        if self.leak <= other.leak { self } else { other }
    }
}

/// Units that come at once, and the nanoseconds in which as many come again.
fn allowance(rate: Rate, burst_ms: u64, least: u128) -> (u128, u128) {
    let (amount, seconds) = (u128::from(rate.amount), u128::from(rate.seconds));
    let units = (amount * u128::from(burst_ms) / (seconds * 1_000)).max(least);
    (units, units * seconds * NS_PER_SECOND / amount)
}

/// What somebody owes to a limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Debt {
    pub(super) grains: u128,
    /// Units times `refill_ns`, so that nothing is rounded.
    exact: u128,
    /// Parts of a grain by which rounding can have made `grains` more.
    rounding: u128,
}

/// There is no room for a packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Over {
    /// Without rounding there would have been.
    pub(super) by_rounding: bool,
}

impl Debt {
    /// What is left of it after so many ticks.
    pub(super) fn after(self, ticks: u64, law: &Law) -> Self {
        if ticks == 0 {
            return self;
        }
        let ticks = u128::from(ticks);
        let grains = self.grains.saturating_sub(ticks * law.leak / PARTS);
        let leaked = ticks * u128::from(TICK_NS) * law.capacity;
        Self {
            grains,
            exact: self.exact.saturating_sub(leaked),
            // Less than a part for each tick, and less than a grain in the end.
            rounding: if grains == 0 {
                0
            } else {
                self.rounding + ticks + PARTS
            },
        }
    }

    /// It and so many units more, each packet of them rounded up to a grain.
    pub(super) fn with(self, units: u64, law: &Law) -> Result<Self, Over> {
        let units = u128::from(units);
        let grains = self.grains + (units * law.unit).div_ceil(PARTS);
        let exact = self.exact + units * law.refill_ns;
        let fits_exactly = exact <= law.capacity * law.refill_ns;
        if grains > law.full {
            return Err(Over {
                by_rounding: fits_exactly,
            });
        }
        assert!(fits_exactly, "rounding has let a packet through: {law:?}");
        Ok(Self {
            grains,
            exact,
            rounding: self.rounding + PARTS,
        })
    }

    /// Whether rounding has made it what the specification allows: never less than it is exactly,
    /// and hardly more.
    pub(super) fn assert_close(&self, law: &Law) {
        let whole = law.capacity * law.refill_ns;
        let exact = self.exact * law.full;
        assert!(exact <= self.grains * whole, "{self:?} is less than exact");
        // A grain more, since a burst of bytes is not a whole number of grains.
        let most = exact * PARTS + (self.rounding + PARTS) * whole;
        assert!(self.grains * PARTS * whole <= most, "{self:?} is too much");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn law(amount: u64, seconds: u64, burst_ms: u64) -> Law {
        Law::of_packets(Rate { amount, seconds }, burst_ms)
    }

    #[test]
    fn a_debt_is_paid_off_in_the_time_its_packets_take() {
        let law = law(10, 1, 1_000);
        let mut debt = Debt::default();
        for _ in 0..10 {
            debt = debt.with(1, &law).expect("ten at once");
        }
        assert!(debt.with(1, &law).is_err());
        // A tenth of a second is 95.4 ticks.
        assert!(debt.after(95, &law).with(1, &law).is_err());
        assert!(debt.after(96, &law).with(1, &law).is_ok());
        assert_eq!(debt.after(SECOND_TICKS + 1, &law).grains, 0);
    }

    #[test]
    fn slow_rates_let_one_through_at_a_time() {
        let law = law(5, 60, 100);
        assert_eq!((law.capacity, law.refill_ns), (1, 12 * NS_PER_SECOND));
    }
}
