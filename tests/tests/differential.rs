//! The same frames to the parser on the host and to the program in the kernel: they are the same
//! code, and must come to the same end after two compilers and a verifier, also when only a part of
//! the frame can be read directly.

mod rig;

use std::fmt::Write as _;

use guard_common::{
    packet::{IpPacket, Kind, Packet, Transport, parse},
    protocol::{HEAD_LEN, HEAD_MIN, Head, Protocol},
    reason::{Reason, Verdict},
    source::mix,
};
use lab::frames::{self, Extension, Frame, tcp};

use crate::rig::{Counts, LEAST_LINEAR, MANUAL, Rig, packet_names, payload_name};

const FRAMES: u64 = 4_000;
/// Bytes of it.
const IPV6_HEADER: usize = 40;

/// No rule, no limit, and every TCP port is looked at.
const CONFIGURATION: &str = r#"
    [limits]
    packets = "off"
    connections = "off"
    protocol = { icmp = "off", fragments = "off" }
    [[service]]
    name = "all"
    ports = ["1-65535"]
    encryption = "optional"
"#;

/// Numbers that look random and are the same in every run.
struct Noise(u64);

impl Noise {
    fn word(&mut self) -> u64 {
        self.0 += 1;
        mix(self.0)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What a frame is made from: each way of a packet through the parser.
fn seeds() -> Vec<Frame> {
    let v4 = || frames::Packet::ipv4("203.0.113.9", "192.0.2.1");
    let v6 = || frames::Packet::ipv6("2001:db8::9", "2001:db8:ffff::1");
    let request = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02";
    let fragment = |offset, more| Extension::Fragment {
        offset,
        more,
        id: 7,
    };
    let chain = (0..5).fold(v6(), |packet, _| {
        packet.extension(Extension::Destination(0))
    });
    [
        v4().tcp(1, 443).payload(request),
        v4().tcp(1, 443).flags(tcp::SYN).tcp_options(&[1; 20]),
        v4().tcp(1, 443).flags(tcp::SYN).payload([7; 12]),
        v4().options(&[1; 12]).tcp(1, 443).payload(hello),
        v4().vlan(5).udp(1, 2).payload([7; 12]),
        v4().service_vlan(5).vlan(6).icmp(8, 0),
        v4().fragment(7, 0, true).tcp(1, 443).payload([7; 12]),
        v4().fragment(7, 1, true).udp(1, 443).payload([7; 32]),
        v4().fragment(7, 3, false).tcp(1, 443).payload([7; 32]),
        v6().tcp(1, 443).payload(request),
        v6().vlan(5).udp(1, 2).payload([7; 12]),
        v6().ttl(255).icmpv6(135, 0).payload([0; 16]),
        v6().extension(fragment(0, true))
            .tcp(1, 443)
            .payload([7; 12]),
        v6().extension(fragment(4, false))
            .tcp(1, 443)
            .payload([7; 12]),
        v6().extension(Extension::HopByHop(1))
            .extension(Extension::Routing(2))
            .tcp(1, 443)
            .payload("*1\r\n$4\r\nPING\r\n"),
        v6().extension(Extension::Authentication)
            .extension(fragment(0, false))
            .udp(1, 2),
        chain
            .extension(Extension::Destination(3))
            .tcp(1, 443)
            .payload("PRI * HTTP/2.0\r\n\r\n"),
        frames::Packet::ipv6("::ffff:203.0.113.9", "2001:db8::1")
            .tcp(1, 443)
            .payload("SSH-2.0-x"),
        v4().fragment(7, 1, true).tcp(1, 443).payload([7; 32]),
        v4().fragment(7, 0, true).protocol(6).payload([7; 12]),
        v6().extension(fragment(1, true))
            .tcp(1, 443)
            .payload([7; 32]),
        v6().extension(fragment(0, true))
            .protocol(60)
            .payload([6, 9, 0, 0, 0, 0, 0, 0]),
        frames::Packet::arp("203.0.113.9", "192.0.2.1"),
    ]
    .map(|packet| packet.build())
    .to_vec()
}

/// A seed with a few bytes changed, cut or padded; now and then nothing but noise.
fn frame(seeds: &[Frame], noise: &mut Noise) -> Vec<u8> {
    let seed = &seeds[noise.below(seeds.len())];
    let mut bytes = seed.to_vec();
    for _ in 0..noise.below(4) {
        // Most of the sense is in the headers.
        let place = 12 + noise.below(bytes.len().min(90) - 12);
        bytes[place] = match noise.below(3) {
            0 => noise.word() as u8,
            1 => bytes[place] ^ (1 << noise.below(8)),
            _ => [0, 1, 6, 17, 43, 44, 51, 58, 60, 135, 0x40, 0xff][noise.below(12)],
        };
    }
    if noise.one_in(3) {
        // The kernel takes no test frame that is shorter than an Ethernet header.
        bytes.truncate(14 + noise.below(bytes.len() - 13));
    }
    if noise.one_in(4) {
        let len = bytes.len() + noise.below(60);
        bytes.resize(len, noise.word() as u8);
    }
    if noise.one_in(20) {
        bytes[14..].fill_with(|| noise.word() as u8);
    }
    bytes
}

/// What the program must do with a frame, as the host reads it.
fn expected(frame: &[u8]) -> (bool, Counts) {
    let counted = |verdict, reason, bytes| {
        let [packets, size] = packet_names(verdict, reason);
        Counts::from([(packets, 1), (size, bytes)])
    };
    let drop = |reason| (false, counted(Verdict::Drop, reason, frame.len() as u64));
    let pass = |bytes| (true, counted(Verdict::Pass, Reason::Pass, bytes));
    match parse(frame) {
        Err(unsound) => drop(unsound.reason()),
        Ok(Packet::NotIp) => pass(frame.len() as u64),
        Ok(Packet::Ip(packet)) => {
            let bytes = u64::from(packet.frame_len);
            // Neighbour discovery passes always.
            if packet.land && packet.kind != Kind::NeighbourDiscovery {
                return (false, counted(Verdict::Drop, Reason::Land, bytes));
            }
            let (passes, mut counts) = pass(bytes);
            let payload = payload(frame, &packet);
            counts.extend(payload.map(|protocol| (payload_name("all", protocol), 1)));
            (passes, counts)
        }
    }
}

/// What is counted of a payload, if the packet has one that counts by itself.
fn payload(frame: &[u8], packet: &IpPacket) -> Option<Protocol> {
    let Transport::Tcp(tcp) = packet.transport() else {
        return None;
    };
    if tcp.payload_len == 0 || tcp.port == 0 {
        return None;
    }
    let bytes = &frame[usize::from(tcp.payload_offset)..][..tcp.payload_len as usize];
    let protocol = if bytes.len() < HEAD_MIN {
        Protocol::Undecided
    } else {
        of(bytes)
    };
    // What is undecided counts in a connection's first payload only: in the SYN.
    (protocol != Protocol::Undecided || tcp.opens).then_some(protocol)
}

fn of(payload: &[u8]) -> Protocol {
    let mut head = [0; HEAD_LEN];
    let len = payload.len().min(HEAD_LEN);
    head[..len].copy_from_slice(&payload[..len]);
    let word = |at: usize| u64::from_ne_bytes(*head[at..].first_chunk().expect("half a head"));
    Protocol::of(Head::new([word(0), word(8)]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn host_and_kernel_read_every_frame_alike() {
    let (seeds, mut noise) = (seeds(), Noise(0));
    let mut rig = Rig::load(CONFIGURATION, MANUAL);
    let mut all = Counts::new();
    for number in 0..FRAMES {
        let frame = match seeds.get(number as usize) {
            Some(seed) => seed.to_vec(),
            None => frame(&seeds, &mut noise),
        };
        // What leaves is never judged, whatever it is. The kernel's test-run wants an IP header.
        if frame.len() >= LEAST_LINEAR + IPV6_HEADER {
            rig.sends(&frame);
        }
        let mut done = rig.observe(|rig| rig.passes(&frame));
        done.1.retain(|name, _| !is_of_events(name));
        assert_eq!(done, expected(&frame), "frame {number}, {}", hex(&frame));
        let linear = LEAST_LINEAR + noise.below((frame.len() - LEAST_LINEAR).clamp(1, 120));
        let mut in_pieces = rig.observe(|rig| rig.passes_in_pieces(&frame, linear));
        in_pieces.1.retain(|name, _| !is_of_events(name));
        assert_eq!(
            in_pieces,
            done,
            "frame {number}, {linear} bytes to be read directly, {}",
            hex(&frame)
        );
        for (name, count) in done.1 {
            *all.entry(name).or_default() += count;
        }
    }
    println!("{all:#?}");
    assert_every_way_was_taken(&all);
}

/// Events keep to a budget, which has tests of its own.
fn is_of_events(name: &str) -> bool {
    name.starts_with("events ")
}

/// A comparison of frames that all end alike would show little.
fn assert_every_way_was_taken(counts: &Counts) {
    let drops = [Reason::Malformed, Reason::Fragment].map(|reason| (Verdict::Drop, reason));
    for (verdict, reason) in drops.into_iter().chain([(Verdict::Pass, Reason::Pass)]) {
        let [packets, _] = packet_names(verdict, reason);
        let count = counts.get(&packets).copied().unwrap_or(0);
        assert!(count > FRAMES / 40, "only {count} {packets}");
    }
    for protocol in Protocol::ALL
        .into_iter()
        .filter(|found| *found != Protocol::Postgres)
    {
        let name = payload_name("all", protocol);
        assert!(counts.contains_key(&name), "no {name}");
    }
}
