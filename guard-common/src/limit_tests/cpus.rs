//! Several CPUs that serve one source, in every order in which they can ask and pay.

use std::{array, vec::Vec};

use super::*;

const CPUS: usize = 4;
/// By how many ticks a CPU's clock may differ from another's.
const SKEW: u32 = 3;

/// A CPU takes its next turn: it asks, or pays for what it has asked for. Then some time goes by.
type Turn = (usize, u32, u32);

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let pause = prop_oneof![6 => Just(0), 2 => 0..3_u32, 1 => 0..500_u32];
    collection::vec((0..CPUS, pause, 0..=SKEW), 1..300)
}

/// A packet that passed.
#[derive(Clone, Copy)]
struct Passed {
    /// When its CPU read the clock.
    read: u32,
    /// When the source was last charged, this packet among it.
    charged: u32,
    /// Packets of others whose debts were lost when this one began a tick.
    lost: u128,
}

/// What a CPU has agreed to, when, and how many had passed by then.
type Asked<'a> = (Quote<'a>, u32, usize);

fn judge(limit: Limit, turns: Vec<Turn>) -> Vec<Passed> {
    let (set, limits) = (Set::default(), [limit, OFF]);
    let mut asked: [Option<Asked<'_>>; CPUS] = array::from_fn(|_| None);
    let (mut now, mut passed) = (SKEW, Vec::new());
    for (cpu, pause, lag) in turns {
        now += pause;
        if let Some((quote, read, before)) = asked[cpu].take() {
            let word = &quote.way.tag_and_tick;
            let [was, is] = quote.tag_and_tick;
            let lost = if was != is && word.get() == was {
                passed.len() - before
            } else {
                0
            };
            quote.pay::<Alone>();
            let charged = word.get() as u32;
            let lost = lost as u128;
            passed.push(Passed {
                read,
                charged,
                lost,
            });
        } else {
            let read = now - lag;
            let quote = set.quote(9, read, &limits, [1, 0], || 0);
            asked[cpu] = quote.ok().map(|quote| (quote, read, passed.len()));
        }
    }
    passed
}

proptest! {
    #[test]
    fn cpus_that_ask_at_once_let_one_more_each_through(
        capacity in 1..60_u64,
        burst_ns in 10_000_000..5_000_000_000_u64,
        turns in turns(),
    ) {
        let limit = Limit::per_packet(capacity, burst_ns, TICK_NS);
        let passed = judge(limit, turns);
        for (at, first) in passed.iter().enumerate() {
            let (mut count, mut more, mut latest) = (0, CPUS as u128 - 1, 0);
            for last in &passed[at..] {
                count += 1;
                more += last.lost;
                latest = latest.max(last.read);
                let ticks = u128::from(latest.saturating_sub(first.charged));
                let window_ns = ticks * u128::from(TICK_NS);
                let most = u128::from(capacity) * (u128::from(burst_ns) + window_ns);
                let most = most + more * u128::from(burst_ns);
                prop_assert!(count * u128::from(burst_ns) <= most, "{count} in {ticks} ticks");
            }
        }
    }
}

#[test]
fn a_source_that_several_cpus_meet_first_is_charged_by_each() {
    let (set, limits) = (Set::default(), [per_second(5), OFF]);
    let asks = || {
        set.quote(9, 0, &limits, [1, 0], || 0)
            .expect("room for one")
    };
    let quotes: [Quote<'_>; CPUS] = array::from_fn(|_| asks());
    for quote in quotes {
        quote.pay::<Alone>();
    }
    assert_eq!(
        passed(&set, 9, 0, limits[0], 9),
        1,
        "four of five have passed"
    );
}
