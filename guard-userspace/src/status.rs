//! What the agent protects and what it counted, at one moment: the answer of `guard status`, and
//! what the metrics are made of.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use guard_common::{
    connection::Outcome,
    protocol::Protocol,
    reason::{Reason, Verdict},
};
use serde::{Deserialize, Serialize};

pub use crate::alerts::status::{ActiveAlert, AlertStatus, ReceiverStatus};
use crate::{
    entries::{Banned, time_text},
    ssh::Connection,
};

/// The agent at one moment.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Status {
    /// Version of the agent.
    pub version: String,
    /// Process id of the agent.
    pub pid: u32,
    /// Seconds since it protects.
    pub uptime_seconds: u64,
    /// `enforce` or `dry-run`.
    pub mode: String,
    /// `detach` or `keep`: what becomes of the protection when the agent ends.
    #[serde(default)]
    pub on_stop: String,
    /// Until when everything passes, in seconds since 1970.
    #[serde(default)]
    pub bypass_until: Option<u64>,
    /// When what is in force is undone unless it is confirmed, in seconds since 1970.
    #[serde(default)]
    pub trial_until: Option<u64>,
    /// Every configured interface.
    pub interfaces: Vec<InterfaceStatus>,
    /// Every service.
    pub services: Vec<ServiceStatus>,
    /// Limits for each source, as configured.
    pub limits: serde_json::Value,
    /// Rules, configured and in force.
    pub rules: Vec<RuleStatus>,
    /// What passes where it would be refused, since this host lives by it.
    #[serde(default)]
    pub protect_self: ProtectSelfStatus,
    /// Sources that are banned.
    #[serde(default)]
    pub bans: u64,
    /// Bans that have begun since the agent started.
    #[serde(default)]
    pub bans_begun: u64,
    /// The sources that were banned last, newest first: up to ten.
    #[serde(default)]
    pub banned_last: Vec<Banned>,
    /// Rules that are against this host or those who administer it, a sentence each.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Connections that made room for others before it was known what they are.
    #[serde(default)]
    pub connections_evicted: u64,
    /// What the agent may do, beside what any process of its user may.
    #[serde(default)]
    pub privileges: PrivilegeStatus,
    /// Events of single packets.
    pub events: EventStatus,
    /// Lines of the log that were left out since nobody read it.
    pub log_lines_dropped: u64,
    /// The packet path's clock.
    pub clock: ClockStatus,
    /// Whether the kernel side is pinned on a BPF file system.
    #[serde(default = "yes")]
    pub pinned: bool,
    /// Pins of the maps that somebody has removed, and that were made again.
    #[serde(default)]
    pub map_pins_lost: u64,
    /// Tables of the kernel side.
    pub maps: Vec<MapStatus>,
    /// Every feed.
    #[serde(default)]
    pub feeds: Vec<FeedStatus>,
    /// Whether the last configuration given was refused, so that an older one is in force.
    #[serde(default)]
    pub last_reload_failed: bool,
    /// Why it was.
    #[serde(default)]
    pub last_reload_error: Option<String>,
    /// When the configuration in force was taken, in seconds since 1970.
    pub config_loaded_at: u64,
    /// What is told to whoever is to be alerted; nothing where nobody is.
    #[serde(default)]
    pub alerts: Option<AlertStatus>,
}

fn yes() -> bool {
    true
}

/// An interface.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// `native` or `generic`; nothing while the program is not attached.
    pub attached: Option<String>,
    /// What there is to know about how it is attached.
    pub note: Option<String>,
    /// Pins of what keeps the program there after the agent that somebody has removed, and that were
    /// made again.
    #[serde(default)]
    pub pins_lost: u64,
    /// What was counted, without the counters that are zero.
    pub packets: Vec<PacketCount>,
}

/// Packets under one verdict and reason.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct PacketCount {
    /// What was done.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Its ports, as configured.
    pub ports: Vec<String>,
    /// `required`, `optional` or `off`.
    pub encryption: String,
    /// `inbound` or `outbound`.
    pub direction: String,
    /// `flag`, `reset` or `drop`.
    pub on_plaintext: String,
    /// Whether what matches nothing is refused too.
    pub strict: bool,
    /// What documents it, if something does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openapi: Option<DocumentStatus>,
    /// Connections by encryption verdict, and by protocol within it; what is zero is left out.
    pub connections: BTreeMap<String, BTreeMap<String, u64>>,
    /// Credentials seen in clear, by scheme: at least so many, since requests are sampled.
    pub credentials: BTreeMap<String, u64>,
    /// What sampled TLS handshakes showed.
    pub tls: TlsStatus,
}

/// What sampled TLS handshakes showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct TlsStatus {
    /// How many.
    pub sampled: u64,
    /// By negotiated version.
    pub versions: BTreeMap<String, u64>,
    /// By negotiated cipher suite.
    pub ciphers: BTreeMap<String, u64>,
    /// By whether the server asks for a certificate of the client.
    pub client_certificates: BTreeMap<String, u64>,
    /// Reasons to look at the server.
    pub findings: BTreeMap<String, u64>,
}

/// What documents the API of a service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DocumentStatus {
    /// The file.
    pub file: String,
    /// What it is: `OpenAPI 3.1.0`, `Swagger 2.0`.
    pub version: String,
    /// How many operations it documents.
    pub operations: u64,
}

/// A feed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct FeedStatus {
    /// Its name.
    pub name: String,
    /// Its file, or the address it is fetched from, without what may be secret in it.
    pub from: String,
    /// Entries of the list in force, those of earlier feeds among them.
    pub entries: u64,
    /// When that was read, or last fetched, in seconds since 1970; nothing when it never was.
    pub updated: Option<u64>,
    /// Why the last attempt to fetch it failed, if it did.
    pub error: Option<String>,
}

/// A list of rules.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RuleStatus {
    /// `allow`, `deny` or `feed`.
    pub list: String,
    /// Entries configured.
    pub configured: u64,
    /// Entries that the kernel holds.
    pub in_force: u64,
    /// Entries for whose network nothing at all is in force, neither they nor what goes before them.
    #[serde(default)]
    pub missing: u64,
}

/// What passes where it would be refused, since this host lives by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct ProtectSelfStatus {
    /// Whether anything does.
    pub enabled: bool,
    /// The resolvers whose answers do, to what this host has asked them.
    pub resolvers: Vec<IpAddr>,
    /// Where SSH servers of this host listen, as far as the agent knows.
    pub ssh_ports: Vec<u16>,
    /// The SSH connections of administrators.
    pub connections: Vec<Connection>,
}

/// Events of single packets, all of which are samples.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct EventStatus {
    /// Logged.
    pub emitted: u64,
    /// Left out by the budget.
    pub suppressed: u64,
    /// Left out since the agent was not fast enough.
    pub lost: u64,
}

/// What the agent has kept and given up, as the kernel says it of every thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PrivilegeStatus {
    /// Capabilities that it keeps, such as `net_admin`.
    pub capabilities: Vec<String>,
    /// Whether nothing is gained by executing a program.
    pub no_new_privs: bool,
    /// The version of landlock that keeps files out of reach; nothing where none does.
    pub landlock: Option<u32>,
    /// Whether system calls are refused.
    pub seccomp: bool,
    /// What could not be given up, or will be missed, a sentence each.
    pub lacking: Vec<String>,
}

/// The packet path's clock.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ClockStatus {
    /// `jiffies` or `coarse`.
    pub source: String,
    /// Nanoseconds of a tick: the grain of every limit.
    pub tick_ns: u64,
}

/// A table of the kernel side.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct MapStatus {
    /// Its name.
    pub map: String,
    /// How many entries fit.
    pub capacity: u64,
    /// How many there are, where the kernel can tell.
    pub entries: Option<u64>,
}

/// Verdicts and reasons in the order they are shown.
pub(crate) fn verdicts_and_reasons() -> impl Iterator<Item = (Verdict, Reason)> {
    Verdict::ALL
        .into_iter()
        .flat_map(|verdict| Reason::ALL.into_iter().map(move |reason| (verdict, reason)))
}

impl Status {
    /// For people, at 80 columns.
    pub fn render(&self) -> String {
        let mut text = String::new();
        self.render_into(&mut text).unwrap_or_default();
        text
    }

    fn render_into(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "guard {} · {} · up {} · pid {}",
            self.version,
            self.mode,
            duration_text(self.uptime_seconds),
            self.pid
        )?;
        if let Some(until) = self.bypass_until {
            let until = time_text(until);
            writeln!(
                text,
                "BYPASS: everything passes until {until}; `guard bypass off` ends it"
            )?;
        }
        if let Some(until) = self.trial_until {
            let until = time_text(until);
            writeln!(
                text,
                "on trial: undone at {until} unless `guard confirm` comes before"
            )?;
        }
        if let Some(error) = &self.last_reload_error {
            let refused = "the last configuration was refused, and an older one is in force";
            writeln!(text, "warning: {refused}:\n{error}")?;
        }
        for warning in &self.warnings {
            writeln!(text, "warning: {warning}")?;
        }
        for interface in &self.interfaces {
            interface.render_into(text)?;
        }
        writeln!(
            text,
            "\nlimits for each source: {}\nlimits for all together: {}",
            limits_text(&self.limits),
            values_text(
                &self.limits["protocol"],
                &["icmp", "fragments", "udp", "stray"]
            )
        )?;
        for list in &self.rules {
            let missing = match list.missing {
                0 => String::new(),
                missing => format!(", {missing} MISSING in the kernel: `guard reload`"),
            };
            writeln!(
                text,
                "{}: {} in force of {} configured{missing}",
                list.list, list.in_force, list.configured
            )?;
        }
        for feed in &self.feeds {
            feed.render_into(text)?;
        }
        self.protect_self.render_into(text)?;
        if self.bans > 0 {
            writeln!(text, "bans: {} (`guard bans` lists them)", self.bans)?;
        }
        for service in &self.services {
            service.render_into(text)?;
        }
        if self.connections_evicted > 0 {
            writeln!(
                text,
                "\nconnections forgotten under load, counted as blind: {}",
                self.connections_evicted
            )?;
        }
        let EventStatus {
            emitted,
            suppressed,
            lost,
        } = self.events;
        writeln!(
            text,
            "\nevents: {emitted} logged, {suppressed} left out by sampling, {lost} lost"
        )?;
        writeln!(text, "privileges: {}", self.privileges.render())?;
        for lacking in &self.privileges.lacking {
            writeln!(text, "  degraded: {lacking}")?;
        }
        if self.log_lines_dropped > 0 {
            let lines = self.log_lines_dropped;
            writeln!(text, "log: {lines} lines left out, since nobody read it")?;
        }
        match &self.alerts {
            Some(alerts) => alerts.render_into(text),
            None => Ok(()),
        }
    }
}

impl ProtectSelfStatus {
    fn render_into(&self, text: &mut String) -> std::fmt::Result {
        if !self.enabled {
            return writeln!(text, "protect_self: off");
        }
        let resolvers = self.resolvers.iter().map(ToString::to_string);
        let resolvers = resolvers.collect::<Vec<_>>().join(", ");
        let resolvers = if resolvers.is_empty() {
            "no resolver"
        } else {
            &resolvers
        };
        writeln!(text, "protect_self: answers of {resolvers}")?;
        for Connection { client, server } in &self.connections {
            writeln!(text, "  the SSH connection of {client} to {server}")?;
        }
        Ok(())
    }
}

impl PrivilegeStatus {
    /// `bpf, net_admin, perfmon; no_new_privs, landlock v7, seccomp`.
    pub(crate) fn render(&self) -> String {
        let landlock = self.landlock.map(|version| format!("landlock v{version}"));
        let restrictions: Vec<String> = [
            self.no_new_privs.then(|| "no_new_privs".to_owned()),
            landlock,
            self.seccomp.then(|| "seccomp".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        let or_none = |words: &[String]| match words {
            [] => "none".to_owned(),
            words => words.join(", "),
        };
        format!(
            "{}; {}",
            or_none(&self.capabilities),
            or_none(&restrictions)
        )
    }
}

impl InterfaceStatus {
    fn render_into(&self, text: &mut String) -> std::fmt::Result {
        let attached = self.attached.as_deref().unwrap_or("NOT ATTACHED");
        writeln!(text, "\n{}: {attached}", self.name)?;
        if let Some(note) = &self.note {
            writeln!(text, "  {note}")?;
        }
        if self.packets.is_empty() {
            return writeln!(text, "  no packets yet");
        }
        writeln!(
            text,
            "  {:<11} {:<18} {:>16} {:>20}",
            "VERDICT", "REASON", "PACKETS", "BYTES"
        )?;
        for count in &self.packets {
            let PacketCount {
                verdict,
                reason,
                packets,
                bytes,
            } = count;
            writeln!(
                text,
                "  {verdict:<11} {reason:<18} {packets:>16} {bytes:>20}"
            )?;
        }
        Ok(())
    }
}

impl FeedStatus {
    fn render_into(&self, text: &mut String) -> std::fmt::Result {
        let age = |updated| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            now.map_or(0, |now| now.as_secs()).saturating_sub(updated)
        };
        let updated = self.updated.map_or("never fetched".to_owned(), |updated| {
            format!("{} old", duration_text(age(updated)))
        });
        let Self {
            name,
            from,
            entries,
            ..
        } = self;
        writeln!(
            text,
            "feed {name}: {entries} entries, {updated}, from {from}"
        )?;
        if let Some(error) = &self.error {
            writeln!(text, "  the last attempt failed: {error}")?;
        }
        Ok(())
    }
}

impl ServiceStatus {
    fn render_into(&self, text: &mut String) -> std::fmt::Result {
        writeln!(
            text,
            "\nservice {} ({}): encryption {}, plaintext: {}{}\n  ports {}",
            self.name,
            self.direction,
            self.encryption,
            self.on_plaintext,
            if self.strict { ", strict" } else { "" },
            self.ports.join(", ")
        )?;
        if let Some(document) = &self.openapi {
            let DocumentStatus {
                file,
                version,
                operations,
            } = document;
            writeln!(text, "  {version} with {operations} operations: {file}")?;
        }
        if self.connections.is_empty() {
            writeln!(text, "  no connections yet")?;
        }
        for outcome in Outcome::ALL {
            if let Some(protocols) = self.connections.get(outcome.name()) {
                let sum: u64 = protocols.values().sum();
                let each = counts_text(protocols);
                writeln!(text, "  {:<17} {sum:>12}  {each}", outcome.name())?;
            }
        }
        if !self.credentials.is_empty() {
            let each = counts_text(&self.credentials);
            writeln!(text, "  credentials in clear, at least: {each}")?;
        }
        if self.tls.sampled > 0 {
            let versions = counts_text(&self.tls.versions);
            writeln!(text, "  TLS of {} sampled: {versions}", self.tls.sampled)?;
        }
        if !self.tls.findings.is_empty() {
            let each = counts_text(&self.tls.findings);
            writeln!(text, "  TLS findings: {each}")?;
        }
        Ok(())
    }
}

fn counts_text(counts: &BTreeMap<String, u64>) -> String {
    let each = counts.iter().map(|(word, count)| format!("{word} {count}"));
    each.collect::<Vec<_>>().join(", ")
}

/// Connections by encryption verdict and protocol, under their words.
pub(crate) fn connections_by_word(
    count: impl Fn(Outcome, Protocol) -> u64,
) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut by_outcome = BTreeMap::new();
    for outcome in Outcome::ALL {
        let mut by_protocol = BTreeMap::new();
        for protocol in Protocol::ALL {
            let count = count(outcome, protocol);
            if count > 0 {
                by_protocol.insert(protocol.name().to_owned(), count);
            }
        }
        if !by_protocol.is_empty() {
            by_outcome.insert(outcome.name().to_owned(), by_protocol);
        }
    }
    by_outcome
}

fn limits_text(limits: &serde_json::Value) -> String {
    let names = ["packets", "bytes", "connections", "burst"];
    values_text(limits, &names)
}

fn values_text(values: &serde_json::Value, names: &[&str]) -> String {
    let text = |name: &str| values.get(name).and_then(|value| value.as_str());
    let pairs = names
        .iter()
        .map(|name| format!("{name} {}", text(name).unwrap_or("?")));
    pairs.collect::<Vec<_>>().join(", ")
}

fn duration_text(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {} s", seconds % 60),
        _ => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privileges_are_a_line() {
        let all = PrivilegeStatus {
            capabilities: ["bpf", "net_admin", "perfmon"].map(str::to_owned).into(),
            no_new_privs: true,
            landlock: Some(7),
            seccomp: true,
            lacking: Vec::new(),
        };
        let line = "bpf, net_admin, perfmon; no_new_privs, landlock v7, seccomp";
        assert_eq!(all.render(), line);
        assert_eq!(PrivilegeStatus::default().render(), "none; none");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(duration_text(59), "59 s");
        assert_eq!(duration_text(61), "1 min 1 s");
        assert_eq!(duration_text(90_061), "25 h 1 min");
    }
}
