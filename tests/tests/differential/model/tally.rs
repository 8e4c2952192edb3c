//! What the model counts.

use guard_common::reason::{Reason, Verdict};

use super::{debt::SECOND_TICKS, table::TURN};
use crate::rig::{Counts, packet_names};

/// Events in a second and CPU.
const EVENTS: u64 = 20;

pub(crate) struct Tally {
    /// Packets and bytes, by verdict and reason.
    packets: [[[u64; 2]; Reason::COUNT]; Verdict::COUNT],
    /// By the number of the rule.
    rules: Vec<u64>,
    second: Second,
    told: u64,
    suppressed: u64,
}

/// A second in which so many were told of.
#[derive(Clone, Copy, Default)]
struct Second {
    start: u64,
    spent: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            packets: [[[0; 2]; Reason::COUNT]; Verdict::COUNT],
            rules: Vec::new(),
            second: Second::default(),
            told: 0,
            suppressed: 0,
        }
    }

    pub(super) fn packet(&mut self, verdict: Verdict, reason: Reason, bytes: u64) {
        let counter = &mut self.packets[verdict as usize][reason as usize];
        counter[0] += 1;
        counter[1] += bytes;
    }

    pub(super) fn rule(&mut self, number: usize) {
        if self.rules.len() <= number {
            self.rules.resize(number + 1, 0);
        }
        self.rules[number] += 1;
    }

    /// Tells of a packet, if the second has budget left. Another one begins when the clock is not
    /// within it, be it before.
    pub(super) fn event(&mut self, now: u64) {
        let second = &mut self.second;
        if now.wrapping_sub(second.start) % TURN >= SECOND_TICKS {
            *second = Second {
                start: now,
                spent: 0,
            };
        }
        if second.spent < EVENTS {
            second.spent += 1;
            self.told += 1;
        } else {
            self.suppressed += 1;
        }
    }

    /// Packets that the rule of each number decided.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (usize, u64)> {
        self.rules.iter().copied().enumerate()
    }

    /// Packets under a verdict and reason.
    pub(crate) fn packets(&self, verdict: Verdict, reason: Reason) -> u64 {
        self.packets[verdict as usize][reason as usize][0]
    }

    /// All of it by readable names; what is zero is left out.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::from([
            ("events told".to_owned(), self.told),
            ("events suppressed".to_owned(), self.suppressed),
        ]);
        for verdict in Verdict::ALL {
            for reason in Reason::ALL {
                let counter = self.packets[verdict as usize][reason as usize];
                counts.extend(packet_names(verdict, reason).into_iter().zip(counter));
            }
        }
        counts.retain(|_, count| *count != 0);
        counts
    }
}
