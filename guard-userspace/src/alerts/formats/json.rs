//! An object of our own. Its `text` is what chat programs show of a webhook.

use serde_json::{Value, json};

use super::{
    super::message::{Alert, Message},
    time,
};

pub(super) fn body(message: &Message, instance: &str) -> Value {
    let alerts: Vec<Value> = message.alerts.iter().map(one).collect();
    let is_firing = message.alerts.iter().any(|alert| alert.ended_ms.is_none());
    json!({
        "version": 1,
        "id": message.id,
        "source": "guard",
        "guard_version": env!("CARGO_PKG_VERSION"),
        "instance": instance,
        "rule": message.rule.name(),
        "status": if is_firing { "firing" } else { "resolved" },
        "time": time(message.made_ms),
        "text": text(message, instance),
        "alerts": alerts,
    })
}

fn one(alert: &Alert) -> Value {
    json!({
        "status": status(alert),
        "severity": alert.severity,
        "labels": alert.labels,
        "summary": alert.summary,
        "description": alert.description,
        "action": alert.action,
        "sources": alert.sources,
        "starts_at": time(alert.started_ms),
        "ends_at": alert.ended_ms.map(time),
    })
}

fn status(alert: &Alert) -> &'static str {
    match alert.ended_ms {
        None => "firing",
        Some(_) => "resolved",
    }
}

/// A line for each alert.
fn text(message: &Message, instance: &str) -> String {
    let lines = message.alerts.iter().map(|alert| {
        let word = match alert.ended_ms {
            None => alert.severity.name(),
            Some(_) => "resolved",
        };
        format!("[guard on {instance}] {word}: {}", alert.summary)
    });
    lines.collect::<Vec<_>>().join("\n")
}
