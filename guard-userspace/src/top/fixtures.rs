//! Two looks at an agent, a second apart, as its tests have them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::snapshot::Snapshot;

/// Two looks at a busy host.
pub(super) fn looks() -> [Snapshot; 2] {
    let first = Instant::now();
    let later = first + Duration::from_secs(1);
    [look(first, &earlier()), look(later, &status())]
}

/// One look, with this status.
pub(super) fn look(taken: Instant, status: &Value) -> Snapshot {
    let read = |what: &str, value: Value| panic!("{what}: {value}");
    let status = serde_json::from_value(status.clone());
    let status = status.unwrap_or_else(|error| read("status", json!(error.to_string())));
    Snapshot {
        taken,
        time: 1_700_000_000,
        status,
        bans: serde_json::from_value(bans()).expect("bans"),
        talkers: serde_json::from_value(talkers()).expect("talkers"),
        events: serde_json::from_value(events()).expect("events"),
    }
}

/// What the agent says of itself.
pub(super) fn status() -> Value {
    json!({
        "version": "0.1.0",
        "pid": 4711,
        "uptime_seconds": 7_505,
        "mode": "enforce",
        "interfaces": [
            {"name": "eth0", "attached": "native", "note": null, "packets": [
                {"verdict": "pass", "reason": "pass", "packets": 1_234_567, "bytes": 987_654_321},
                {"verdict": "pass", "reason": "plaintext", "packets": 12, "bytes": 3_400},
                {"verdict": "drop", "reason": "limit_packets", "packets": 452_000, "bytes": 27_120_000},
                {"verdict": "drop", "reason": "deny", "packets": 77, "bytes": 4_620},
            ]},
            {"name": "wan-very-long-0", "attached": null, "note": "gone", "packets": [
                {"verdict": "drop", "reason": "deny", "packets": 10, "bytes": 600},
            ]},
        ],
        "services": [
            {"name": "orders", "ports": ["8443", "9000-9010"], "encryption": "required",
             "direction": "inbound", "on_plaintext": "reset", "strict": false,
             "connections": {
                "encrypted": {"tls": 12_345},
                "plaintext_served": {"http1": 3},
                "rejected": {"http1": 10}},
             "credentials": {"basic": 2},
             "tls": {"sampled": 0, "versions": {}, "ciphers": {}, "client_certificates": {}, "findings": {}}},
            {"name": "metrics", "ports": ["9797"], "encryption": "off",
             "direction": "inbound", "on_plaintext": "flag", "strict": false,
             "connections": {}, "credentials": {},
             "tls": {"sampled": 0, "versions": {}, "ciphers": {}, "client_certificates": {}, "findings": {}}},
        ],
        "limits": {},
        "rules": [],
        "bans": 1,
        "warnings": [
            "192.0.2.0/24 is denied and holds 192.0.2.1, an address of this host",
            "another one",
        ],
        "connections_evicted": 0,
        "events": {"emitted": 1, "suppressed": 0, "lost": 0},
        "log_lines_dropped": 0,
        "clock": {"source": "jiffies", "tick_ns": 4_000_000},
        "maps": [],
        "last_reload_failed": false,
        "config_loaded_at": 1_700_000_000,
    })
}

/// The same a second before.
fn earlier() -> Value {
    let mut status = status();
    status["uptime_seconds"] = json!(7_504);
    let packets = &mut status["interfaces"][0]["packets"];
    for (at, packets_before, bytes_before) in
        [(0, 1_222_222, 975_309_321), (2, 400_000, 24_000_000)]
    {
        packets[at]["packets"] = json!(packets_before);
        packets[at]["bytes"] = json!(bytes_before);
    }
    status["services"][0]["connections"]["encrypted"]["tls"] = json!(12_300);
    status
}

fn bans() -> Value {
    json!([{"source": "203.0.113.66/32", "since": 1_699_999_900, "until": 1_700_000_054, "times": 1}])
}

fn talkers() -> Value {
    let source = |source: &str, packets: f64, bytes: f64, refused: f64, reason: &str| {
        json!({"source": source, "packets_per_second": packets, "bytes_per_second": bytes,
               "refused_share": refused, "reason": reason})
    };
    json!({"seconds": 10.4, "one_packet_in": 256, "sources": [
        source("203.0.113.66/32", 51_200.0, 3_072_000.0, 1.0, "ban"),
        source("2001:db8:1234:5678::/64", 10_240.0, 9_830_400.0, 0.25, "limit_connections"),
        source("198.51.100.7/32", 1_228.8, 73_728.0, 0.0, "pass"),
    ]})
}

fn events() -> Value {
    let events = (0..30).map(|number: u64| {
        let text = if number == 29 {
            "2023-11-14T22:13:20.029Z orders:8080 <- 192.0.2.9:40000 http1 plaintext reset: GET /\u{1b}[2J\u{7}"
                .to_owned()
        } else {
            format!("2023-11-14T22:13:20.{number:03}Z orders:8443 <- 192.0.2.9:{number} tls connection unknown")
        };
        json!({"time_ms": 1_700_000_000_000 + number, "text": text, "event": "connection"})
    });
    events.collect()
}
