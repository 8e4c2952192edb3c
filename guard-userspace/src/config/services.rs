//! `[[service]]`: names that are unique, ports that are disjoint.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;
use toml::de::DeValue;

use super::raw::RawServiceLimits;
use super::schema::{Located, Node, SERVICE, SERVICE_LIMITS, Section, Span, Walk};
use super::{Direction, Encryption, MAX_SERVICES, OnPlaintext, Service, ServiceLimits, units};

/// What one `[[service]]` says.
pub(super) struct RawService {
    name: Option<Located<String>>,
    ports: Vec<Located<RangeInclusive<u16>>>,
    direction: Direction,
    encryption: Option<Encryption>,
    on_plaintext: Option<OnPlaintext>,
    strict: bool,
    allow: Option<Vec<IpNet>>,
    limits: RawServiceLimits,
    pub(super) openapi: Option<Located<PathBuf>>,
}

/// Reads every `[[service]]` and checks them against each other.
pub(super) fn read(walk: &mut Walk, top: &Section<'_, '_>) -> Vec<RawService> {
    let sections = walk.tables(top, "service", &SERVICE);
    if let Some(extra) = sections.get(MAX_SERVICES) {
        let message = format!("{} services are more than guard holds", sections.len());
        walk.refuse(
            extra.span.clone(),
            message,
            format!("configure at most {MAX_SERVICES}"),
        );
    }
    let services: Vec<RawService> = sections
        .iter()
        .take(MAX_SERVICES)
        .map(|section| RawService::read(walk, section))
        .collect();
    refuse_shared_names(walk, &services);
    for direction in [Direction::Inbound, Direction::Outbound] {
        refuse_shared_ports(walk, &services, direction);
    }
    services
}

impl RawService {
    fn read(walk: &mut Walk, section: &Section<'_, '_>) -> Self {
        for (key, fix) in [("name", "name = \"api\""), ("ports", "ports = [8443]")] {
            if !section.table.contains_key(key) {
                let message = format!("this [[service]] has no `{key}`");
                walk.refuse(section.span.clone(), message, format!("add `{fix}`"));
            }
        }
        let direction = walk
            .text(section, "direction", "inbound", Direction::parse)
            .map(|(direction, _)| direction)
            .unwrap_or_default();
        if direction == Direction::Outbound {
            refuse_of_outbound(walk, section);
        }
        Self {
            direction,
            strict: walk
                .flag(section, "strict")
                .is_some_and(|(strict, _)| strict),
            name: walk.text(section, "name", "api", units::service_name),
            ports: ports(walk, section),
            encryption: walk
                .text(section, "encryption", "required", Encryption::parse)
                .map(|(encryption, _)| encryption),
            on_plaintext: walk
                .text(section, "on_plaintext", "flag", OnPlaintext::parse)
                .map(|(on_plaintext, _)| on_plaintext),
            allow: allow(walk, section),
            limits: walk
                .table(section, "limits", &SERVICE_LIMITS)
                .map(|section| RawServiceLimits::read(walk, &section))
                .unwrap_or_default(),
            openapi: walk.text(section, "openapi", "orders.yaml", units::path),
        }
    }

    /// The service with its defaults, its limits as `limits` makes them; nothing when it has no
    /// name, which was refused. What documents it is not read.
    pub(super) fn into_service(
        self,
        limits: impl FnOnce(&RawServiceLimits) -> ServiceLimits,
    ) -> Option<Service> {
        Some(Service {
            limits: limits(&self.limits),
            name: self.name?.0,
            ports: self.ports.into_iter().map(|(ports, _)| ports).collect(),
            direction: self.direction,
            encryption: self.encryption.unwrap_or_default(),
            strict: self.strict,
            on_plaintext: self.on_plaintext.unwrap_or_default(),
            allow: self.allow,
            openapi: None,
        })
    }
}

/// What the host itself opens is looked at, not cut.
fn refuse_of_outbound(walk: &mut Walk, section: &Section<'_, '_>) {
    for key in ["allow", "limits"] {
        if let Some((name, _)) = section.table.get_key_value(key) {
            let message = format!("`{key}` is for services that others call");
            let help = "remove it: guard judges what arrives, and nobody calls an outbound service";
            walk.refuse(name.span(), message, help);
        }
    }
    let asks = |key: &str, today: &str| {
        let node = section.table.get(key)?;
        let is_today = match node.get_ref() {
            DeValue::String(text) => text == today,
            DeValue::Boolean(value) => value.to_string() == today,
            _ => true,
        };
        (!is_today).then(|| node.span())
    };
    for (key, today) in [("on_plaintext", "flag"), ("strict", "false")] {
        if let Some(span) = asks(key, today) {
            let message = format!("`{key}` of an outbound service is always {today}");
            walk.refuse(
                span,
                message,
                "remove it: what this host calls is looked at, never cut",
            );
        }
    }
}

fn ports(walk: &mut Walk, section: &Section<'_, '_>) -> Vec<Located<RangeInclusive<u16>>> {
    let example = "8443, \"9000-9010\"";
    let Some((items, span)) = walk.items(section, "ports", example) else {
        return Vec::new();
    };
    if items.is_empty() {
        walk.refuse(
            span,
            "this service has no port",
            format!("write `ports = [{example}]`"),
        );
    }
    items
        .iter()
        .filter_map(|item| walk.accept(port(item), item.span()))
        .collect()
}

fn port(item: &Node<'_>) -> Result<RangeInclusive<u16>, units::Invalid> {
    match item.get_ref() {
        DeValue::String(text) => units::ports(text),
        DeValue::Integer(number) if number.radix() == 10 => units::ports(number.as_str()),
        _ => Err(units::Invalid::new(
            "this is not a port",
            "write a number like 8443, or a range in quotes like \"9000-9010\"",
        )),
    }
}

fn allow(walk: &mut Walk, section: &Section<'_, '_>) -> Option<Vec<IpNet>> {
    let (networks, span) = walk.list(section, "allow", "10.0.0.0/8", units::cidr)?;
    let written = section.table.get("allow").map(Node::get_ref);
    if written
        .and_then(DeValue::as_array)
        .is_some_and(|items| items.is_empty())
    {
        let help = "remove it to let every source in, or list the networks that may";
        walk.refuse(
            span,
            "an empty `allow` lets nobody reach this service",
            help,
        );
    }
    Some(networks.into_iter().map(|(network, _)| network).collect())
}

fn refuse_shared_names(walk: &mut Walk, services: &[RawService]) {
    let named: Vec<&Located<String>> = services
        .iter()
        .filter_map(|service| service.name.as_ref())
        .collect();
    for (index, (name, span)) in named.iter().enumerate() {
        if named[..index].iter().any(|(earlier, _)| earlier == name) {
            let message = format!("there is another service `{name}`");
            walk.refuse(span.clone(), message, "give each service a name of its own");
        }
    }
}

/// A port range, with what is needed to say who else claims it.
struct Claim<'s> {
    ports: &'s RangeInclusive<u16>,
    span: &'s Span,
    service: usize,
}

fn refuse_shared_ports(walk: &mut Walk, services: &[RawService], direction: Direction) {
    let mut claims: Vec<Claim<'_>> = services
        .iter()
        .enumerate()
        .filter(|(_, raw)| raw.direction == direction)
        .flat_map(|(service, raw)| {
            raw.ports.iter().map(move |(ports, span)| Claim {
                ports,
                span,
                service,
            })
        })
        .collect();
    claims.sort_by_key(|claim| (*claim.ports.start(), claim.span.start));
    // The claim so far that reaches furthest meets every later one that overlaps with any.
    let mut furthest: Option<Claim<'_>> = None;
    for claim in claims {
        let Some(reaching) = furthest.take() else {
            furthest = Some(claim);
            continue;
        };
        if claim.ports.start() <= reaching.ports.end() {
            refuse_overlap(walk, services, &reaching, &claim);
        }
        let further = claim.ports.end() > reaching.ports.end();
        furthest = Some(if further { claim } else { reaching });
    }
}

fn refuse_overlap(walk: &mut Walk, services: &[RawService], a: &Claim<'_>, b: &Claim<'_>) {
    let (earlier, later) = if a.span.start < b.span.start {
        (a, b)
    } else {
        (b, a)
    };
    let first = a.ports.start().max(b.ports.start());
    let last = a.ports.end().min(b.ports.end());
    let shared = if first == last {
        format!("port {first}")
    } else {
        format!("ports {first}-{last}")
    };
    let verb = if first == last { "is" } else { "are" };
    let owner = match &services[earlier.service].name {
        _ if earlier.service == later.service => "already in this service".to_owned(),
        Some((name, _)) => format!("already in service `{name}`"),
        None => "already in an earlier service".to_owned(),
    };
    let message = format!("{shared} {verb} {owner}");
    walk.refuse(
        later.span.clone(),
        message,
        "a port can be in one service once: remove it here",
    );
}
