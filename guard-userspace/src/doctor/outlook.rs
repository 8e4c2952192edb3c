//! What a configuration would break on this host, before it does.

use std::{
    collections::BTreeSet,
    net::IpAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use ipnet::IpNet;

use super::{Check, gateways};
use crate::{
    config::{Config, Direction, Entry, Rate},
    resolvers,
    ssh::{Administrators, Connection},
};

/// Whom this host lives by.
#[derive(Debug, Default)]
pub(super) struct Lifelines {
    pub(super) connections: BTreeSet<Connection>,
    pub(super) resolvers: Vec<IpAddr>,
    pub(super) gateways: Vec<IpAddr>,
}

impl Lifelines {
    /// Looks for them.
    fn look() -> Self {
        Self {
            connections: Administrators::all(),
            resolvers: resolvers::addresses(),
            gateways: gateways::addresses(),
        }
    }
}

/// Examines what `config` would do to whoever this host lives by, and its limits.
pub(super) fn examine(config: &Config) -> Vec<Check> {
    let mut checks = of_lifelines(config, &Lifelines::look());
    checks.push(limits(config));
    checks
}

pub(super) fn of_lifelines(config: &Config, lifelines: &Lifelines) -> Vec<Check> {
    let rules = Rules::of(config);
    let administrators: BTreeSet<Check> = lifelines
        .connections
        .iter()
        .filter_map(|connection| administrator(config, &rules, *connection))
        .collect();
    let resolvers = lifelines.resolvers.iter();
    let resolvers = resolvers.filter_map(|address| resolver(config, &rules, *address));
    let gateways = lifelines.gateways.iter();
    let gateways = gateways.filter_map(|address| gateway(&rules, *address));
    let fine = [
        ("ssh", "no SSH connection there is would be shut out"),
        ("resolver", "no resolver of this host would be shut out"),
        ("gateway", "no default gateway would be shut out"),
    ];
    let found = [
        administrators.into_iter().collect(),
        resolvers.collect(),
        gateways.collect::<Vec<Check>>(),
    ];
    let each = found.into_iter().zip(fine);
    each.flat_map(|(found, (name, words))| {
        if found.is_empty() {
            vec![Check::ok(name, words)]
        } else {
            found
        }
    })
    .collect()
}

/// What becomes of whoever has an SSH connection.
fn administrator(config: &Config, rules: &Rules<'_>, connection: Connection) -> Option<Check> {
    let address = connection.client.ip();
    let by = rules
        .denies(address)
        .or_else(|| service_refuses(config, connection))?;
    let found = format!("{address} has an SSH connection to this host; {by}");
    let let_in = format!("to let it in, allow {address} there");
    Some(if config.protect_self {
        let found = format!("{found}; that connection goes on, no new one comes in");
        Check::warn("ssh", found, let_in)
    } else {
        Check::fail("ssh", format!("{found}, with `protect_self` off"), let_in)
    })
}

fn resolver(config: &Config, rules: &Rules<'_>, address: IpAddr) -> Option<Check> {
    let by = rules.denies(address)?;
    let found = format!("this host asks {address} for names; {by}");
    let remedy = format!("add an [[allow]] for {address}");
    Some(if config.protect_self {
        let found = format!("{found}; answers to this host pass, within a budget");
        Check::warn("resolver", found, remedy)
    } else {
        Check::fail(
            "resolver",
            format!("{found}, with `protect_self` off"),
            remedy,
        )
    })
}

fn gateway(rules: &Rules<'_>, address: IpAddr) -> Option<Check> {
    let by = rules.denies(address)?;
    let found = format!(
        "{address} is a default gateway; {by}: what it says itself is lost, such as that a packet \
         is too large"
    );
    let remedy = format!("add an [[allow]] for {address}");
    Some(Check::warn("gateway", found, remedy))
}

/// The entries of a configuration that hold at this moment.
struct Rules<'a> {
    config: &'a Config,
    now: u64,
}

impl<'a> Rules<'a> {
    fn of(config: &'a Config) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_secs());
        Self { config, now }
    }

    /// What denies an address, if something does.
    fn denies(&self, address: IpAddr) -> Option<String> {
        let (allow, deny) = (&self.config.allow, &self.config.deny);
        let (allowed, denied) = (self.longest(allow, address), self.longest(deny, address));
        match (allowed, denied) {
            (Some(allow), Some(deny)) if deny.prefix_len() <= allow.prefix_len() => None,
            (_, Some(deny)) => Some(format!("{deny} (deny) holds it")),
            (Some(_), None) => None,
            (None, None) => self.feed(address),
        }
    }

    fn longest(&self, list: &[Entry], address: IpAddr) -> Option<IpNet> {
        let holds = list.iter().filter(|entry| {
            entry.cidr.contains(&address) && entry.expires.is_none_or(|end| end > self.now)
        });
        holds.map(|entry| entry.cidr).max_by_key(IpNet::prefix_len)
    }

    fn feed(&self, address: IpAddr) -> Option<String> {
        self.config.feeds.iter().find_map(|feed| {
            let net = feed.nets.iter().find(|net| net.contains(&address))?;
            Some(format!("{net} (feed {}) holds it", feed.name))
        })
    }
}

/// The service that has the port of a connection, and not its client on its list.
fn service_refuses(config: &Config, connection: Connection) -> Option<String> {
    let (port, client) = (connection.server.port(), connection.client.ip());
    let service = config.services.iter().find(|service| {
        let has_port = service.ports.iter().any(|ports| ports.contains(&port));
        has_port && service.direction == Direction::Inbound
    })?;
    let listed = service.allow.as_ref()?;
    let is_listed = listed.iter().any(|net| net.contains(&client));
    (!is_listed).then(|| {
        let name = &service.name;
        format!("the service {name} has port {port}, and not this address on its list")
    })
}

/// Whether each limit leaves what an honest host needs.
pub(super) fn limits(config: &Config) -> Check {
    let limits = &config.limits;
    let low: Vec<String> = [
        ("limits.packets", limits.packets, 1_000),
        ("limits.bytes", limits.bytes, 1_000_000),
        ("limits.connections", limits.connections, 1),
        ("limits.new_sources", limits.new_sources, 1_000),
        ("limits.aggregate.packets", limits.aggregate.packets, 1_000),
        (
            "limits.aggregate.connections",
            limits.aggregate.connections,
            1,
        ),
        ("limits.protocol.icmp", limits.protocol.icmp, 10),
        ("limits.protocol.udp", limits.protocol.udp, 100),
    ]
    .into_iter()
    .filter_map(|(key, rate, least)| too_low(key, rate?, least))
    .collect();
    if low.is_empty() {
        return Check::ok("limits", "none cuts what an honest client needs");
    }
    Check::warn(
        "limits",
        format!("less than an honest client needs: {}", low.join(", ")),
        "raise them, or try them with --dry-run first",
    )
}

/// A limit that is below `least` units a second.
fn too_low(key: &str, rate: Rate, least: u64) -> Option<String> {
    let is_low = rate.amount < least.saturating_mul(rate.per.as_secs());
    is_low.then(|| format!("{key} = \"{rate}\""))
}
