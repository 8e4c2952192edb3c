//! What the kernel side of a stream is told: as the text that guard reads, and as the model takes it.

use std::{
    fmt::{self, Write as _},
    net::IpAddr,
    ops::RangeInclusive,
};

use ipnet::IpNet;

/// The protected host's addresses.
pub(crate) const HOST_V4: &str = "192.0.2.1";
pub(crate) const HOST_V6: &str = "2001:db8:ffff::1";
pub(crate) const HOST_TOO: &str = "198.51.100.200";

/// Who sends: several in a network, in both families.
pub(crate) const SOURCES: [&str; 20] = [
    "203.0.113.1",
    "203.0.113.2",
    "203.0.113.77",
    "203.0.113.130",
    "198.51.100.1",
    "198.51.100.2",
    "198.51.100.199",
    "10.1.2.3",
    "10.200.0.1",
    "172.16.5.5",
    "8.8.8.8",
    "2001:db8:a:1::1",
    "2001:db8:a:1:ffff::2",
    "2001:db8:a:2::1",
    "2001:db8:a:2::ffff",
    "2001:db8:b:1::1",
    "2001:db8:b:2::2",
    "2001:db8:c::3",
    "2001:470:1::1",
    "fe80::1",
];

/// A port that no service has.
pub(crate) const NO_SERVICE: u16 = 22;

/// What the kernel side of one stream is told.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) dry_run: bool,
    pub(crate) burst_ms: u64,
    pub(crate) ipv6_prefix: u8,
    pub(crate) source: Rates,
    /// Without bytes, for which networks have no limit.
    pub(crate) network: Rates,
    pub(crate) icmp: Option<Rate>,
    pub(crate) fragments: Option<Rate>,
    pub(crate) udp: Option<Rate>,
    pub(crate) stray: Option<Rate>,
    pub(crate) new_sources: Option<Rate>,
    pub(crate) services: Vec<Service>,
    pub(crate) allow: Vec<IpNet>,
    pub(crate) deny: Vec<IpNet>,
    /// What a feed lists.
    pub(crate) feed: Vec<IpNet>,
    pub(crate) banned: Vec<IpNet>,
    /// The host's own addresses.
    pub(crate) own: Vec<IpAddr>,
    /// Each table of sources or networks has a single set.
    pub(crate) cramped: bool,
}

/// So many units in so many seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) amount: u64,
    pub(crate) seconds: u64,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rates {
    pub(crate) packets: Option<Rate>,
    pub(crate) connections: Option<Rate>,
    pub(crate) bytes: Option<Rate>,
}

#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) ports: Vec<RangeInclusive<u16>>,
    pub(crate) allow: Option<Vec<IpNet>>,
    pub(crate) rates: Rates,
}

impl Setup {
    /// How many networks have a rule of their own.
    pub(crate) fn entries(&self) -> usize {
        self.allow.len() + self.deny.len() + self.feed.len() + self.banned.len()
    }

    /// The position of the service that a TCP port belongs to.
    pub(crate) fn service(&self, port: u16) -> Option<usize> {
        let has = |service: &Service| service.ports.iter().any(|ports| ports.contains(&port));
        self.services.iter().position(has)
    }

    /// The name of the service at a position.
    pub(crate) fn service_name(position: usize) -> String {
        format!("s{position}")
    }

    /// The configuration as guard reads it.
    pub(crate) fn text(&self) -> String {
        let Rates {
            packets,
            connections,
            bytes,
        } = self.source;
        let mut text = format!(
            "dry_run = {}\nallow = [{}]\ndeny = [{}]\n[limits]\nburst = \"{}ms\"\n\
             ipv6_prefix = {}\n",
            self.dry_run,
            entries(&self.allow, |_| ""),
            entries(&self.deny, meant),
            self.burst_ms,
            self.ipv6_prefix,
        );
        let (network, limits) = (self.network, Limit);
        let _ = writeln!(
            text,
            "packets = {}\nconnections = {}\nbytes = {}\nnew_sources = {}\n\
             aggregate = {{ packets = {}, connections = {} }}\n\
             protocol = {{ icmp = {}, fragments = {}, udp = {}, stray = {} }}",
            limits(packets, ""),
            limits(connections, ""),
            limits(bytes, "B"),
            limits(self.new_sources, ""),
            limits(network.packets, ""),
            limits(network.connections, ""),
            limits(self.icmp, ""),
            limits(self.fragments, ""),
            limits(self.udp, ""),
            limits(self.stray, ""),
        );
        for (position, service) in self.services.iter().enumerate() {
            service.write(position, &mut text);
        }
        text
    }
}

impl Service {
    fn write(&self, position: usize, text: &mut String) {
        let ports = self.ports.iter();
        let ports: Vec<_> = ports
            .map(|ports| format!("\"{}-{}\"", ports.start(), ports.end()))
            .collect();
        let _ = writeln!(
            text,
            "[[service]]\nname = \"{}\"\nports = [{}]\nencryption = \"off\"\n\
             limits = {{ packets = {}, connections = {}, bytes = {} }}",
            Setup::service_name(position),
            ports.join(", "),
            Limit(self.rates.packets, ""),
            Limit(self.rates.connections, ""),
            Limit(self.rates.bytes, "B"),
        );
        if let Some(allow) = &self.allow {
            let allow: Vec<_> = allow.iter().map(|net| format!("\"{net}\"")).collect();
            let _ = writeln!(text, "allow = [{}]", allow.join(", "));
        }
    }
}

/// A limit as it is configured, in a unit.
struct Limit(Option<Rate>, &'static str);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Rate { amount, seconds }) = self.0 else {
            return f.write_str("\"off\"");
        };
        let per = match seconds {
            1 => "s",
            60 => "min",
            _ => "h",
        };
        write!(f, "\"{amount}{}/{per}\"", self.1)
    }
}

/// A list of networks, each entry with what else is `said` of it.
fn entries(networks: &[IpNet], said: fn(&IpNet) -> &'static str) -> String {
    let entries: Vec<_> = networks
        .iter()
        .map(|net| format!("{{ cidr = \"{net}\"{} }}", said(net)))
        .collect();
    entries.join(", ")
}

/// Who denies everyone has to say so.
fn meant(net: &IpNet) -> &'static str {
    if net.prefix_len() == 0 {
        ", everyone = true"
    } else {
        ""
    }
}

/// An address from its text.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}
