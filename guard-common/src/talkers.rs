//! Which packets user space is told of so that it can say who sends most: a few of all, whatever
//! becomes of them, and of each how many it stands for.
//!
//! Of the packets under one counter one in [`SHARE`] is a *candidate*. Which ones follows from their
//! number alone, and from no pattern in the traffic: multiples of the golden ratio keep clear of
//! every period, where each 256th packet of two sources that take turns would always be the same
//! one's. Of the candidates each CPU tells no more than its [`Pace`] lets it.

/// Packets of a counter that one candidate stands for.
pub const SHARE: u32 = 1 << SHARE_BITS;
const SHARE_BITS: u32 = 8;

/// 2^64 by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Whether the packet of this number under its counter is a candidate. The first one is the 233rd.
#[inline(always)]
#[must_use]
pub const fn is_candidate(number: u64) -> bool {
    number.wrapping_mul(GOLDEN) >> (u64::BITS - SHARE_BITS) == 0
}

/// How many candidates a CPU tells of in a period: all, or every few, evenly, so that what comes
/// late in a period is told of as well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Pace {
    /// Tick at which the running period started.
    period_start: u32,
    /// Candidates in it so far.
    candidates: u32,
    /// Those that were told of.
    told: u32,
    /// How many candidates one that is told of stands for in this period.
    stride: u32,
    /// Candidates since the last one that was told of.
    untold: u32,
}

impl Pace {
    /// Takes a candidate at tick `now`, in periods of so many ticks, each with a budget. How many
    /// candidates it stands for when it is to be told of, else 0.
    ///
    /// A flood that has just begun spends its first period's budget at once; what follows in that
    /// period no candidate stands for.
    #[inline(always)]
    #[must_use]
    pub fn next(&mut self, now: u32, period_ticks: u32, budget: u32) -> u32 {
        let lasted = now.wrapping_sub(self.period_start);
        if lasted >= period_ticks {
            // The last period tells how many to expect; one that is long over tells nothing.
            let expected = if lasted < 2 * period_ticks {
                self.candidates
            } else {
                0
            };
            // Half of the budget, since periods differ: what is beyond it nothing stands for.
            self.stride = (2 * expected).checked_div(budget).unwrap_or(0) + 1;
            self.period_start = now;
            self.candidates = 0;
            self.told = 0;
        }
        self.candidates += 1;
        self.untold += 1;
        if self.told >= budget || self.untold < self.stride {
            return 0;
        }
        self.told += 1;
        self.untold = 0;
        // Before the first period nothing is expected.
        self.stride.max(1)
    }
}

const _: () = assert!(size_of::<Pace>() == 20);

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const PERIOD: u32 = 125;
    const BUDGET: u32 = 25;

    #[test]
    fn one_packet_in_so_many_is_a_candidate() {
        let candidates: Vec<u64> = (1..=1_000_000).filter(|n| is_candidate(*n)).collect();
        assert_eq!(candidates[..4], [233, 466, 610, 843]);
        assert!(candidates.len().abs_diff(1_000_000 / SHARE as usize) <= 2);
    }

    #[test]
    fn sources_that_take_turns_are_told_of_alike() {
        for sources in 2..=64 {
            let mut told = std::vec![0_usize; sources as usize];
            for number in (1..=1_000_000).filter(|number| is_candidate(*number)) {
                told[(number % sources) as usize] += 1;
            }
            let even = 1_000_000 / (SHARE as usize * told.len());
            for count in told {
                assert!(count.abs_diff(even) <= even / 4 + 2, "{sources}: {count}");
            }
        }
    }

    /// Candidates, evenly over the time, and for how many those stand that are told of.
    fn told(pace: &mut Pace, from: u32, ticks: u32, candidates_per_tick: u32) -> Vec<u32> {
        let each = (from..from + ticks).flat_map(|now| (0..candidates_per_tick).map(move |_| now));
        each.map(|now| pace.next(now, PERIOD, BUDGET))
            .filter(|stands_for| *stands_for != 0)
            .collect()
    }

    #[test]
    fn few_candidates_are_all_told_of() {
        let mut pace = Pace::default();
        for second in 0..100 {
            assert_eq!(pace.next(second * 1000, PERIOD, BUDGET), 1);
        }
    }

    #[test]
    fn many_are_thinned_out_and_stand_for_all() {
        let mut pace = Pace::default();
        let first = told(&mut pace, 0, PERIOD, 10);
        assert_eq!(first, [1; BUDGET as usize], "nobody knew");
        let later = told(&mut pace, PERIOD, 8 * PERIOD, 10);
        assert!(later.len() <= 8 * BUDGET as usize, "{}", later.len());
        let (stood_for, sent) = (later.iter().sum::<u32>(), 8 * PERIOD * 10);
        assert!(
            stood_for.abs_diff(sent) <= sent / 20,
            "{stood_for} of {sent}"
        );
    }

    #[test]
    fn a_period_has_its_budget_whatever_comes() {
        let mut pace = Pace::default();
        let mut now = 0;
        for burst in [1, 1000, 3, 50_000, 0, 26, 25, 24] {
            let told = (0..burst).filter(|_| pace.next(now, PERIOD, BUDGET) != 0);
            assert!(told.count() <= BUDGET as usize);
            now += PERIOD;
        }
    }

    #[test]
    fn when_a_flood_is_over_it_is_forgotten() {
        let mut pace = Pace::default();
        told(&mut pace, 0, 4 * PERIOD, 100);
        assert_eq!(pace.next(8 * PERIOD, PERIOD, BUDGET), 1);
    }

    #[test]
    fn a_flood_that_comes_in_bursts_is_not_underrated() {
        let mut pace = Pace::default();
        let (mut sent, mut stood_for) = (0, 0);
        for period in 0..100 {
            let each = if period % 2 == 0 { 8 } else { 12 };
            let told = told(&mut pace, period * PERIOD, PERIOD, each);
            if period > 0 {
                sent += PERIOD * each;
                stood_for += told.iter().sum::<u32>();
            }
        }
        assert!(
            stood_for.abs_diff(sent) <= sent / 50,
            "{stood_for} of {sent}"
        );
    }

    #[test]
    fn the_clock_may_wrap_and_there_may_be_no_budget() {
        let mut pace = Pace::default();
        assert_eq!(pace.next(u32::MAX - 1, PERIOD, BUDGET), 1);
        assert_eq!(pace.next(3, PERIOD, BUDGET), 1);
        assert_eq!(pace.next(4 + PERIOD, PERIOD, 0), 0);
    }
}
