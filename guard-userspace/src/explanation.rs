//! What decides for packets of one source: the answer of `guard explain`.

use std::{fmt::Write as _, net::IpAddr};

use guard_common::{
    reason::{Reason, Verdict},
    wire::Rule,
};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::{
    config::{Config, Direction, Encryption, OnPlaintext, Rate, Service},
    entries::{Banned, Listed, Origin, line},
};

/// What decides for packets of an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The address.
    pub source: IpAddr,
    /// `pass`, `drop` or `would_drop`: what becomes of a sound packet that keeps to the limits.
    pub verdict: String,
    /// Why: `allow`, `deny`, `feed`, `ban`, `spoofed`, `service_acl` or `pass`.
    pub reason: String,
    /// Entries whose network holds the address. The first one decides: the operator's go before
    /// those of feeds, and of each the most specific one.
    pub entries: Vec<Matching>,
    /// The ban it falls under, which holds where no entry decides.
    pub ban: Option<Banned>,
    /// The limits that it is held to, in the order in which they are asked; none where its packets
    /// are dropped, or allowed, anyway.
    #[serde(default)]
    pub limits: Vec<Held>,
    /// What holds at the port that was asked for.
    #[serde(default)]
    pub at: Option<AtPort>,
}

/// A limit that a source is held to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What a packet beyond it is dropped for: `limit_packets`, `limit_service` and so on.
    pub reason: String,
    /// What it counts: `packets`, `bytes`, `connections`, `icmp`, `fragments`, `udp` or `stray`.
    pub counts: String,
    /// How much of it passes, as a configuration says it: `20k/s`.
    pub limit: String,
}

/// What holds at a TCP port of this host.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AtPort {
    /// The port.
    pub port: u16,
    /// The service that it belongs to, if it does.
    pub service: Option<ServiceThere>,
}

/// A service, as one source meets it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceThere {
    /// Its name.
    pub name: String,
    /// Whether the source may reach it: `everyone` where the service has no list `allow`, else
    /// `listed` or `not_listed`.
    pub access: String,
    /// `required`, `optional` or `off`.
    pub encryption: String,
    /// What becomes of a plaintext request: `pass`, `drop`, `reset`, `would_drop` or `would_reset`.
    pub plaintext: String,
}

/// An entry that holds an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Matching {
    /// `allow`, `deny` or `feed`.
    pub list: String,
    /// Whom it names.
    pub cidr: IpNet,
    /// The name of the feed, if it is of one.
    pub feed: Option<String>,
    /// Where it comes from, if it is the operator's.
    pub origin: Option<Origin>,
    /// Why it is there.
    pub reason: Option<String>,
    /// When it ends, in seconds since 1970.
    pub expires: Option<u64>,
    /// Packets it has decided since the last reload, of a feed those that all of it has; nothing
    /// where there are too many entries for each to have a count.
    pub packets: Option<u64>,
}

impl Matching {
    /// An entry of the operator.
    pub(crate) fn of_operator(entry: Listed, packets: Option<u64>) -> Self {
        Self {
            list: entry.list.to_string(),
            cidr: entry.cidr,
            feed: None,
            origin: Some(entry.origin),
            reason: entry.reason,
            expires: entry.expires,
            packets,
        }
    }

    /// An entry of a feed.
    pub(crate) fn of_feed(cidr: IpNet, name: &str, packets: Option<u64>) -> Self {
        Self {
            list: "feed".to_owned(),
            cidr,
            feed: Some(name.to_owned()),
            origin: None,
            reason: None,
            expires: None,
            packets,
        }
    }

    fn render(&self) -> String {
        let who = self.feed.as_deref().or(self.origin.map(Origin::name));
        line(
            (&self.list, self.cidr, who.unwrap_or("-")),
            self.expires,
            self.reason.as_deref(),
        )
    }
}

impl Explanation {
    /// What `decides` for a packet, the entries that hold its source, the first one first, and its
    /// ban; under `config`, at one of its ports if one is asked for. Nothing is refused where the agent `spares`
    /// all.
    pub(crate) fn new(
        (source, port): (IpAddr, Option<u16>),
        decides: Option<Rule>,
        (entries, ban): (Vec<Matching>, Option<Banned>),
        (config, spares): (&Config, bool),
    ) -> Self {
        let source = source.to_canonical();
        let service = port.and_then(|port| service_at(config, port));
        let by_rule = by_rule(decides);
        let is_shut_out = service.is_some_and(|service| access(service, source) == NOT_LISTED);
        let (verdict, reason) = match by_rule {
            (Verdict::Pass, _) if is_shut_out => (Verdict::Drop, Reason::ServiceAcl),
            by_rule => by_rule,
        };
        let limits = match reason {
            Reason::Pass => limits(config, port.is_some(), service),
            _ => Vec::new(),
        };
        let at = port.map(|port| AtPort {
            port,
            service: service.map(|service| ServiceThere::new(service, source, spares)),
        });
        Self {
            source,
            verdict: in_mode(verdict, spares).name().to_owned(),
            reason: reason.name().to_owned(),
            entries,
            ban,
            limits,
            at,
        }
    }

    /// For people.
    pub fn render(&self) -> String {
        let mut text = String::new();
        self.render_into(&mut text).unwrap_or_default();
        text
    }

    fn render_into(&self, text: &mut String) -> std::fmt::Result {
        let Self {
            source,
            verdict,
            reason,
            ..
        } = self;
        let port = self.at.as_ref();
        let port = port.map_or(String::new(), |at| format!(" to port {}", at.port));
        let within = if self.limits.is_empty() {
            ""
        } else {
            ", within the limits"
        };
        writeln!(text, "{source}{port}: {verdict} ({reason}{within})")?;
        if let Some(ban) = &self.ban {
            writeln!(text, "  ban    {}", ban.render())?;
        }
        for entry in &self.entries {
            let packets = entry.packets;
            let packets = packets.map_or("-".to_owned(), |packets| packets.to_string());
            writeln!(text, "  {}  {packets} packets", entry.render())?;
        }
        if let Some(at) = &self.at {
            at.render_into(text)?;
        }
        for Held {
            reason,
            counts,
            limit,
        } in &self.limits
        {
            writeln!(text, "  limit  {counts:<12} {limit:<12} beyond it {reason}")?;
        }
        Ok(())
    }
}

impl AtPort {
    fn render_into(&self, text: &mut String) -> std::fmt::Result {
        let port = self.port;
        let Some(service) = &self.service else {
            return writeln!(text, "  port   {port} belongs to no service");
        };
        let access = match service.access.as_str() {
            LISTED => "its list `allow` holds this source",
            NOT_LISTED => "its list `allow` does not hold this source",
            _ => "it is for everyone",
        };
        writeln!(
            text,
            "  port   {port} belongs to the service {}:\n         {access}\n         encryption {}, \
             a plaintext request: {}",
            service.name, service.encryption, service.plaintext
        )
    }
}

impl ServiceThere {
    fn new(service: &Service, source: IpAddr, dry_run: bool) -> Self {
        let plaintext = match (service.encryption, service.on_plaintext) {
            (Encryption::Required, OnPlaintext::Reset) => Verdict::Reset,
            (Encryption::Required, OnPlaintext::Drop) => Verdict::Drop,
            (Encryption::Required, OnPlaintext::Flag)
            | (Encryption::Optional | Encryption::Off, _) => Verdict::Pass,
        };
        Self {
            name: service.name.clone(),
            access: access(service, source).to_owned(),
            encryption: service.encryption.name().to_owned(),
            plaintext: in_mode(plaintext, dry_run).name().to_owned(),
        }
    }
}

const EVERYONE: &str = "everyone";
const LISTED: &str = "listed";
const NOT_LISTED: &str = "not_listed";

/// Whether a source may reach a service.
fn access(service: &Service, source: IpAddr) -> &'static str {
    match &service.allow {
        None => EVERYONE,
        Some(allow) if allow.iter().any(|net| net.contains(&source)) => LISTED,
        Some(_) => NOT_LISTED,
    }
}

fn by_rule(rule: Option<Rule>) -> (Verdict, Reason) {
    match rule {
        None => (Verdict::Pass, Reason::Pass),
        Some(Rule::Allow) => (Verdict::Pass, Reason::Allow),
        Some(Rule::Deny) => (Verdict::Drop, Reason::Deny),
        Some(Rule::Own) => (Verdict::Drop, Reason::Spoofed),
        Some(Rule::Feed) => (Verdict::Drop, Reason::Feed),
        Some(Rule::Ban) => (Verdict::Drop, Reason::Ban),
    }
}

fn in_mode(verdict: Verdict, dry_run: bool) -> Verdict {
    match verdict {
        Verdict::Drop if dry_run => Verdict::WouldDrop,
        Verdict::Reset if dry_run => Verdict::WouldReset,
        verdict => verdict,
    }
}

/// The service of this host that a port belongs to.
fn service_at(config: &Config, port: u16) -> Option<&Service> {
    let mut services = config.services.iter();
    services.find(|service| {
        service.direction == Direction::Inbound
            && service.ports.iter().any(|ports| ports.contains(&port))
    })
}

/// The limits that are on, in the order in which they are asked; at a port those of TCP.
fn limits(config: &Config, at_port: bool, service: Option<&Service>) -> Vec<Held> {
    let limits = &config.limits;
    let protocol = limits.protocol;
    let mut held = Vec::new();
    let mut add = |reason: Reason, counts: &str, rate: Option<Rate>| {
        held.extend(rate.map(|rate| Held {
            reason: reason.name().to_owned(),
            counts: counts.to_owned(),
            limit: rate.to_string(),
        }));
    };
    if !at_port {
        add(Reason::LimitProtocol, "icmp", protocol.icmp);
        add(Reason::LimitProtocol, "udp", protocol.udp);
    }
    add(Reason::LimitProtocol, "fragments", protocol.fragments);
    add(Reason::LimitProtocol, "stray", protocol.stray);
    add(Reason::LimitPackets, "packets", limits.packets);
    add(Reason::LimitConnections, "connections", limits.connections);
    add(Reason::LimitBytes, "bytes", limits.bytes);
    if let Some(service) = service {
        add(Reason::LimitService, "packets", service.limits.packets);
        add(
            Reason::LimitService,
            "connections",
            service.limits.connections,
        );
        add(Reason::LimitService, "bytes", service.limits.bytes);
    }
    add(Reason::LimitAggregate, "packets", limits.aggregate.packets);
    add(
        Reason::LimitAggregate,
        "connections",
        limits.aggregate.connections,
    );
    add(Reason::NewSources, "packets", limits.new_sources);
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
        [limits]
        packets = \"20k/s\"
        [[service]]
        name = \"orders\"
        ports = [8443, \"9000-9010\"]
        on_plaintext = \"reset\"
        allow = [\"10.0.0.0/8\"]
        limits = { connections = \"600/min\" }
        [[service]]
        name = \"others\"
        direction = \"outbound\"
        ports = [443]
    ";

    fn explain(source: &str, port: Option<u16>, decides: Option<Rule>, more: &str) -> Explanation {
        let config = Config::parse("test", &format!("{more}{CONFIG}")).expect("a configuration");
        let source = source.parse().expect("an address");
        Explanation::new(
            (source, port),
            decides,
            (Vec::new(), None),
            (&config, config.dry_run),
        )
    }

    fn decided(explanation: &Explanation) -> (&str, &str) {
        (&explanation.verdict, &explanation.reason)
    }

    #[test]
    fn the_list_of_a_service_decides_after_the_rules() {
        let listed = explain("10.1.2.3", Some(9_005), None, "");
        assert_eq!(decided(&listed), ("pass", "pass"));
        let service = listed.at.and_then(|at| at.service).expect("a service");
        assert_eq!((&*service.name, &*service.access), ("orders", LISTED));
        assert_eq!(service.plaintext, "reset");
        for rule in [None, Some(Rule::Allow)] {
            let shut_out = explain("192.0.2.7", Some(8_443), rule, "");
            assert_eq!(decided(&shut_out), ("drop", "service_acl"));
            assert!(shut_out.limits.is_empty());
        }
        let denied = explain("192.0.2.7", Some(8_443), Some(Rule::Deny), "");
        assert_eq!(decided(&denied), ("drop", "deny"));
        let elsewhere = explain("192.0.2.7", Some(443), None, "");
        assert_eq!(decided(&elsewhere), ("pass", "pass"));
        assert!(elsewhere.at.expect("a port").service.is_none());
    }

    #[test]
    fn the_limits_are_those_that_are_asked() {
        let there = explain("10.1.2.3", Some(8_443), None, "");
        let limits: Vec<_> = there
            .limits
            .iter()
            .map(|held| {
                (
                    held.reason.as_str(),
                    held.counts.as_str(),
                    held.limit.as_str(),
                )
            })
            .collect();
        assert_eq!(
            limits,
            [
                ("limit_protocol", "fragments", "10k/s"),
                ("limit_packets", "packets", "20k/s"),
                ("limit_connections", "connections", "120k/min"),
                ("limit_service", "connections", "600/min"),
                ("new_sources", "packets", "200k/s"),
            ]
        );
        assert!(
            explain("10.1.2.3", None, Some(Rule::Allow), "")
                .limits
                .is_empty()
        );
    }

    #[test]
    fn a_dry_run_says_what_it_would_do() {
        let shut_out = explain("192.0.2.7", Some(8_443), None, "dry_run = true\n");
        assert_eq!(decided(&shut_out), ("would_drop", "service_acl"));
        let text = shut_out.render();
        assert!(
            text.starts_with("192.0.2.7 to port 8443: would_drop (service_acl)\n"),
            "{text}"
        );
        assert!(text.contains("a plaintext request: would_reset"), "{text}");
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }

    #[test]
    fn a_mapped_address_is_the_one_it_stands_for() {
        let mapped = explain("::ffff:10.1.2.3", Some(8_443), None, "");
        assert_eq!(mapped.source.to_string(), "10.1.2.3");
        assert_eq!(decided(&mapped), ("pass", "pass"));
    }
}
