//! Who keeps a place in a set, and who makes room.

use std::vec::Vec;

use super::*;

/// A source, ticks since the one before, and units under both limits.
type Sent = (u32, u32, [u32; DEBTS]);

fn sent() -> impl Strategy<Value = Vec<Sent>> {
    let source = (0..9_u32).prop_map(|source| source << 4 | 1);
    let pause = prop_oneof![4 => Just(0), 2 => 0..30_u32, 1 => 0..2_000_u32];
    collection::vec((source, pause, [0..4_u32, 0..2_u32]), 1..200)
}

fn limit() -> impl Strategy<Value = Limit> {
    let on = (1..40_u64, 1..5_000_000_000_u64)
        .prop_map(|(capacity, burst_ns)| Limit::per_packet(capacity, burst_ns, TICK_NS));
    prop_oneof![3 => on, 1 => Just(OFF)]
}

/// Who is in a set and owes what at a tick, in the order of places.
fn debtors(set: &Set, now: u32, limits: &[Limit; DEBTS]) -> Vec<(u32, [u32; DEBTS])> {
    let ways = set.ways.iter();
    ways.map(|way| {
        let tag = (way.tag_and_tick.get() >> 32) as u32;
        (tag, way.owed(now, limits))
    })
    .collect()
}

proptest! {
    #[test]
    fn who_owes_least_makes_room(
        limits in [limit(), limit()],
        sent in sent(),
        start: u32,
    ) {
        let (set, mut now) = (Set::default(), start);
        for (tag, pause, units) in sent {
            now = now.wrapping_add(pause);
            let (before, whole) = (debtors(&set, now, &limits), state(&set));
            let was = before.iter().find(|(held, _)| *held == tag);
            let owed = was.map_or([0; DEBTS], |(_, owed)| *owed);
            if send_units(&set, tag, now, &limits, units).is_err() {
                prop_assert_eq!(state(&set), whole, "a refused packet changes nothing");
                continue;
            }
            let after = debtors(&set, now, &limits);
            let changed: Vec<usize> = (0..WAYS).filter(|at| whole[*at] != state(&set)[*at]).collect();
            let Some(place) = after.iter().position(|(held, _)| *held == tag) else {
                return Err(TestCaseError::fail("a source that paid has a place"));
            };
            prop_assert!(changed.iter().all(|at| *at == place), "others keep theirs");
            for at in 0..DEBTS {
                let cost = units[at] * (limits[at].cost >> FRACTION_BITS) as u32;
                prop_assert_eq!(after[place].1[at], owed[at] + cost, "debt {}", at);
            }
            if was.is_none() {
                let most = |(_, owed): &(u32, [u32; DEBTS])| owed[0].max(owed[1]);
                let least = before.iter().map(most).min();
                prop_assert_eq!(Some(most(&before[place])), least, "who owes least makes room");
            }
        }
    }

    /// Where several limits share a set, the slower one tells who owes least.
    #[test]
    fn a_debt_to_a_slow_limit_outlives_those_to_fast_ones(
        slow_s in 10..3_000_u64,
        fast in 1_000..1_000_000_u64,
        flood in collection::vec(0..40_u32, 1..200),
    ) {
        let slow = Limit::per_packet(1, slow_s * SECOND_NS, TICK_NS);
        let fast = per_second(fast);
        let slowest = [Limit::slower(fast, slow), OFF];
        prop_assert_eq!(slowest, [Limit::slower(slow, fast), OFF]);
        let (set, mut now) = (Set::default(), 0);
        let sends = |tag, now, limit: Limit| {
            let quote = set.quote(tag, now, &[limit, OFF], [1, 0], || set.least(now, &slowest));
            quote.map(Quote::pay::<Alone>).is_ok()
        };
        prop_assert!(sends(1, now, slow));
        let end = (slow_s * SECOND_NS / TICK_NS / 2) as u32;
        for (source, pause) in (1..).zip(flood) {
            now = (now + pause).min(end);
            prop_assert!(sends(source << 4 | 1, now, fast), "a flood of new sources");
            prop_assert!(!sends(1, now, slow), "within half of its time");
        }
    }
}
