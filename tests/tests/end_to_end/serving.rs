//! What the agent says of itself: metrics, health, status.

use std::collections::BTreeSet;

use anyhow::Result;
use lab::{
    agent::Agent,
    metrics::Metrics,
    stage::{CLIENT, Stage},
};

use crate::{Site, connections, stop};

/// What the contract promises and this cut has.
const FAMILIES: [&str; 15] = [
    "guard_bans",
    "guard_build_info",
    "guard_bytes_total",
    "guard_config_last_reload_success_timestamp_seconds",
    "guard_config_last_reload_successful",
    "guard_events_total",
    "guard_log_lines_dropped_total",
    "guard_map_capacity",
    "guard_map_entries",
    "guard_packets_total",
    "guard_connections_total",
    "guard_connections_evicted_total",
    "guard_rules",
    "guard_rules_configured",
    "guard_xdp_attached",
];

#[test]
fn metrics_are_in_the_text_format_and_complete() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &["--iface", "eth0"])?;
    let text = agent.get("/metrics")?.body;
    let metrics = Metrics::parse(&text)?;
    let names: BTreeSet<_> = metrics
        .iter()
        .map(|(series, _)| series.name.as_str())
        .collect();
    let missing = &BTreeSet::from(FAMILIES) - &names;
    assert!(missing.is_empty(), "{missing:?}");
    for name in names {
        assert!(text.contains(&format!("# HELP {name} ")), "{name}");
        assert!(text.contains(&format!("# TYPE {name} ")), "{name}");
    }
    assert_eq!(metrics.value("guard_build_info", &[]), Some(1.0));
    assert_eq!(
        metrics.value("guard_config_last_reload_successful", &[]),
        Some(1.0)
    );
    for (series, value) in metrics.iter() {
        assert!(value.is_finite() && value >= 0.0, "{series} {value}");
    }
    stop(agent)
}

#[test]
fn every_reason_is_there_before_its_first_packet() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &["--iface", "eth0"])?;
    let metrics = agent.metrics()?;
    let reasons = [
        "deny",
        "malformed",
        "fragment",
        "service_acl",
        "limit_packets",
        "limit_bytes",
        "limit_connections",
        "limit_protocol",
        "plaintext",
    ];
    for reason in reasons {
        let labels = [("iface", "eth0"), ("verdict", "drop"), ("reason", reason)];
        assert_eq!(
            metrics.value("guard_packets_total", &labels),
            Some(0.0),
            "{reason}"
        );
        assert_eq!(
            metrics.value("guard_bytes_total", &labels),
            Some(0.0),
            "{reason}"
        );
    }
    stop(agent)
}

#[test]
fn health_is_served_and_nothing_else() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &["--iface", "eth0"])?;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(agent.get(path)?.status, 200, "{path}");
    }
    for path in ["/", "/v1/status", "/metrics/", "/%2e%2e/etc/passwd"] {
        assert_eq!(agent.get(path)?.status, 404, "{path}");
    }
    stop(agent)
}

#[test]
fn status_tells_what_was_counted() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&["--deny", "203.0.113.20", "--limit-packets", "20k/s"])?;
    assert!(site.https(CLIENT)?.is_ok());
    let status = agent.status()?;
    assert_eq!(status["mode"], "enforce");
    assert_eq!(status["limits"]["packets"], "20k/s");
    assert_eq!(status["services"][0]["name"], "api");
    assert_eq!(connections(&agent, "api", "encrypted", 1)?, 1);
    let status = agent.status()?;
    assert_eq!(status["services"][0]["connections"]["encrypted"]["tls"], 1);
    let table = agent.cli(&["status"])?;
    assert!(table.status.success());
    let table = String::from_utf8(table.stdout)?;
    for words in [
        "eth0: native",
        "enforce",
        "packets 20k/s",
        "service api",
        "tls 1",
    ] {
        assert!(table.contains(words), "no `{words}` in:\n{table}");
    }
    stop(agent)
}

#[test]
fn status_and_metrics_agree() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&[])?;
    assert!(site.http(CLIENT)?.is_ok());
    // The last segments of the connection may still be on their way.
    std::thread::sleep(std::time::Duration::from_millis(300));
    let (metrics, status) = (agent.metrics()?, agent.status()?);
    let counts = status["interfaces"][0]["packets"].as_array();
    for count in counts.into_iter().flatten() {
        let text = |name: &str| count[name].as_str().unwrap_or_default();
        let labels = [("verdict", text("verdict")), ("reason", text("reason"))];
        let said = metrics.value("guard_packets_total", &labels);
        assert_eq!(said, count["packets"].as_f64(), "{count}");
        let said = metrics.value("guard_bytes_total", &labels);
        assert_eq!(said, count["bytes"].as_f64(), "{count}");
    }
    stop(agent)
}
