//! Those who read what is found as it comes. None of them holds anybody up: who reads too slowly is
//! told how much was left out.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast::{Receiver, Sender, error::RecvError};

use super::Told;

/// Who may follow at a time.
const MOST_FOLLOWERS: usize = 16;
/// Lines that wait for the slowest of them.
const WAITING: usize = 1_024;

/// Tells everybody who follows.
#[derive(Debug)]
pub(super) struct News(Sender<Bytes>);

impl Default for News {
    fn default() -> Self {
        Self(Sender::new(WAITING))
    }
}

impl News {
    /// Tells them, if there is anybody.
    pub(super) fn tell(&self, told: impl FnOnce() -> Told) {
        if self.0.receiver_count() > 0 {
            // The last of them may have left just now.
            let _ = self.0.send(line(&told()));
        }
    }

    /// Somebody more, who is told of `latest` first; nothing when there are as many as may be.
    pub(super) fn follow(&self, latest: impl Iterator<Item = Told>) -> Option<Follower> {
        (self.0.receiver_count() < MOST_FOLLOWERS).then(|| Follower {
            latest: latest.map(|told| line(&told)).collect(),
            news: self.0.subscribe(),
        })
    }
}

/// Somebody who follows.
#[derive(Debug)]
pub(crate) struct Follower {
    latest: VecDeque<Bytes>,
    news: Receiver<Bytes>,
}

impl Follower {
    /// The next line, a JSON object; nothing when there will be none any more.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if let Some(line) = self.latest.pop_front() {
            return Some(line);
        }
        match self.news.recv().await {
            Ok(line) => Some(line),
            Err(RecvError::Lagged(lost)) => Some(lost_line(lost)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// What stands in place of what was left out.
fn lost_line(lost: u64) -> Bytes {
    let text = format!("{lost} events left out: they were not read in time");
    line(&json!({ "event": "lost", "lost": lost, "text": text }))
}

/// Nothing that is told cannot be written as JSON.
fn line(told: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(told).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{
        Findings,
        tests::{happening, plaintext},
    };
    use super::*;

    async fn next(follower: &mut Follower) -> Value {
        let line = follower.next().await.expect("a line");
        let line = str::from_utf8(&line).expect("text");
        assert_eq!(line.lines().count(), 1);
        serde_json::from_str(line).expect("JSON")
    }

    #[tokio::test]
    async fn the_latest_come_first_and_then_the_news() {
        let mut findings = Findings::default();
        findings.add(happening(plaintext("GET /a")));
        let mut follower = findings.follow().expect("a follower");
        findings.add(happening(plaintext("GET /b")));
        assert_eq!(next(&mut follower).await["request"], "GET /a");
        let told = next(&mut follower).await;
        assert_eq!(told["request"], "GET /b");
        let text = told["text"].as_str().expect("a text");
        assert!(text.ends_with("plaintext pass: GET /b"), "{text}");
    }

    #[tokio::test]
    async fn who_reads_too_slowly_is_told_what_was_left_out() {
        let mut findings = Findings::default();
        let mut follower = findings.follow().expect("a follower");
        for _ in 0..WAITING + 7 {
            findings.add(happening(plaintext("GET /a")));
        }
        let lost = next(&mut follower).await;
        assert_eq!((&lost["event"], &lost["lost"]), (&json!("lost"), &json!(7)));
        for _ in 0..WAITING {
            assert_eq!(next(&mut follower).await["event"], "plaintext");
        }
    }

    #[test]
    fn there_are_only_so_many() {
        let findings = Findings::default();
        let mut followers: Vec<_> = (0..MOST_FOLLOWERS)
            .map(|_| findings.follow().expect("a follower"))
            .collect();
        assert!(findings.follow().is_none());
        followers.pop();
        assert!(findings.follow().is_some());
    }
}
