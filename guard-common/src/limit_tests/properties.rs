//! The same for random limits, clocks and arrivals, held against exact arithmetic.

use std::vec::Vec;

use super::*;

/// A limit and what it was made of.
#[derive(Clone, Copy, Debug)]
struct Made {
    capacity: u64,
    burst_ns: u64,
    tick_ns: u64,
    limit: Limit,
}

impl Made {
    fn tick(&self, at_ns: u64) -> u32 {
        (at_ns / self.tick_ns) as u32
    }
}

/// Any limit the configuration can ask for, within what a test can exhaust.
fn limits(make: fn(u64, u64, u64) -> Limit, most: u64) -> impl Strategy<Value = Made> {
    let tick_ns = prop_oneof![
        Just(TICK_NS),
        Just(1_000_000),
        Just(4_000_000),
        Just(10_000_000)
    ];
    (1..=most, 10_000_000..3_600 * SECOND_NS, tick_ns).prop_map(
        move |(capacity, burst_ns, tick_ns)| {
            let limit = make(capacity, burst_ns, tick_ns);
            Made {
                capacity,
                burst_ns,
                tick_ns,
                limit,
            }
        },
    )
}

fn packet_limits() -> impl Strategy<Value = Made> {
    prop_oneof![
        limits(Limit::per_packet, 20),
        limits(Limit::per_packet, 1_000_000)
    ]
}

/// Limits that round nothing, so that it does not matter how often they leak.
fn even_limits() -> impl Strategy<Value = Limit> {
    (0..8_u32, 3..12_u32)
        .prop_map(|(capacity, ticks)| Limit::per_packet(1 << capacity, TICK_NS << ticks, TICK_NS))
}

/// Pauses between packets, as parts in a thousand of the burst: crowds, and long silences.
fn pauses() -> impl Strategy<Value = Vec<u64>> {
    let pause = prop_oneof![4 => Just(0), 3 => 0..20_u64, 2 => 0..200_u64, 1 => 900..2_000_u64];
    collection::vec(pause, 1..300)
}

/// GCRA without rounding: the debt in units of 1 / `burst_ns`, on the limiter's own ticks.
struct Exact {
    made: Made,
    debt: u128,
    tick: u32,
}

impl Exact {
    fn drain(&mut self, now: u32) {
        let elapsed_ns = u128::from(now - self.tick) * u128::from(self.made.tick_ns);
        self.debt = self
            .debt
            .saturating_sub(elapsed_ns * u128::from(self.made.capacity));
        self.tick = now;
    }

    fn charge(&mut self, units: u32) {
        self.debt += u128::from(units) * u128::from(self.made.burst_ns);
    }

    /// The debt in parts of 2^-16 of the limiter's, rounded down.
    fn scaled(&self) -> u128 {
        let whole = u128::from(self.made.burst_ns) * u128::from(self.made.capacity);
        let full = u128::from(self.made.limit.full);
        // Dividing in two steps keeps within 128 bits.
        self.debt * full / whole * (1 << FRACTION_BITS)
            + (self.debt * full % whole * (1 << FRACTION_BITS)) / whole
    }
}

proptest! {
    #[test]
    fn the_debt_follows_an_exact_one(made in packet_limits(), pauses in pauses(), start: u32) {
        let (set, mut exact) = (Set::default(), Exact { made, debt: 0, tick: 0 });
        let (mut at_ns, mut roundings) = (0_u64, 0_u128);
        for pause in pauses {
            at_ns += made.burst_ns / 1_000 * pause;
            let now = made.tick(at_ns);
            exact.drain(now);
            let room = exact.debt + u128::from(made.burst_ns)
                <= u128::from(made.burst_ns) * u128::from(made.capacity);
            let through = send(&set, 9, start.wrapping_add(now), made.limit);
            prop_assert!(!through || room, "more lenient than the exact limit");
            if !through {
                continue;
            }
            exact.charge(1);
            // What one step may round off: less than a unit, and of each tick less than 2^-16.
            roundings += (1 << FRACTION_BITS) + u128::from(refill(made.limit));
            let way = set.find(9).expect("a source that just paid");
            let debt = u128::from(way.debts.get() as u32) << FRACTION_BITS;
            prop_assert!(debt >= exact.scaled(), "less debt than the exact limit has");
            prop_assert!(debt <= exact.scaled() + roundings, "rounded off too much");
        }
    }

    #[test]
    fn every_byte_is_charged(
        capacity in 65_600..1_000_000_000_000_u64,
        sizes in collection::vec(1..=65_600_u32, 1..200),
    ) {
        let limit = Limit::per_byte(capacity, SECOND_NS, TICK_NS);
        let (mut debt, mut bytes, mut packets) = (0, 0_u128, 0_u128);
        // A part of 2^28 of the burst is more than each packet is rounded up by.
        let rounding = |packets: u128| (packets * u128::from(capacity)).div_ceil(1 << 28);
        for size in sizes {
            let all = bytes + u128::from(size);
            let Some(charged) = limit.charged(debt, size) else {
                prop_assert!(all + rounding(packets + 2) > u128::from(capacity));
                continue;
            };
            (debt, bytes, packets) = (charged, all, packets + 1);
            prop_assert!(bytes <= u128::from(capacity));
            // The same share of a burst: never less, and hardly more.
            let share = u128::from(debt) * u128::from(capacity);
            prop_assert!(share >= bytes * u128::from(limit.full));
            prop_assert!(share <= (bytes + rounding(packets + 1)) * u128::from(limit.full));
        }
    }

    #[test]
    fn a_debt_only_ever_leaks(made in packet_limits(), debt: u32, times: [u32; 2]) {
        let debt = debt.min(made.limit.full);
        let [early, late] = [times[0].min(times[1]), times[0].max(times[1])];
        prop_assert!(made.limit.drained(debt, late) <= made.limit.drained(debt, early));
        prop_assert!(made.limit.drained(debt, early) <= debt);
        prop_assert_eq!(made.limit.drained(debt, made.limit.idle), 0);
    }

    #[test]
    fn the_two_limits_of_a_set_do_not_meet(
        limits in [even_limits(), even_limits()],
        sent in collection::vec((0..5_u32, any::<bool>()), 1..200),
    ) {
        let (both, alone) = (Set::default(), [Set::default(), Set::default()]);
        let mut now = 0;
        for (pause, is_second) in sent {
            now += pause;
            let units = if is_second { [0, 1] } else { [1, 0] };
            let one = usize::from(is_second);
            let expected = send(&alone[one], 9, now, limits[one]);
            prop_assert_eq!(send_units(&both, 9, now, &limits, units).is_ok(), expected);
        }
    }

    #[test]
    fn charging_again_in_a_tick_is_quoting_and_paying(
        limits in [packet_limits(), packet_limits()],
        on in [any::<bool>(), any::<bool>()],
        sent in collection::vec((1..6_u32, 0..3_u32, any::<bool>()), 1..200),
    ) {
        let limits = [0, 1].map(|i| if on[i] { limits[i].limit } else { OFF });
        let tariff = Tariff {
            costs: limits.map(|limit| limit.cost),
            full: limits.map(|limit| limit.full),
        };
        let (quoted, again) = (Set::default(), Set::default());
        let mut now = 7;
        for (tag, pause, opens) in sent {
            now += pause / 2;
            let units = [1, u32::from(opens)];
            let expected = send_units(&quoted, tag, now, &limits, units);
            let charged = again
                .charge_again::<Alone>(tag, now, tariff, [true, opens])
                .unwrap_or_else(|| send_units(&again, tag, now, &limits, units));
            prop_assert_eq!(charged, expected);
            prop_assert_eq!(state(&again), state(&quoted));
        }
    }
}
