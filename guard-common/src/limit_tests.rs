//! The limiter against an exact one, and what a set of the source table promises.

use proptest::{collection, prelude::*};

use super::*;
use crate::ticks::MAX_SKEW;

#[path = "limit_tests/cpus.rs"]
mod cpus;
#[path = "limit_tests/places.rs"]
mod places;
#[path = "limit_tests/properties.rs"]
mod properties;
#[path = "limit_tests/windows.rs"]
mod windows;

const SECOND_NS: u64 = 1_000_000_000;
const TICK_NS: u64 = 1 << 20;
const OFF: Limit = Limit::OFF;

/// Sends one unit under the first limit; whether it got through.
fn send(set: &Set, tag: u32, now: u32, limit: Limit) -> bool {
    send_units(set, tag, now, &[limit, OFF], [1, 0]).is_ok()
}

fn send_units(
    set: &Set,
    tag: u32,
    now: u32,
    limits: &[Limit; DEBTS],
    units: [u32; DEBTS],
) -> Result<(), usize> {
    set.quote(tag, now, limits, units, || set.least(now, limits))
        .map(Quote::pay::<Alone>)
}

/// How many of `attempts` get through at one instant.
fn passed(set: &Set, tag: u32, now: u32, limit: Limit, attempts: u32) -> u32 {
    (0..attempts)
        .map(|_| u32::from(send(set, tag, now, limit)))
        .sum()
}

/// Everything a set holds.
fn state(set: &Set) -> [(u64, u64); WAYS] {
    set.ways
        .each_ref()
        .map(|way| (way.tag_and_tick.get(), way.debts.get()))
}

/// Ticks in which the debt of a full burst has leaked away.
fn refill(limit: Limit) -> u32 {
    (u64::from(limit.full) << FRACTION_BITS).div_ceil(limit.leak) as u32
}

fn per_second(capacity: u64) -> Limit {
    Limit::per_packet(capacity, SECOND_NS, TICK_NS)
}

#[test]
fn exactly_the_capacity_comes_at_once_and_again_after_a_burst() {
    for capacity in [1, 2, 3, 7, 10, 999, 65_537, 250_000] {
        let (set, limit) = (Set::default(), per_second(capacity));
        let attempts = capacity as u32 + 5;
        assert_eq!(passed(&set, 9, 0, limit, attempts), capacity as u32);
        assert_eq!(
            passed(&set, 9, refill(limit), limit, attempts),
            capacity as u32
        );
    }
}

#[test]
fn what_was_spent_comes_back_at_the_rate() {
    let (set, limit) = (Set::default(), per_second(10));
    assert_eq!(passed(&set, 9, 0, limit, 20), 10);
    // A tenth of a second is 95.4 ticks.
    assert_eq!(passed(&set, 9, 95, limit, 5), 0);
    assert_eq!(passed(&set, 9, 96, limit, 5), 1);
    assert_eq!(passed(&set, 9, 477, limit, 9), 4);
}

#[test]
fn the_extremes_of_a_limit_hold() {
    let most = per_second(u64::MAX);
    assert_eq!(
        (most.cost >> FRACTION_BITS, u64::from(most.full)),
        (1, SCALE)
    );
    let none = Limit::per_packet(0, 0, 0);
    assert_eq!(passed(&Set::default(), 9, 0, none, 3), 1);
    let slow = Limit::per_packet(1, u64::MAX, 1);
    assert!(slow.leak >= 1 && slow.idle > 0);
    let fast = Limit::per_packet(1, 1, u64::MAX);
    assert_eq!(fast.drained(u32::MAX, 1), 0, "one tick forgets everything");
    assert_eq!(fast.drained(fast.full, 0), fast.full);
    let bytes = Limit::per_byte(u64::MAX, SECOND_NS, TICK_NS);
    assert!(bytes.is_on() && bytes.charged(0, 1) == Some(1));
}

#[test]
fn a_burst_too_large_to_hold_keeps_its_rate() {
    let huge = Limit::per_packet(1 << 40, 1 << 50, TICK_NS);
    let cut = Limit::per_packet(1 << 29, 1 << 39, TICK_NS);
    assert_eq!(huge, cut);
}

#[test]
fn off_is_off() {
    assert!(!OFF.is_on());
    assert_eq!(OFF.charged(0, u32::MAX), Some(0));
    let set = Set::default();
    assert_eq!(passed(&set, 9, 0, OFF, 1_000), 1_000);
    // A limit that was off leaves no debt to one that is on.
    let limits = [OFF, per_second(2)];
    assert_eq!(send_units(&set, 9, 0, &limits, [1, 1]), Ok(()));
    assert_eq!(send_units(&set, 9, 0, &limits, [1, 1]), Ok(()));
    assert_eq!(send_units(&set, 9, 0, &limits, [1, 1]), Err(1));
    assert_eq!(send_units(&set, 9, 0, &limits, [1, 0]), Ok(()));
}

#[test]
fn a_stale_debt_is_forgotten() {
    let (set, limit) = (Set::default(), per_second(5));
    assert_eq!(passed(&set, 9, 0, limit, 9), 5);
    assert_eq!(passed(&set, 9, 1 << 31, limit, 9), 5);
    assert_eq!(limit.drained(limit.full, refill(limit)), 0);
    assert!(limit.drained(limit.full, refill(limit) - 1) > 0);
    // Deeper ones, which several CPUs have made, take longer.
    assert!(limit.drained(limit.full * 5, refill(limit) * 5 - 5) > 0);
    assert_eq!(limit.drained(u32::MAX, limit.idle), 0);
}

#[test]
fn the_tick_counter_may_wrap() {
    let (set, limit) = (Set::default(), per_second(10));
    let start = u32::MAX - 40;
    assert_eq!(passed(&set, 9, start, limit, 20), 10);
    assert_eq!(passed(&set, 9, start.wrapping_add(95), limit, 5), 0);
    assert_eq!(passed(&set, 9, start.wrapping_add(96), limit, 5), 1);
    assert_eq!(
        passed(&set, 9, start.wrapping_add(96 + refill(limit)), limit, 20),
        10
    );
}

#[test]
fn a_clock_read_before_another_cpu_paid_forgives_nothing() {
    let (set, limit) = (Set::default(), per_second(10));
    assert_eq!(passed(&set, 9, 100_000, limit, 20), 10);
    assert_eq!(passed(&set, 9, 99_999, limit, 20), 0, "one tick back");
    assert_eq!(passed(&set, 9, 100_000 - MAX_SKEW, limit, 20), 0);
    // Nor does it make the others look like the source that owes least.
    for tag in [11, 13, 15, 17] {
        assert!(send(&set, tag, 99_999, limit));
    }
    assert_eq!(passed(&set, 9, 99_999, limit, 20), 0);
}

#[test]
fn bytes_are_charged_to_a_hair() {
    // The share of a byte is a whole number here: nothing is rounded.
    let limit = Limit::per_byte(65_536, SECOND_NS, TICK_NS);
    let set = Set::default();
    let send = |bytes| send_units(&set, 9, 0, &[limit, OFF], [bytes, 0]).is_ok();
    assert!(send(65_000) && send(535) && send(1) && !send(1));
    assert!(
        Limit::per_byte(1_000, SECOND_NS, TICK_NS)
            .charged(0, 1_001)
            .is_none()
    );
}

#[test]
fn four_sources_are_kept_apart() {
    let (set, limit) = (Set::default(), per_second(3));
    for tag in [1, 3, 5, 7] {
        assert_eq!(passed(&set, tag, 0, limit, 9), 3, "source {tag}");
    }
    for tag in [7, 5, 3, 1] {
        assert_eq!(passed(&set, tag, 0, limit, 9), 0, "source {tag}");
    }
}

#[test]
fn a_fifth_source_takes_the_place_of_the_one_that_owes_least() {
    let (set, limit) = (Set::default(), per_second(10));
    for (tag, packets) in [(1, 4), (3, 2), (5, 9), (7, 3)] {
        assert_eq!(passed(&set, tag, 0, limit, packets), packets);
    }
    assert_eq!(passed(&set, 9, 0, limit, 5), 5);
    assert!(set.find(3).is_none(), "the least indebted");
    for tag in [1, 5, 7, 9] {
        assert!(set.find(tag).is_some(), "source {tag}");
    }
    // It is the debt of now that counts, not that of the last packet.
    let later = refill(limit) - 100;
    assert!(
        send(&set, 7, later, limit) && send(&set, 1, later, limit) && send(&set, 9, later, limit)
    );
    assert!(send(&set, 11, later, limit));
    assert!(
        set.find(5).is_none(),
        "its nine have leaked away but a little"
    );
}

#[test]
fn the_deeper_of_two_debts_keeps_a_place() {
    let (set, limits) = (Set::default(), [per_second(100), per_second(2)]);
    send_units(&set, 1, 0, &limits, [1, 1]).expect("half of the second limit");
    for tag in [3, 5, 7] {
        for _ in 0..30 {
            send_units(&set, tag, 0, &limits, [1, 0]).expect("a third of the first limit");
        }
    }
    send_units(&set, 9, 0, &limits, [1, 0]).expect("a new source");
    assert!(set.find(1).is_some());
}

#[test]
fn an_offender_stays_under_a_spoofed_flood() {
    let (set, limit) = (Set::default(), per_second(1_000));
    assert_eq!(passed(&set, 1, 0, limit, 2_000), 1_000);
    let mut through = 0;
    for now in 0..900 {
        // A thousand new sources a tick, one packet each, and the offender among them.
        for spoofed in 0..1_000 {
            let tag = (now * 1_000 + spoofed) << 8 | 3;
            assert!(send(&set, tag, now, limit), "a new source is let in");
        }
        through += passed(&set, 1, now, limit, 10);
    }
    assert!(
        through <= 900 * 1_000 / 953 + 1,
        "{through} is more than the rate"
    );
}

#[test]
fn refused_packets_cost_nothing() {
    let (set, limits) = (Set::default(), [per_second(5), per_second(2)]);
    for _ in 0..2 {
        send_units(&set, 9, 0, &limits, [1, 1]).expect("under both limits");
    }
    let before = state(&set);
    assert_eq!(
        send_units(&set, 9, 0, &limits, [1, 1]),
        Err(1),
        "the second limit"
    );
    assert_eq!(state(&set), before, "nor is the first one charged");
    for _ in 0..3 {
        send_units(&set, 9, 0, &limits, [1, 0]).expect("under the first limit");
    }
    let before = state(&set);
    assert_eq!(
        send_units(&set, 9, 7, &limits, [1, 1]),
        Err(0),
        "the first limit is asked first"
    );
    let quote = set.quote(11, 7, &limits, [1, 1], || set.least(7, &limits));
    assert!(quote.is_ok(), "a new source, not paid for");
    assert_eq!(state(&set), before);
}
