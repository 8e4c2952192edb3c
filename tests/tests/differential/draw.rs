//! Random configurations, of which each stream has one.

use std::{net::IpAddr, ops::RangeInclusive};

use ipnet::IpNet;

use crate::{
    noise::Noise,
    setup::{HOST_TOO, HOST_V4, HOST_V6, Rate, Rates, SOURCES, Service, Setup, address},
};

/// Ports that a service may have, a range at a time.
const PORTS: [RangeInclusive<u16>; 5] = [
    443..=443,
    8_443..=8_443,
    9_000..=9_002,
    5_432..=5_432,
    6_379..=6_380,
];
/// Rates at which some of a stream passes and some does not, and others.
const USUAL: [Rate; 6] = [
    per(9, 1),
    per(70, 1),
    per(300, 1),
    per(300, 1),
    per(2_000, 1),
    per(9_000, 1),
];
const UNUSUAL: [Rate; 5] = [
    per(1, 3_600),
    per(5, 60),
    per(2, 1),
    per(30_000, 1),
    per(1_000_000_000_000, 1),
];
const USUAL_SYNS: [Rate; 4] = [per(2, 1), per(9, 1), per(30, 1), per(300, 1)];
const USUAL_BYTES: [Rate; 4] = [
    per(5_000, 1),
    per(70_000, 1),
    per(300_000, 1),
    per(1_000_003, 1),
];
const UNUSUAL_BYTES: [Rate; 3] = [per(1, 3_600), per(9_999, 60), per(1_000_000_000_000, 1)];

/// Networks that are denied one by one where there are many.
const CROWD: usize = 1_500;

const fn per(amount: u64, seconds: u64) -> Rate {
    Rate { amount, seconds }
}

/// Whom a limit counts, and whether packets and SYNs or bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Source,
    SourceBytes,
    Service,
    ServiceBytes,
    Network,
    Host,
}

/// The limits there may be. Where all of them are, the strictest hides the others.
fn kinds(stream: u64) -> &'static [Kind] {
    use Kind::{Host, Network, Service, ServiceBytes, Source, SourceBytes};

    match stream % 16 {
        1 => &[Service],
        2 => &[Source],
        4 => &[Network],
        5 => &[Source, Service, Network],
        6 => &[Host],
        9 => &[Service, ServiceBytes],
        10 => &[SourceBytes],
        12 => &[Network, Host],
        13 => &[SourceBytes, Service, ServiceBytes],
        14 => &[Source, Host],
        _ => &[Source, SourceBytes, Service, ServiceBytes, Network, Host],
    }
}

/// Draws what a configuration is made of.
struct Draw<'a> {
    noise: &'a mut Noise,
    burst_ms: u64,
    kinds: &'static [Kind],
}

/// The configuration of the stream with this number.
pub(crate) fn setup(stream: u64, noise: &mut Noise) -> Setup {
    let burst_ms = noise.one_of(&[10, 100, 100, 1_000, 1_000, 7_000, 3_600_000]);
    let mut draw = Draw {
        noise,
        burst_ms,
        kinds: kinds(stream),
    };
    let mut setup = Setup {
        source: Rates {
            bytes: draw.bytes(Kind::SourceBytes),
            ..draw.rates(Kind::Source)
        },
        network: draw.rates(Kind::Network),
        icmp: draw.packets(Kind::Host),
        fragments: draw.packets(Kind::Host),
        udp: draw.packets(Kind::Host),
        stray: draw.packets(Kind::Host),
        new_sources: draw.packets(Kind::Host),
        services: draw.services(),
        dry_run: noise.one_in(4),
        burst_ms,
        ipv6_prefix: noise.one_of(&[64, 64, 32, 48, 56, 65, 128]),
        allow: networks(noise, 2),
        deny: networks(noise, 2),
        feed: networks(noise, 2),
        banned: networks(noise, 2),
        own: [HOST_V4, HOST_V6, HOST_TOO].map(address).to_vec(),
        cramped: stream % 4 == 1,
    };
    if noise.one_in(2) {
        // Both say the same network: allow wins.
        let both = noise.one_of(&setup.allow);
        setup.deny.push(both);
    }
    if stream % 8 == 3 {
        setup.deny.extend((0..CROWD).map(|_| anybody(noise)));
        setup.allow.extend(networks(noise, 6));
        setup.deny.extend(networks(noise, 6));
    }
    for list in [
        &mut setup.allow,
        &mut setup.deny,
        &mut setup.feed,
        &mut setup.banned,
    ] {
        list.sort_unstable();
        list.dedup();
    }
    setup
}

impl Draw<'_> {
    fn rates(&mut self, kind: Kind) -> Rates {
        Rates {
            packets: self.packets(kind),
            connections: self.connections(kind),
            bytes: None,
        }
    }

    fn packets(&mut self, kind: Kind) -> Option<Rate> {
        let rate = self.rate(&USUAL, &UNUSUAL);
        rate.filter(|_| self.kinds.contains(&kind) && !self.noise.one_in(3))
    }

    fn connections(&mut self, kind: Kind) -> Option<Rate> {
        let rate = self.rate(&USUAL_SYNS, &UNUSUAL);
        rate.filter(|_| self.kinds.contains(&kind) && !self.noise.one_in(3))
    }

    fn bytes(&mut self, kind: Kind) -> Option<Rate> {
        let rate = self.rate(&USUAL_BYTES, &UNUSUAL_BYTES);
        rate.filter(|_| self.kinds.contains(&kind) && !self.noise.one_in(3))
    }

    fn rate(&mut self, usual: &[Rate], unusual: &[Rate]) -> Option<Rate> {
        let rate = if self.noise.one_in(5) {
            self.noise.one_of(unusual)
        } else {
            self.noise.one_of(usual)
        };
        // More than 10^12 at once are refused.
        let fits = rate.amount < 1_000_000_000 || self.burst_ms <= 1_000;
        fits.then_some(rate)
    }

    fn services(&mut self) -> Vec<Service> {
        let mut services: Vec<Service> = Vec::new();
        for ports in PORTS {
            // Some have a service of their own, some that of the ones before, some none.
            if self.noise.one_in(6) {
                continue;
            }
            if let Some(last) = services.last_mut()
                && self.noise.one_in(4)
            {
                last.ports.push(ports);
                continue;
            }
            let limited = !self.noise.one_in(6);
            services.push(Service {
                ports: vec![ports],
                allow: self.noise.one_in(6).then(|| networks(self.noise, 5)),
                rates: if limited {
                    Rates {
                        bytes: self.bytes(Kind::ServiceBytes),
                        ..self.rates(Kind::Service)
                    }
                } else {
                    Rates::default()
                },
            });
        }
        // Without any there would be one on the usual ports.
        if services.is_empty() {
            return self.services();
        }
        services
    }
}

/// Networks around sources, from narrow to wide.
fn networks(noise: &mut Noise, count: usize) -> Vec<IpNet> {
    (0..count).map(|_| network(noise)).collect()
}

/// A network around a source.
pub(crate) fn network(noise: &mut Noise) -> IpNet {
    let source = address(noise.one_of(&SOURCES));
    let longest = if source.is_ipv4() { 32 } else { 128 };
    let len = match noise.below(40) {
        0..=22 => longest,
        23..=38 => longest - noise.below(longest / 2),
        _ => noise.below(longest + 1),
    };
    net(source, len)
}

/// Somebody who is none of the sources.
fn anybody(noise: &mut Noise) -> IpNet {
    if noise.one_in(2) {
        let address = 0x0b00_0000 | noise.word() as u32 >> 8;
        net(IpAddr::V4(address.into()), 32)
    } else {
        let address = 0x2a00 << 112 | u128::from(noise.word());
        net(IpAddr::V6(address.into()), 128)
    }
}

/// The network of so many leading bits around an address.
fn net(address: IpAddr, len: usize) -> IpNet {
    let net = IpNet::new(address, len as u8).expect("a length of the family");
    net.trunc()
}
