//! Snapshots and moments for the tests.

use std::{collections::BTreeMap, time::Duration};

use super::rules::Now;
use crate::status::{
    ClockStatus, EventStatus, InterfaceStatus, PacketCount, PrivilegeStatus, ProtectSelfStatus,
    RuleStatus, ServiceStatus, Status,
};

/// When the tests begin, in milliseconds since 1970.
pub(super) const EPOCH_MS: u64 = 1_700_000_000_000;

/// So many seconds after the tests begin.
pub(super) fn at(seconds: u64) -> Now {
    Now {
        elapsed: Duration::from_secs(1_000 + seconds),
        unix_ms: EPOCH_MS + seconds * 1_000,
    }
}

/// An agent that is well: one interface, the services `orders` and `stock`, a list.
pub(super) fn status() -> Status {
    Status {
        version: "0".to_owned(),
        pid: 1,
        uptime_seconds: 0,
        mode: "enforce".to_owned(),
        on_stop: "detach".to_owned(),
        bypass_until: None,
        trial_until: None,
        protect_self: ProtectSelfStatus::default(),
        privileges: PrivilegeStatus::default(),
        feeds: Vec::new(),
        last_reload_error: None,
        interfaces: vec![InterfaceStatus {
            name: "eth0".to_owned(),
            attached: Some("native".to_owned()),
            note: None,
            pins_lost: 0,
            packets: Vec::new(),
        }],
        services: ["orders", "stock"].map(service).into(),
        limits: serde_json::Value::Null,
        rules: vec![RuleStatus {
            list: "deny".to_owned(),
            configured: 3,
            in_force: 3,
            missing: 0,
        }],
        bans: 0,
        bans_begun: 0,
        banned_last: Vec::new(),
        warnings: Vec::new(),
        connections_evicted: 0,
        events: EventStatus::default(),
        log_lines_dropped: 0,
        clock: ClockStatus {
            source: "jiffies".to_owned(),
            tick_ns: 4_000_000,
        },
        pinned: true,
        map_pins_lost: 0,
        maps: Vec::new(),
        last_reload_failed: false,
        config_loaded_at: 0,
        alerts: None,
    }
}

fn service(name: &str) -> ServiceStatus {
    ServiceStatus {
        name: name.to_owned(),
        ports: vec!["8080".to_owned()],
        encryption: "required".to_owned(),
        direction: "inbound".to_owned(),
        on_plaintext: "flag".to_owned(),
        strict: false,
        openapi: None,
        connections: BTreeMap::new(),
        credentials: BTreeMap::new(),
        tls: crate::status::TlsStatus::default(),
    }
}

/// Connections of the service at `position` that were answered in clear.
pub(super) fn served(status: &mut Status, position: usize, count: u64) {
    let protocols = BTreeMap::from([("http1".to_owned(), count)]);
    status.services[position]
        .connections
        .insert("plaintext_served".to_owned(), protocols);
}

/// Packets that were dropped on the interface for a reason.
pub(super) fn dropped(status: &mut Status, reason: &str, packets: u64) {
    counted(status, "drop", reason, packets);
}

/// Packets under a verdict and reason.
pub(super) fn counted(status: &mut Status, verdict: &str, reason: &str, packets: u64) {
    let counts = &mut status.interfaces[0].packets;
    counts.retain(|count| (count.verdict.as_str(), count.reason.as_str()) != (verdict, reason));
    counts.push(PacketCount {
        verdict: verdict.to_owned(),
        reason: reason.to_owned(),
        packets,
        bytes: 0,
    });
}
