//! What passed, what did not, and what is known of it, by interface and service.

use anyhow::Result;
use guard_common::connection::Outcome;
use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{counter, gauge};
use crate::{
    redact,
    status::{InterfaceStatus, ServiceStatus},
    tls,
};

/// The families of interfaces and services.
pub(super) struct Traffic {
    pins_lost: IntCounterVec,
    packets: IntCounterVec,
    bytes: IntCounterVec,
    attached: IntGaugeVec,
    connections: IntCounterVec,
    credentials: IntCounterVec,
    tls: IntCounterVec,
    tls_findings: IntCounterVec,
    service_info: IntGaugeVec,
}

impl Traffic {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        Ok(Self {
            packets: counter(
                registry,
                "guard_packets_total",
                "Packets by what was done with them and why.",
                &["iface", "verdict", "reason"],
            )?,
            bytes: counter(
                registry,
                "guard_bytes_total",
                "Bytes of those packets: link-layer header and IP packet.",
                &["iface", "verdict", "reason"],
            )?,
            attached: gauge(
                registry,
                "guard_xdp_attached",
                "Whether the program is attached to the interface in this mode.",
                &["iface", "mode"],
            )?,
            connections: counter(
                registry,
                "guard_connections_total",
                "Connections by whether they are encrypted.",
                &["service", "direction", "verdict"],
            )?,
            credentials: counter(
                registry,
                "guard_credentials_exposed_total",
                "Credentials seen in clear: at least so many, since requests are sampled.",
                &["service", "scheme"],
            )?,
            tls: counter(
                registry,
                "guard_tls_handshakes_sampled_total",
                "Sampled TLS handshakes by negotiated version.",
                &["service", "version"],
            )?,
            tls_findings: counter(
                registry,
                "guard_tls_findings_total",
                "Sampled TLS handshakes that are a reason to look at the server.",
                &["service", "finding"],
            )?,
            pins_lost: counter(
                registry,
                "guard_pins_lost_total",
                "Pins of what keeps the program on an interface that somebody has removed.",
                &["iface"],
            )?,
            service_info: gauge(
                registry,
                "guard_service_info",
                "Always 1: what the operator demands of a service.",
                &["service", "direction", "encryption", "on_plaintext"],
            )?,
        })
    }

    pub(super) fn fill_interface(&self, interface: &InterfaceStatus) {
        self.pins_lost
            .with_label_values(&[&interface.name])
            .inc_by(interface.pins_lost);
        for mode in ["native", "generic"] {
            let attached = interface.attached.as_deref() == Some(mode);
            self.attached
                .with_label_values(&[interface.name.as_str(), mode])
                .set(attached.into());
        }
        for count in &interface.packets {
            let labels = [
                interface.name.as_str(),
                count.verdict.as_str(),
                count.reason.as_str(),
            ];
            self.packets
                .with_label_values(&labels)
                .inc_by(count.packets);
            self.bytes.with_label_values(&labels).inc_by(count.bytes);
        }
    }

    pub(super) fn fill_service(&self, service: &ServiceStatus) {
        let (name, direction) = (service.name.as_str(), service.direction.as_str());
        for outcome in Outcome::ALL {
            let verdict = outcome.name();
            let protocols = service.connections.get(verdict);
            let sum = protocols.map_or(0, |protocols| protocols.values().sum());
            self.connections
                .with_label_values(&[name, direction, verdict])
                .inc_by(sum);
        }
        let demands = [
            name,
            direction,
            service.encryption.as_str(),
            service.on_plaintext.as_str(),
        ];
        self.service_info.with_label_values(&demands).set(1);
        self.fill_samples(service);
    }

    /// All of them from the first scrape on: a counter that begins at one has not risen.
    fn fill_samples(&self, service: &ServiceStatus) {
        let name = service.name.as_str();
        for scheme in redact::SCHEMES {
            let count = service.credentials.get(scheme).copied();
            self.credentials
                .with_label_values(&[name, scheme])
                .inc_by(count.unwrap_or(0));
        }
        for version in tls::VERSIONS {
            let count = service.tls.versions.get(version).copied();
            self.tls
                .with_label_values(&[name, version])
                .inc_by(count.unwrap_or(0));
        }
        for finding in tls::Finding::ALL.map(tls::Finding::word) {
            let count = service.tls.findings.get(finding).copied();
            self.tls_findings
                .with_label_values(&[name, finding])
                .inc_by(count.unwrap_or(0));
        }
    }
}
