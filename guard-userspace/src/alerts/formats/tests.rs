use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::{
        message::Alert,
        rule::{Rule, Severity},
        testing::at,
    },
    *,
};

fn message() -> Message {
    let ban = Alert {
        severity: Severity::Info,
        labels: BTreeMap::new(),
        summary: "2 sources banned".to_owned(),
        description: "Banned.".to_owned(),
        action: "`guard bans`".to_owned(),
        sources: vec!["192.0.2.1/32".to_owned(), "2001:db8::/64".to_owned()],
        started_ms: at(0).unix_ms,
        ended_ms: None,
    };
    let over = Alert {
        labels: BTreeMap::from([("iface".to_owned(), "eth0".to_owned())]),
        sources: Vec::new(),
        ended_ms: Some(at(30).unix_ms),
        ..ban.clone()
    };
    Message {
        id: "1-1".to_owned(),
        rule: Rule::Ban,
        made_ms: at(30).unix_ms,
        keeps_alive: false,
        alerts: vec![ban, over],
    }
}

fn body(format: Format, message: &Message) -> Value {
    let body = format.body(message, "host-1", at(100));
    serde_json::from_str(&body).expect("JSON")
}

#[test]
fn alertmanager_gets_labels_annotations_and_when_it_ends() {
    let sent = body(Format::Alertmanager, &message());
    assert_eq!(
        sent,
        json!([
            {
                "labels": {
                    "alertname": "GuardBan", "instance": "host-1", "rule": "ban", "severity": "info",
                },
                "annotations": {
                    "summary": "2 sources banned", "description": "Banned.",
                    "action": "`guard bans`", "sources": "192.0.2.1/32, 2001:db8::/64",
                },
                "startsAt": "2023-11-14T22:13:20.000Z",
                // Six minutes after it is sent, unless it is told again.
                "endsAt": "2023-11-14T22:21:00.000Z",
            },
            {
                "labels": {
                    "alertname": "GuardBan", "instance": "host-1", "rule": "ban",
                    "severity": "info", "iface": "eth0",
                },
                "annotations": {
                    "summary": "2 sources banned", "description": "Banned.",
                    "action": "`guard bans`",
                },
                "startsAt": "2023-11-14T22:13:20.000Z",
                "endsAt": "2023-11-14T22:13:50.000Z",
            },
        ])
    );
}

#[test]
fn a_clock_that_was_set_back_makes_no_alert_that_ends_before_it_starts() {
    let mut message = message();
    message.alerts.truncate(1);
    message.alerts[0].started_ms = at(1_000_000).unix_ms;
    let sent = body(Format::Alertmanager, &message);
    assert_eq!(sent[0]["startsAt"], sent[0]["endsAt"]);
}

#[test]
fn the_own_format_has_a_line_for_people_and_everything_for_programs() {
    let sent = body(Format::Json, &message());
    let text = "[guard on host-1] info: 2 sources banned\n\
                [guard on host-1] resolved: 2 sources banned";
    let expected = json!({
        "version": 1, "id": "1-1", "source": "guard", "instance": "host-1", "rule": "ban",
        "status": "firing", "time": "2023-11-14T22:13:50.000Z", "text": text,
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&sent[name], value, "{name}");
    }
    let alerts = sent["alerts"].as_array().expect("alerts");
    assert_eq!(
        alerts[1],
        json!({
            "status": "resolved", "severity": "info", "labels": {"iface": "eth0"},
            "summary": "2 sources banned", "description": "Banned.", "action": "`guard bans`",
            "sources": [], "starts_at": "2023-11-14T22:13:20.000Z",
            "ends_at": "2023-11-14T22:13:50.000Z",
        })
    );
    assert_eq!(alerts[0]["ends_at"], Value::Null);
    let mut over = message();
    over.alerts.remove(0);
    assert_eq!(body(Format::Json, &over)["status"], "resolved");
}
