//! What `guard status` and the metrics say of alerts.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde::{Deserialize, Serialize};

use super::rule::{Rule, Severity};

/// Alerts, and how it goes with telling of them.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AlertStatus {
    /// Those that are on.
    pub active: Vec<ActiveAlert>,
    /// Who is told.
    pub receivers: Vec<ReceiverStatus>,
    /// Messages that wait to be sent.
    pub queue: u64,
    /// Whether those are written down, so that they survive the agent.
    pub queue_written: bool,
    /// Messages that somebody took.
    pub delivered: u64,
    /// Requests that came to nothing; the messages wait.
    pub failed: u64,
    /// Messages that a receiver took for wrong; they are among the dropped ones.
    pub refused: u64,
    /// Messages that nobody got, by why: `full`, `refused`, `unclaimed`.
    pub dropped: BTreeMap<String, u64>,
}

/// An alert that is on.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ActiveAlert {
    /// What it is for.
    pub rule: Rule,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub labels: BTreeMap<String, String>,
    /// One line.
    pub summary: String,
    /// Since when, in seconds since 1970.
    pub since: u64,
}

/// A receiver of alerts, without anything of its address that may be secret.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ReceiverStatus {
    /// Scheme, host and port.
    pub webhook: String,
    /// `alertmanager` or `json`.
    pub format: String,
    /// Messages that wait for it.
    pub waiting: u64,
    /// Messages it took.
    pub delivered: u64,
    /// Requests that came to nothing.
    pub failed: u64,
    /// Messages it took for wrong.
    pub refused: u64,
    /// Why it does not take any now.
    pub failing: Option<String>,
}

impl AlertStatus {
    /// For people.
    pub(crate) fn render_into(&self, text: &mut String) -> fmt::Result {
        writeln!(
            text,
            "\nalerts: {} on, {} messages wait",
            self.active.len(),
            self.queue
        )?;
        if !self.queue_written {
            writeln!(text, "  what waits is not written down: see the log")?;
        }
        for alert in &self.active {
            writeln!(text, "  {:<8} {}", alert.severity, alert.summary)?;
        }
        for receiver in &self.receivers {
            let ReceiverStatus {
                webhook,
                format,
                delivered,
                waiting,
                ..
            } = receiver;
            write!(
                text,
                "  to {webhook} ({format}): {delivered} delivered, {waiting} waiting"
            )?;
            match &receiver.failing {
                Some(why) => writeln!(text, "\n    failing: {why}")?,
                None => writeln!(text)?,
            }
        }
        let dropped: u64 = self.dropped.values().sum();
        if dropped > 0 {
            let each = self.dropped.iter().filter(|(_, count)| **count > 0);
            let each = each.map(|(why, count)| format!("{why} {count}"));
            let each = each.collect::<Vec<_>>().join(", ");
            writeln!(text, "  dropped: {each}")?;
        }
        Ok(())
    }
}
