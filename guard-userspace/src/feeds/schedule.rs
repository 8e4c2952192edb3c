//! When a list is fetched again.

use std::{hash::BuildHasher as _, hash::RandomState, time::Duration};

use tokio::time::Instant;

/// After the first failure; each further one doubles it.
const FIRST_RETRY: Duration = Duration::from_secs(30);

/// When a feed is due.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) at: Instant,
    /// Whether it is being fetched.
    pub(crate) running: bool,
    failures: u32,
}

impl Due {
    /// Due in so long.
    pub(crate) fn after(wait: Duration) -> Self {
        Self {
            at: Instant::now() + wait,
            running: false,
            failures: 0,
        }
    }

    /// It was fetched, or not: when to ask again.
    pub(crate) fn done(&mut self, succeeded: bool, refresh: Duration) {
        self.running = false;
        self.failures = if succeeded {
            0
        } else {
            self.failures.saturating_add(1)
        };
        let chance = RandomState::new().hash_one(0) as u32;
        self.at = Instant::now() + wait(refresh, self.failures, chance);
    }
}

/// How long to wait after so many failures in a row. `chance` spreads those who would all ask at
/// once: by a tenth to either side, and by half after a failure.
fn wait(refresh: Duration, failures: u32, chance: u32) -> Duration {
    let share = f64::from(chance) / f64::from(u32::MAX) * 2.0 - 1.0;
    match failures.checked_sub(1) {
        None => refresh.mul_f64(1.0 + share / 10.0),
        Some(further) => {
            let doubled = 2_u32.saturating_pow(further.min(20));
            let retry = FIRST_RETRY.saturating_mul(doubled).min(refresh);
            retry.mul_f64(1.0 + share / 2.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nobody_asks_all_the_time_nor_never_again(
            seconds in 10..2_592_000_u64, failures: u32, chance: u32,
        ) {
            let refresh = Duration::from_secs(seconds);
            let wait = wait(refresh, failures, chance);
            prop_assert!(wait >= Duration::from_secs(5));
            prop_assert!(wait <= refresh.mul_f64(1.5));
            if failures == 0 {
                prop_assert!(wait >= refresh.mul_f64(0.89) && wait <= refresh.mul_f64(1.11));
            }
        }
    }

    #[test]
    fn each_failure_doubles_the_wait_up_to_the_usual_one() {
        let middle = u32::MAX / 2;
        let seconds = |failures| {
            wait(Duration::from_mins(5), failures, middle)
                .as_secs_f64()
                .round()
        };
        let waits: Vec<f64> = (1..=6).map(seconds).collect();
        assert_eq!(waits, [30.0, 60.0, 120.0, 240.0, 300.0, 300.0]);
    }
}
