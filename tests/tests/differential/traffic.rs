//! Random streams: frames of a few sources, what the host answers, and when.

use std::net::IpAddr;

use ipnet::IpNet;
use lab::frames::{Extension, Packet, tcp};

use crate::{
    draw::network,
    malformed::mutated,
    model::{Rule, Seen, TICK_NS},
    noise::Noise,
    setup::{HOST_TOO, HOST_V4, HOST_V6, NO_SERVICE, SOURCES, Setup, address},
};

/// Sound frames of a stream, and one that is not after so many steps.
const FRAMES: usize = 600;
const STEPS_PER_MUTANT: usize = 40;
/// Rules that change while packets come.
const CHANGES: usize = 8;

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;
/// The kernel side's ticks have 32 bits.
const TURN: u64 = TICK_NS << 32;

const PAYLOADS: [&[u8]; 14] = [
    b"GET /v1/orders HTTP/1.1\r\n\r\n",
    b"OPTIONS\t* HTTP/1.1\r\n\r\n",
    b"DELETE /a",
    b"GETX /v1/orders HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02",
    b"SSH-2.0-OpenSSH_9.6",
    b"SSH-1.99-x",
    b"*1\r\n$4\r\nPING\r\n",
    b"*12\r\n$3\r\nSET\r\n",
    b"\0\0\0\x29\0\x03\0\0user\0me\0\0",
    b"\x17\x03\x03\0\x40\x9a\x1f\x40\x77\x02\x9a\x1f\x40\x77\x02\x11",
    b"GET /",
    b"",
];

/// What comes, in order, and the frames it is made of.
pub(crate) struct Traffic {
    pub(crate) arriving: Vec<Arriving>,
    pub(crate) leaving: Vec<Leaving>,
    pub(crate) changes: Vec<Change>,
    pub(crate) steps: Vec<Step>,
}

/// A frame that arrives.
pub(crate) struct Arriving {
    pub(crate) bytes: Vec<u8>,
    pub(crate) seen: Seen,
}

/// A frame that the host sends, and whom it talks with if it shows that it does.
pub(crate) struct Leaving {
    pub(crate) bytes: Vec<u8>,
    pub(crate) talks_with: Option<IpAddr>,
}

/// A network and its rule from now on.
pub(crate) type Change = (IpNet, Option<Rule>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Nanoseconds of the clock.
    pub(crate) at_ns: u64,
    pub(crate) does: Does,
}

/// What happens, by its position.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Does {
    Arrives(usize),
    Leaves(usize),
    Changes(usize),
}

impl Traffic {
    /// A stream of so many steps for a host that is set up so.
    pub(crate) fn random(setup: &Setup, count: usize, noise: &mut Noise) -> Self {
        let mut sound: Vec<Vec<u8>> = (0..FRAMES).map(|_| frame(setup, noise)).collect();
        for _ in 0..count / STEPS_PER_MUTANT {
            let original = noise.below(FRAMES);
            let mutant = mutated(&sound[original], noise);
            sound.push(mutant);
        }
        let arriving: Vec<Arriving> = sound.into_iter().map(Arriving::new).collect();
        let leaving: Vec<Leaving> = (0..60).map(|_| leaving(noise)).collect();
        let changes = (0..CHANGES).map(|_| change(setup, noise)).collect();
        let mut steps = Steps::new(arriving.len(), leaving.len(), noise);
        let mut steps: Vec<Step> = (0..count).map(|_| steps.next(noise)).collect();
        for change in 0..CHANGES {
            let at = noise.below(count);
            steps[at].does = Does::Changes(change);
        }
        Self {
            arriving,
            leaving,
            changes,
            steps,
        }
    }
}

impl Arriving {
    fn new(bytes: Vec<u8>) -> Self {
        let seen = Seen::new(&bytes);
        Self { bytes, seen }
    }
}

/// A stream as it goes on: floods, crowds, silences, and clocks that are set.
struct Steps {
    now_ns: u64,
    /// The latest it has been.
    latest_ns: u64,
    arriving: usize,
    leaving: usize,
    /// Steps left at this pace.
    left: usize,
    /// Of so many steps one takes time, up to so much.
    pace: (usize, u64),
    /// Frames that come more often than others.
    favourites: [usize; 4],
}

impl Steps {
    fn new(arriving: usize, leaving: usize, noise: &mut Noise) -> Self {
        // In half of the streams the counter of ticks wraps.
        let start = if noise.one_in(2) {
            TURN - noise.word() % (10 * MINUTE)
        } else {
            2 * MINUTE + noise.word() % (TURN - 2 * MINUTE)
        };
        Self {
            now_ns: start,
            latest_ns: start,
            arriving,
            leaving,
            left: 0,
            pace: (1, 0),
            favourites: [0; 4],
        }
    }

    fn next(&mut self, noise: &mut Noise) -> Step {
        if self.left == 0 {
            self.pause(noise);
        }
        self.left -= 1;
        let (one_in, most_ns) = self.pace;
        if noise.one_in(one_in) {
            self.now_ns += noise.word() % most_ns;
        }
        let does = match noise.below(50) {
            0 => Does::Leaves(noise.below(self.leaving)),
            1 | 2 => Does::Arrives(noise.below(self.arriving)),
            3..=20 => Does::Arrives(noise.one_of(&self.favourites)),
            _ => Does::Arrives(noise.below(FRAMES)),
        };
        Step {
            at_ns: self.now_ns,
            does,
        }
    }

    /// Some time goes by, and others come, at another pace.
    fn pause(&mut self, noise: &mut Noise) {
        self.left = 1 + noise.below(3_000);
        self.pace = noise.one_of(&[
            (20, MILLISECOND),
            (4, MILLISECOND),
            (4, MILLISECOND),
            (2, 10 * MILLISECOND),
            (1, 200 * MILLISECOND),
            (1, 30 * SECOND),
        ]);
        self.favourites = [(); 4].map(|()| noise.below(FRAMES));
        let a_little = noise.word() % (4 * TICK_NS);
        self.now_ns += match noise.below(40) {
            0..=9 => 0,
            10..=19 => noise.word() % SECOND,
            20..=29 => noise.word() % (20 * SECOND),
            30..=33 => noise.word() % (60 * MINUTE),
            34 | 35 => noise.word() % (2 * DAY),
            36 => DAY - a_little,
            37 => TURN + a_little,
            38 => TURN - noise.word() % (100 * SECOND),
            _ => noise.word() % (2 * TURN),
        };
        // A CPU whose clock lags a little, and one that was stopped for long, but for no more than a
        // minute.
        self.latest_ns = self.latest_ns.max(self.now_ns);
        match noise.below(20) {
            0..=2 => self.now_ns -= a_little,
            3 => self.now_ns -= noise.word() % MINUTE,
            _ => {}
        }
        self.now_ns = self.now_ns.max(self.latest_ns - MINUTE);
    }
}

/// A frame of one of the sources.
fn frame(setup: &Setup, noise: &mut Noise) -> Vec<u8> {
    let packet = transport(addressed(setup, noise), setup, noise);
    let frame = packet.build();
    if noise.one_in(10) {
        return frame.pad(60).to_vec();
    }
    frame.to_vec()
}

/// A packet with a source, tags, options and extension headers.
fn addressed(setup: &Setup, noise: &mut Noise) -> Packet {
    let mut source = noise.one_of(&SOURCES).to_owned();
    if setup.deny.len() > 100 && noise.one_in(4) {
        source = noise.one_of(&setup.deny).network().to_string();
    }
    if noise.one_in(40) {
        source = noise.one_of(&[HOST_V4, HOST_V6, HOST_TOO]).to_owned();
    }
    let is_land = noise.one_in(60);
    let packet = if address(&source).is_ipv6() {
        ipv6(&source, if is_land { &source } else { HOST_V6 }, noise)
    } else if noise.one_in(6) {
        let mapped = format!("::ffff:{source}");
        ipv6(&mapped, if is_land { &mapped } else { HOST_V6 }, noise)
    } else {
        let packet = Packet::ipv4(&source, if is_land { &source } else { HOST_V4 });
        match noise.below(16) {
            0 => packet.options(&[1; 12]),
            1 => packet.fragment(7, 0, true),
            2 => packet.fragment(7, 1 + noise.below(9) as u16, noise.one_in(2)),
            _ => packet,
        }
    };
    match noise.below(100) {
        0 => packet.service_vlan(5).vlan(6).vlan(7),
        1..=5 => packet.service_vlan(5).vlan(6),
        6..=9 => packet.vlan(5),
        _ => packet,
    }
}

fn ipv6(source: &str, destination: &str, noise: &mut Noise) -> Packet {
    let packet = Packet::ipv6(source, destination);
    let fragment = |offset, more| Extension::Fragment {
        offset,
        more,
        id: 7,
    };
    match noise.below(30) {
        0 => packet.extension(Extension::HopByHop(1)),
        1 => packet
            .extension(Extension::Destination(0))
            .extension(Extension::Routing(1)),
        2 => packet.extension(fragment(0, noise.one_in(2))),
        3 => packet.extension(fragment(1 + noise.below(9) as u16, true)),
        4 => packet
            .extension(Extension::Routing(1))
            .extension(Extension::HopByHop(1)),
        _ => packet,
    }
}

/// What the packet carries.
fn transport(packet: Packet, setup: &Setup, noise: &mut Noise) -> Packet {
    let port = port(setup, noise);
    let source_port = 40_000 + noise.below(3) as u16;
    let seq = noise.one_of(&[1_000, u32::MAX]);
    let segment = |flags| {
        packet
            .clone()
            .tcp(source_port, port)
            .sequence(seq, 0)
            .flags(flags)
    };
    match noise.below(20) {
        0..=3 => segment(tcp::SYN),
        4 => segment(tcp::SYN).payload(noise.one_of(&PAYLOADS)),
        5..=7 => segment(tcp::ACK),
        8..=11 => segment(tcp::ACK | tcp::PSH)
            .sequence(seq.wrapping_add(1), 0)
            .payload(noise.one_of(&PAYLOADS)),
        12 => segment(tcp::ACK).payload(vec![7; size(noise)]),
        13 => segment(noise.one_of(&[
            tcp::RST,
            tcp::RST | tcp::ACK,
            tcp::FIN | tcp::ACK,
            tcp::SYN | tcp::ACK,
            tcp::SYN | tcp::FIN,
            tcp::FIN,
        ])),
        14 | 15 => packet.udp(source_port, port).payload(vec![7; size(noise)]),
        16 => packet.icmp(8, 0),
        17 => packet.icmpv6(128, 0).payload([0; 16]),
        18 => packet.ttl(255).icmpv6(135, 0).payload([0; 16]),
        _ => packet.protocol(47).payload([0; 30]),
    }
}

/// A port of a service, or of none.
fn port(setup: &Setup, noise: &mut Noise) -> u16 {
    if noise.one_in(6) {
        return NO_SERVICE;
    }
    let service = noise.one_of(&setup.services);
    let ports = noise.one_of(&service.ports);
    if noise.one_in(2) {
        *ports.start()
    } else {
        *ports.end()
    }
}

fn size(noise: &mut Noise) -> usize {
    let most = noise.one_of(&[40, 1_400, 1_400, 8_900, 60_000]);
    noise.below(most)
}

/// A frame that the host sends to one of the sources.
fn leaving(noise: &mut Noise) -> Leaving {
    let peer = noise.one_of(&SOURCES);
    let packet = if address(peer).is_ipv4() {
        Packet::ipv4(HOST_V4, peer)
    } else {
        Packet::ipv6(HOST_V6, peer)
    };
    let served = |flags| packet.clone().tcp(443, 40_000).flags(flags);
    let (packet, talks) = match noise.below(9) {
        0 => (served(tcp::ACK), true),
        1 => (served(tcp::ACK | tcp::PSH).payload([7; 90]), true),
        2 => (served(tcp::SYN), true),
        3 => (served(tcp::SYN | tcp::ACK), false),
        4 => (served(tcp::RST | tcp::ACK), false),
        5 => (packet.udp(40_000, 53), true),
        6 => (packet.udp(53, 40_000), false),
        7 if address(peer).is_ipv4() => (packet.icmp(8, 0), true),
        7 => (packet.icmpv6(128, 0), true),
        _ => (packet.protocol(47).payload([0; 30]), false),
    };
    Leaving {
        bytes: packet.build().to_vec(),
        talks_with: talks.then(|| address(peer)),
    }
}

/// A rule that comes, changes or goes. The host's own addresses stay.
fn change(setup: &Setup, noise: &mut Noise) -> Change {
    let net = match noise.below(5) {
        0 => noise.one_of(&setup.allow),
        1 => noise.one_of(&setup.deny),
        2 => noise.one_of(&setup.feed),
        3 => noise.one_of(&setup.banned),
        _ => network(noise),
    };
    if setup.own.iter().any(|own| net == IpNet::from(*own)) {
        return change(setup, noise);
    }
    let rules = [Rule::Allow, Rule::Deny, Rule::Feed, Rule::Ban];
    let rule = (!noise.one_in(3)).then(|| noise.one_of(&rules));
    (net, rule)
}
