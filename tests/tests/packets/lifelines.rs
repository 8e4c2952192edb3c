//! What passes where it would be refused, since the host lives by it, and what never does however
//! much it looks like it.

mod administrators;
mod answers;

use std::net::IpAddr;

use guard::ssh::Connection;
use guard_common::wire::{Rule, RuleWord};
use ipnet::IpNet;
use lab::frames::Packet;

use crate::{
    case::{BETWEEN_CASES, Case, HOST_V4, HOST_V6, check_on},
    rig::{MANUAL, Rig},
};

/// The host asks these for names.
const RESOLVER: &str = "198.51.100.53";
const RESOLVER_V6: &str = "2001:db8:a::53";
/// Administrators are here, and everybody else who is denied.
const CLIENT: &str = "198.51.100.7";
const CLIENT_V6: &str = "2001:db8:a::7";
const STRANGER: &str = "198.51.100.8";
const CLIENT_PORT: u16 = 50_314;
const SSH: u16 = 22;

/// All of them are denied.
const DENIED: &str = r#"
    deny = [{ cidr = "198.51.100.0/24" }, { cidr = "2001:db8:a::/48" }]
    [limits]
    new_sources = "off"
"#;

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The connections of the administrators.
fn connections() -> Vec<Connection> {
    let ends = [(CLIENT, HOST_V4), (CLIENT_V6, HOST_V6)];
    let connection = |(client, server): (&str, &str)| Connection {
        client: (address(client), CLIENT_PORT).into(),
        server: (address(server), SSH).into(),
    };
    ends.map(connection).to_vec()
}

/// A kernel side that was told of them.
fn told(configuration: &str) -> Rig {
    tell(Rig::load(configuration, MANUAL))
}

fn tell(mut rig: Rig) -> Rig {
    let resolvers = [RESOLVER, RESOLVER_V6].map(address);
    let told = rig.kernel.keep_lifelines(&resolvers, [SSH], &connections());
    told.expect("telling of lifelines");
    rig
}

fn check(configuration: &str, cases: impl IntoIterator<Item = Case>) {
    check_on(told(configuration), BETWEEN_CASES, cases);
}

/// The same where the addresses of the clients are the host's own.
fn check_owned(configuration: &str, cases: impl IntoIterator<Item = Case>) {
    let rig = Rig::load_changed(configuration, MANUAL, |plan| {
        plan.lay_over(|rules| {
            let own = [CLIENT, RESOLVER].map(|text| IpNet::from(address(text)));
            rules.extend(own.map(|own| (own, RuleWord::new(Rule::Own, 0))));
        });
    });
    check_on(tell(rig), BETWEEN_CASES, cases);
}

/// A packet of either family from the protected host.
fn to(destination: &str) -> Packet {
    if destination.contains(':') {
        Packet::ipv6(HOST_V6, destination)
    } else {
        Packet::ipv4(HOST_V4, destination)
    }
}
