//! One receiver's task: the oldest message first, one request at a time, again and again until it is
//! taken.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};
use tracing::{info, warn};

use super::{Shared, client::Failure, clock, queue::ReceiverId};
use crate::{config::Receiver, status::ReceiverStatus};

/// After a failure it is tried again after about this pause, then after twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_mins(5);

/// A receiver, and how it goes with it.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) id: ReceiverId,
    pub(super) receiver: Receiver,
    /// There is something to send, or a reason to try again at once.
    pub(super) wake: Notify,
    course: Mutex<Course>,
}

/// What came of the requests.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) refused: u64,
    /// Why the last one failed, until one is taken again.
    failing: Option<String>,
    /// Pauses since then.
    pauses: u32,
}

impl Post {
    pub(super) fn new(receiver: Receiver) -> Self {
        Self {
            id: receiver.id(),
            receiver,
            wake: Notify::new(),
            course: Mutex::default(),
        }
    }

    pub(super) fn course(&self) -> MutexGuard<'_, Course> {
        // Nobody leaves it half changed.
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what waits, for as long as it is there to do so.
    pub(super) async fn serve(self: Arc<Self>, shared: Arc<Shared>) {
        loop {
            let next = shared.queue().next(&self.id);
            let Some((number, message)) = next else {
                self.wake.notified().await;
                continue;
            };
            let body = self
                .receiver
                .format
                .body(&message, &shared.instance, clock());
            match shared.clients.post(&self.receiver, body).await {
                Ok(()) => {
                    shared.queue().done(number, &self.id);
                    self.note_delivery();
                }
                Err(Failure::Refused(why)) => {
                    shared.queue().refused(number, &self.id);
                    self.note_refusal(&why);
                }
                Err(Failure::Later(why)) => {
                    let pause = self.note_failure(why);
                    // What comes meanwhile waits too, but a reload is a reason to try.
                    tokio::select! {
                        () = sleep(pause) => {}
                        () = shared.retry.notified() => {}
                    }
                }
            }
        }
    }

    fn note_delivery(&self) {
        let mut course = self.course();
        course.delivered += 1;
        course.pauses = 0;
        if course.failing.take().is_some() {
            info!(receiver = %self.receiver.webhook, "alerts are delivered again");
        }
    }

    fn note_refusal(&self, why: &str) {
        let mut course = self.course();
        course.refused += 1;
        course.pauses = 0;
        warn!(
            receiver = %self.receiver.webhook, why,
            "an alert is dropped since its receiver takes it for wrong"
        );
    }

    /// How long to wait.
    fn note_failure(&self, why: String) -> Duration {
        let mut course = self.course();
        course.failed += 1;
        let pause = pause(course.pauses, RandomState::new().hash_one(course.failed));
        course.pauses = course.pauses.saturating_add(1);
        if course.failing.as_ref() != Some(&why) {
            warn!(
                receiver = %self.receiver.webhook, why,
                "an alert cannot be delivered: it waits, and is tried again"
            );
            course.failing = Some(why);
        }
        pause
    }

    pub(super) fn status(&self, waiting: u64) -> ReceiverStatus {
        let course = self.course().clone();
        ReceiverStatus {
            webhook: self.receiver.webhook.to_string(),
            format: self.receiver.format.name().to_owned(),
            waiting,
            delivered: course.delivered,
            failed: course.failed,
            refused: course.refused,
            failing: course.failing,
        }
    }
}

/// The pause after so many others: half of it to all of it, by chance, so that many agents do not
/// come back to a receiver at once.
fn pause(before: u32, chance: u64) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(before).unwrap_or(u32::MAX));
    let longest = doubled.min(LAST_PAUSE);
    let half_ms = longest.as_millis() as u64 / 2;
    Duration::from_millis(half_ms + chance % (half_ms + 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let longest = |before| pause(before, u64::MAX - u64::MAX % 500_000).as_millis();
        assert!(longest(0) <= 1_000);
        let least = |before| pause(before, 0);
        assert_eq!(least(0), Duration::from_millis(500));
        assert_eq!(least(1), Duration::from_secs(1));
        assert_eq!(least(3), Duration::from_secs(4));
        assert_eq!(least(31), LAST_PAUSE / 2);
        assert_eq!(least(u32::MAX), LAST_PAUSE / 2);
    }

    proptest! {
        #[test]
        fn no_pause_is_too_short_or_too_long(before: u32, chance: u64) {
            let pause = pause(before, chance);
            prop_assert!(pause >= FIRST_PAUSE / 2);
            prop_assert!(pause <= LAST_PAUSE);
        }
    }
}
