//! Every family of metrics: its type, its labels, and every word that each of them may ever carry.
//!
//! What is not here fails the tests, and so does what `docs/METRICS.md` does not have: to add a
//! family, add it to both.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use guard::{redact, tls};
use guard_common::{
    connection::Outcome,
    reason::{Reason, Verdict},
};
use lab::metrics::Series;

use crate::site::{INTERFACES, SERVICES};

/// A family of metrics.
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) labels: &'static [&'static str],
}

const fn counter(name: &'static str, labels: &'static [&'static str]) -> Family {
    let kind = "counter";
    Family { name, kind, labels }
}

const fn gauge(name: &'static str, labels: &'static [&'static str]) -> Family {
    let kind = "gauge";
    Family { name, kind, labels }
}

/// All that the agent serves.
pub(crate) const FAMILIES: &[Family] = &[
    counter("guard_packets_total", &["iface", "verdict", "reason"]),
    counter("guard_bytes_total", &["iface", "verdict", "reason"]),
    counter(
        "guard_connections_total",
        &["service", "direction", "verdict"],
    ),
    counter("guard_connections_evicted_total", &[]),
    counter("guard_credentials_exposed_total", &["service", "scheme"]),
    counter(
        "guard_tls_handshakes_sampled_total",
        &["service", "version"],
    ),
    counter("guard_tls_findings_total", &["service", "finding"]),
    counter("guard_events_total", &["outcome"]),
    counter("guard_log_lines_dropped_total", &[]),
    gauge("guard_xdp_attached", &["iface", "mode"]),
    counter("guard_pins_lost_total", &["iface"]),
    counter("guard_map_pins_lost_total", &[]),
    gauge("guard_dry_run", &[]),
    gauge(
        "guard_service_info",
        &["service", "direction", "encryption", "on_plaintext"],
    ),
    gauge("guard_rules", &["list"]),
    gauge("guard_rules_configured", &["list"]),
    gauge("guard_rules_not_enforced", &["list"]),
    gauge("guard_bans", &[]),
    gauge("guard_bypass", &[]),
    gauge("guard_feed_entries", &["feed"]),
    gauge("guard_feed_last_success_timestamp_seconds", &["feed"]),
    gauge("guard_feed_last_update_successful", &["feed"]),
    gauge("guard_alerts_active", &["rule"]),
    counter("guard_alerts_sent_total", &["outcome"]),
    counter("guard_alerts_dropped_total", &["cause"]),
    gauge("guard_alert_queue", &[]),
    gauge("guard_map_capacity", &["map"]),
    gauge("guard_map_entries", &["map"]),
    gauge("guard_config_last_reload_successful", &[]),
    gauge("guard_config_last_reload_success_timestamp_seconds", &[]),
    gauge("guard_build_info", &["version"]),
    counter("process_cpu_seconds_total", &[]),
    gauge("process_start_time_seconds", &[]),
    gauge("process_resident_memory_bytes", &[]),
    gauge("process_virtual_memory_bytes", &[]),
    gauge("process_threads", &[]),
    gauge("process_open_fds", &[]),
    gauge("process_max_fds", &[]),
];

/// What there are alerts of.
const RULES: &[&str] = &[
    "plaintext_served",
    "credential_exposed",
    "ban",
    "flood",
    "new_sources_gate_closed",
    "agent_degraded",
    "configured_not_enforced",
];

/// Tables of the kernel side.
const MAPS: &[&str] = &[
    "addresses_v4",
    "addresses_v6",
    "conduct",
    "connections",
    "known",
    "networks",
    "offenders",
    "openings",
    "ranges_v4",
    "ranges_v6",
    "service_bytes",
    "service_sources",
    "settled",
    "source_bytes",
    "sources",
    "talks",
];

/// The words that a label of a family may carry at the site.
fn words(family: &str, label: &str) -> Vec<&'static str> {
    match (family, label) {
        (_, "iface") => INTERFACES.to_vec(),
        (_, "service") => SERVICES.to_vec(),
        (_, "direction") => vec!["inbound", "outbound"],
        ("guard_connections_total", "verdict") => Outcome::ALL.map(Outcome::name).to_vec(),
        (_, "verdict") => Verdict::ALL.map(Verdict::name).to_vec(),
        (_, "reason") => Reason::ALL.map(Reason::name).to_vec(),
        (_, "scheme") => redact::SCHEMES.to_vec(),
        (_, "finding") => tls::Finding::ALL.map(tls::Finding::word).to_vec(),
        ("guard_build_info", "version") => vec![env!("CARGO_PKG_VERSION")],
        (_, "version") => tls::VERSIONS.to_vec(),
        ("guard_alerts_sent_total", "outcome") => vec!["delivered", "failed", "refused"],
        (_, "outcome") => vec!["emitted", "suppressed", "lost"],
        (_, "cause") => vec!["full", "refused", "unclaimed"],
        (_, "feed") => vec!["listed", "fetched"],
        (_, "rule") => RULES.to_vec(),
        (_, "mode") => vec!["native", "generic"],
        (_, "encryption") => vec!["required", "optional", "off"],
        (_, "on_plaintext") => vec!["flag", "reset", "drop"],
        (_, "list") => vec!["allow", "deny", "feed"],
        (_, "map") => MAPS.to_vec(),
        _ => Vec::new(),
    }
}

impl Family {
    fn of(name: &str) -> Result<&'static Self> {
        let known = FAMILIES.iter().find(|family| family.name == name);
        known.with_context(|| format!("{name} is not among the families"))
    }

    /// How many series it can ever have at the site.
    pub(crate) fn bound(&self) -> usize {
        let labels = self.labels.iter();
        labels.map(|label| words(self.name, label).len()).product()
    }
}

/// Whether a series has the labels of its family, and each a word of its own.
pub(crate) fn demand_known_words(series: &Series) -> Result<()> {
    let family = Family::of(&series.name)?;
    let labels: BTreeSet<&str> = series.labels.keys().map(String::as_str).collect();
    let expected: BTreeSet<&str> = family.labels.iter().copied().collect();
    ensure!(labels == expected, "{series} has other labels");
    for (label, value) in &series.labels {
        let known = words(family.name, label);
        ensure!(known.contains(&value.as_str()), "{series}: {label}?");
    }
    Ok(())
}

/// The types that an exposition states, by family.
pub(crate) fn types(exposition: &str) -> BTreeMap<&str, &str> {
    let lines = exposition.lines();
    lines
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect()
}

#[test]
fn a_word_of_nobodys_is_noticed() {
    let series = |labels: &[(&str, &str)]| Series {
        name: "guard_events_total".into(),
        labels: labels
            .iter()
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
            .collect(),
    };
    assert!(demand_known_words(&series(&[("outcome", "lost")])).is_ok());
    assert!(demand_known_words(&series(&[("outcome", "203.0.113.9")])).is_err());
    assert!(demand_known_words(&series(&[("outcome", "lost"), ("path", "/")])).is_err());
    assert!(demand_known_words(&series(&[])).is_err());
}
