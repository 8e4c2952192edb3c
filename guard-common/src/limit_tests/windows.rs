//! What passes in any window, from any start: what the specification says of each limit, held
//! against what was let through and what was refused, whatever the debt is made of.

use std::vec::Vec;

use super::*;

/// The fastest rate of the configuration, and the most that it lets through at once.
const MOST: u64 = 1_000_000_000_000;
/// Packets at once are cut to so many.
const MOST_PACKETS: u64 = 1 << 29;

#[derive(Clone, Copy, Debug)]
enum Unit {
    Packets,
    Bytes,
}

/// A limit as the specification makes it of a rate and a burst.
#[derive(Clone, Copy, Debug)]
struct Made {
    unit: Unit,
    capacity: u64,
    refill_ns: u64,
    tick_ns: u64,
    limit: Limit,
}

impl Made {
    /// None when more than 10^12 come at once, which the configuration refuses.
    fn new(unit: Unit, amount: u64, seconds: u64, burst_ms: u64, tick_ns: u64) -> Option<Self> {
        let least = match unit {
            Unit::Packets => 1,
            Unit::Bytes => 65_536,
        };
        let per_ns = u128::from(seconds * SECOND_NS);
        let units = u128::from(amount) * u128::from(burst_ms * 1_000_000) / per_ns;
        let units = u64::try_from(units).ok()?.max(least);
        let refill_ns = (u128::from(units) * per_ns / u128::from(amount)) as u64;
        let (capacity, limit) = match unit {
            Unit::Packets => (
                units.min(MOST_PACKETS),
                Limit::per_packet(units, refill_ns, tick_ns),
            ),
            Unit::Bytes => (units, Limit::per_byte(units, refill_ns, tick_ns)),
        };
        (units <= MOST).then_some(Self {
            unit,
            capacity,
            refill_ns: (u128::from(refill_ns) * u128::from(capacity) / u128::from(units)) as u64,
            tick_ns,
            limit,
        })
    }

    /// Units times `refill_ns` that may pass in a window of so many ticks.
    fn most(&self, ticks: u64) -> u128 {
        let window_ns = u128::from(ticks) * u128::from(self.tick_ns);
        u128::from(self.capacity) * (u128::from(self.refill_ns) + window_ns)
    }

    /// By so much, in the same measure, may rounding have tightened that: for each packet by 2^-28 of
    /// the capacity, or twice that for one of bytes, and by 2^-44 of it for each tick.
    fn rounding(&self, packets: u64, ticks: u64) -> u128 {
        let packets = match self.unit {
            Unit::Packets => packets,
            Unit::Bytes => 2 * packets,
        };
        let parts = u128::from(packets << 16) + u128::from(ticks);
        (u128::from(self.capacity) * u128::from(self.refill_ns) * parts).div_ceil(1 << 44)
    }
}

/// Rates from one an hour to 10^12 a second, bursts from 10 ms to an hour, on every clock.
fn limits(unit: Unit) -> impl Strategy<Value = Made> {
    let amount = prop_oneof![Just(1), Just(MOST), 1..100_u64, 1..1_000_000_u64];
    let seconds = prop_oneof![Just(1), Just(60), Just(3_600)];
    let burst_ms = prop_oneof![Just(10), Just(1_000), Just(3_600_000), 10..3_600_000_u64];
    // The last one's tick is as long as the shortest burst.
    let tick_ns = prop_oneof![
        Just(TICK_NS),
        Just(1_000_000),
        Just(4_000_000),
        Just(10_000_000)
    ];
    (amount, seconds, burst_ms, tick_ns).prop_filter_map(
        "more at once than can be configured",
        move |made| {
            let (amount, seconds, burst_ms, tick_ns) = made;
            Made::new(unit, amount, seconds, burst_ms, tick_ns)
        },
    )
}

/// How the clock goes on before a packet.
#[derive(Clone, Copy, Debug)]
enum Pause {
    Ticks(i64),
    /// So many thousandths of the time in which all comes back.
    Refill(u64),
}

/// A pause, and a packet of so many thousandths of the capacity; at least one unit.
type Sent = (Pause, u64);

/// Crowds, silences, clocks that jump ahead or lag, some by as much as is taken for a lag.
fn sent(ahead: i64) -> impl Strategy<Value = Vec<Sent>> {
    let pause = prop_oneof![
        8 => Just(Pause::Ticks(0)),
        4 => (0..4_i64).prop_map(Pause::Ticks),
        4 => (0..1_500_u64).prop_map(Pause::Refill),
        1 => (0..ahead).prop_map(Pause::Ticks),
        1 => (-4..0_i64).prop_map(Pause::Ticks),
        1 => (-i64::from(MAX_SKEW) / 64..0).prop_map(Pause::Ticks),
    ];
    let share = prop_oneof![Just(0), Just(0), 0..400_u64, Just(1_000)];
    collection::vec((pause, share), 1..60)
}

/// A packet that was sent.
#[derive(Clone, Copy)]
struct Judged {
    /// By the clock of its CPU.
    now: u64,
    /// The latest of all that have passed.
    charged: u64,
    units: u64,
    passed: bool,
}

/// Sends all of it. The counter of ticks begins anywhere and wraps.
fn judge(made: &Made, start: u32, packets: Vec<Sent>) -> Vec<Judged> {
    let (set, begin) = (Set::default(), u64::from(start) + (1 << 40));
    let (mut now, mut latest, mut charged) = (begin, begin, 0);
    let judge = |(pause, share): Sent| {
        let ahead = match pause {
            Pause::Ticks(ticks) => ticks,
            Pause::Refill(parts) => {
                let ns = u128::from(made.refill_ns) * u128::from(parts) / 1_000;
                (ns / u128::from(made.tick_ns)).min(1 << 24) as i64
            }
        };
        now = now.saturating_add_signed(ahead);
        // No clock lags by more than a minute.
        now = now.max(latest - u64::from(MAX_SKEW));
        latest = latest.max(now);
        // The size of a packet has 17 bits.
        let largest = match made.unit {
            Unit::Packets => made.capacity,
            Unit::Bytes => made.capacity.min(100_000),
        };
        let units = (largest * share / 1_000).max(1);
        let limits = [made.limit, OFF];
        let passed = send_units(&set, 9, now as u32, &limits, [units as u32, 0]).is_ok();
        if passed {
            charged = charged.max(now);
        }
        Judged {
            now,
            charged,
            units,
            passed,
        }
    };
    packets.into_iter().map(judge).collect()
}

/// No window has more units than the capacity and what leaks in its ticks, of which it has one more
/// than the time it lasts.
fn assert_no_window_is_too_full(made: &Made, judged: &[Judged]) -> Result<(), TestCaseError> {
    let passed: Vec<&Judged> = judged.iter().filter(|packet| packet.passed).collect();
    for (at, first) in passed.iter().enumerate() {
        let mut units = 0;
        for last in &passed[at..] {
            units += u128::from(last.units);
            let ticks = last.charged - first.charged;
            prop_assert!(
                units * u128::from(made.refill_ns) <= made.most(ticks),
                "{units} in {ticks} ticks"
            );
        }
    }
    Ok(())
}

/// Whoever is refused would have overfilled a window, but for rounding.
fn assert_nobody_else_is_refused(made: &Made, judged: &[Judged]) -> Result<(), TestCaseError> {
    for (at, refused) in judged
        .iter()
        .enumerate()
        .filter(|(_, packet)| !packet.passed)
    {
        let (mut units, mut packets) = (u128::from(refused.units), 1);
        let overfills = |units: u128, packets, ticks| {
            let most = made.most(ticks);
            units * u128::from(made.refill_ns) + made.rounding(packets, ticks) > most
        };
        let mut found = overfills(units, packets, 0);
        for first in judged[..at].iter().rev().filter(|packet| packet.passed) {
            units += u128::from(first.units);
            packets += 1;
            found |= overfills(units, packets, refused.now.saturating_sub(first.charged));
        }
        prop_assert!(found, "packet {at} overfills no window");
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_window_lets_more_through(
        made in limits(Unit::Packets),
        sent in sent(1 << 33),
        start: u32,
    ) {
        assert_no_window_is_too_full(&made, &judge(&made, start, sent))?;
    }

    #[test]
    fn no_window_lets_more_bytes_through(
        made in limits(Unit::Bytes),
        sent in sent(1 << 33),
        start: u32,
    ) {
        assert_no_window_is_too_full(&made, &judge(&made, start, sent))?;
    }

    #[test]
    fn only_what_would_overfill_a_window_is_refused(
        made in limits(Unit::Packets),
        sent in sent(1 << 24),
        start: u32,
    ) {
        assert_nobody_else_is_refused(&made, &judge(&made, start, sent))?;
    }

    #[test]
    fn only_bytes_that_would_overfill_a_window_are_refused(
        made in limits(Unit::Bytes),
        sent in sent(1 << 24),
        start: u32,
    ) {
        assert_nobody_else_is_refused(&made, &judge(&made, start, sent))?;
    }

    #[test]
    fn who_keeps_below_the_rate_is_never_refused(
        made in limits(Unit::Packets),
        extra in collection::vec(0..3_u64, 200),
        start: u32,
    ) {
        let set = Set::default();
        // The time of a packet, a tick for reading the clock, and what is rounded.
        let time = |capacity| u128::from(made.refill_ns).div_ceil(capacity);
        let rounded_ns = time(1 << 28) + time(1 << 20);
        let pause_ns = time(u128::from(made.capacity)) + u128::from(made.tick_ns) + rounded_ns;
        let mut at_ns = u128::from(start) << 20;
        for extra in extra {
            let now = (at_ns / u128::from(made.tick_ns)) as u32;
            prop_assert!(send(&set, 9, now, made.limit));
            at_ns += pause_ns + u128::from(made.tick_ns * extra);
        }
    }
}

#[test]
fn all_that_may_come_at_once_does_and_no_more() {
    // Of the highest rate so much comes in 10 ms, as long as a tick at 100 Hz.
    let at_once = |unit, amount, seconds, burst_ms| {
        let made = Made::new(unit, amount, seconds, burst_ms, 10_000_000);
        let made = made.expect("it can be configured");
        let set = Set::default();
        let sends = |units| send_units(&set, 9, 0, &[made.limit, OFF], [units as u32, 0]).is_ok();
        let (mut part, mut left) = ((made.capacity / 4).clamp(1, 1 << 27), made.capacity);
        while part > 0 && left > 0 {
            if sends(part.min(left)) {
                left -= part.min(left);
            } else {
                part /= 2;
            }
        }
        (made.capacity, left, sends(1))
    };
    assert_eq!(at_once(Unit::Packets, 1, 3_600, 10), (1, 0, false));
    assert_eq!(at_once(Unit::Packets, 9, 1, 3_600_000), (32_400, 0, false));
    assert_eq!(
        at_once(Unit::Packets, MOST, 1, 10),
        (MOST_PACKETS, 0, false)
    );
    assert_eq!(at_once(Unit::Bytes, 1, 3_600, 10), (65_536, 0, false));
    let (capacity, left, another) = at_once(Unit::Bytes, MOST, 1, 1_000);
    assert_eq!((capacity, another), (MOST, false));
    assert!(left < capacity >> 13, "{left} of {capacity} bytes left");
}
