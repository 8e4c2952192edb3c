//! What is told: an alert, and a message with some of one rule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    causes::{Cause, Subject},
    rule::{Rule, Severity},
    rules::{Step, Transition},
};

/// Alerts in one message, at most; more are told in several.
const IN_ONE: usize = 64;

/// An alert as it is told. Times are milliseconds since 1970.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Alert {
    pub(super) severity: Severity,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) summary: String,
    pub(super) description: String,
    pub(super) action: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) sources: Vec<String>,
    pub(super) started_ms: u64,
    /// Nothing while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended_ms: Option<u64>,
}

impl Alert {
    pub(super) fn new(cause: &Cause, started_ms: u64) -> Self {
        Self {
            severity: cause.severity,
            labels: cause.subject.labels.clone(),
            summary: cause.summary.clone(),
            description: cause.description.clone(),
            action: cause.action.clone(),
            sources: cause.sources.clone(),
            started_ms,
            ended_ms: None,
        }
    }

    pub(super) fn into_cause(self, rule: Rule) -> Cause {
        Cause {
            subject: Subject {
                rule,
                labels: self.labels,
            },
            severity: self.severity,
            summary: self.summary,
            description: self.description,
            action: self.action,
            sources: self.sources,
            news: 0,
        }
    }
}

/// Alerts of one rule, told at once.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Message {
    /// The same however often it is sent.
    pub(super) id: String,
    pub(super) rule: Rule,
    /// When it was made, in milliseconds since 1970.
    pub(super) made_ms: u64,
    /// It says no more than that alerts go on, for receivers that would take them for over.
    #[serde(default)]
    pub(super) keeps_alive: bool,
    pub(super) alerts: Vec<Alert>,
}

/// Puts what happened at one moment into messages: one for each rule, unless there is very much.
pub(super) fn group(
    transitions: Vec<Transition>,
    made_ms: u64,
    mut id: impl FnMut() -> String,
) -> Vec<Message> {
    let mut groups: BTreeMap<(Rule, bool), Vec<Alert>> = BTreeMap::new();
    for Transition { step, rule, alert } in transitions {
        let keeps_alive = step == Step::Continues;
        groups.entry((rule, keeps_alive)).or_default().push(alert);
    }
    let mut messages = Vec::new();
    for ((rule, keeps_alive), alerts) in groups {
        messages.extend(alerts.chunks(IN_ONE).map(|alerts| Message {
            id: id(),
            rule,
            made_ms,
            keeps_alive,
            alerts: alerts.to_vec(),
        }));
    }
    messages
}
