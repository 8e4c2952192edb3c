//! `POST /api/v2/alerts`: an array of alerts, each with labels that say which, annotations that
//! tell of it, and when it ends unless it is told again.

use serde_json::{Map, Value, json};

use super::{
    super::{
        message::{Alert, Message},
        rules::{Now, REFRESH},
    },
    time,
};

/// So many times of telling again may be missed before Alertmanager takes an alert for over.
const MISSED: u32 = 3;

pub(super) fn body(message: &Message, instance: &str, now: Now) -> Value {
    let alerts = message.alerts.iter();
    alerts
        .map(|alert| one(message, alert, instance, now))
        .collect()
}

fn one(message: &Message, alert: &Alert, instance: &str, now: Now) -> Value {
    let lasts_ms = (REFRESH * MISSED).as_millis() as u64;
    // By the time it is sent: it may have waited.
    let ends_ms = alert.ended_ms.unwrap_or(now.unix_ms + lasts_ms);
    json!({
        "labels": labels(message, alert, instance),
        "annotations": annotations(alert),
        // One that ends before it starts is refused, and a clock may have been set back.
        "startsAt": time(alert.started_ms.min(ends_ms)),
        "endsAt": time(ends_ms),
    })
}

fn labels(message: &Message, alert: &Alert, instance: &str) -> Map<String, Value> {
    let own = alert.labels.iter();
    let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
    let fixed = [
        ("alertname", message.rule.alert_name()),
        ("instance", instance),
        ("rule", message.rule.name()),
        ("severity", alert.severity.name()),
    ];
    own.chain(fixed)
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect()
}

fn annotations(alert: &Alert) -> Map<String, Value> {
    let mut annotations = Map::new();
    for (name, text) in [
        ("summary", &alert.summary),
        ("description", &alert.description),
        ("action", &alert.action),
    ] {
        annotations.insert(name.to_owned(), text.as_str().into());
    }
    if !alert.sources.is_empty() {
        annotations.insert("sources".to_owned(), alert.sources.join(", ").into());
    }
    annotations
}
