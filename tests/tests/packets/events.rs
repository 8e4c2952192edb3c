//! What is told of single packets.

use std::{mem::offset_of, net::Ipv6Addr, time::Duration};

use aya::maps::{MapData, RingBuf};
use guard_common::{
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{EXCERPT_LEN, Event, EventClass},
};
use lab::frames::{Packet, tcp};

use crate::{
    case::{HOST_V4, ack, case, check, drops, from, leaves, passes, syn, udp},
    rig::{MANUAL, Rig},
};

const A: &str = "203.0.113.1";
const REQUEST: &str = "GET /v1/orders HTTP/1.1\r\nAuthorization: Bearer 4711\r\n\r\n";

const CONFIGURATION: &str = r#"
    deny = [{ cidr = "198.51.100.0/24" }, { cidr = "2001:db8:bad::/48" }]
    limits = { packets = "1000/s", connections = "1/s" }
    [[service]]
    name = "flags"
    ports = [8080]
    [[service]]
    name = "drops"
    ports = [8443]
    on_plaintext = "drop"
    allow = ["203.0.113.0/24"]
"#;

/// A kernel side and the reader of its events.
struct Told {
    rig: Rig,
    events: RingBuf<MapData>,
}

impl Told {
    fn new(configuration: &str) -> Self {
        let mut rig = Rig::load(configuration, MANUAL);
        let events = rig.kernel.take_events().expect("the events");
        Self { rig, events }
    }

    /// What is told of a frame that passes or not, in bytes.
    fn of(&mut self, frame: &[u8], passes: bool) -> Vec<u8> {
        assert_eq!(self.rig.passes(frame), passes);
        let told = self.events.next().expect("an event").to_vec();
        assert!(self.events.next().is_none(), "one event a packet");
        told
    }
}

/// An event, read field by field where `repr(C)` puts them.
pub(crate) fn decode(bytes: &[u8]) -> Event {
    let word = |at: usize| {
        let bytes = bytes[at..].first_chunk().expect("a whole event");
        u32::from_ne_bytes(*bytes)
    };
    let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
    Event {
        source: *bytes.first_chunk().expect("a whole event"),
        seq: word(offset_of!(Event, seq)),
        interface: word(offset_of!(Event, interface)),
        packet_bytes: word(offset_of!(Event, packet_bytes)),
        excerpt_len: word(offset_of!(Event, excerpt_len)),
        source_port: half(offset_of!(Event, source_port)),
        port: half(offset_of!(Event, port)),
        service_plus_one: half(offset_of!(Event, service_plus_one)),
        verdict: bytes[offset_of!(Event, verdict)],
        reason: bytes[offset_of!(Event, reason)],
        protocol: bytes[offset_of!(Event, protocol)],
        class: bytes[offset_of!(Event, class)],
        outcome: bytes[offset_of!(Event, outcome)],
        speaker: bytes[offset_of!(Event, speaker)],
        notes: bytes[offset_of!(Event, notes)],
        reserved: [0; 3],
    }
}

/// The event of a frame that was refused, as far as all of them are alike.
fn refused(source: &str, frame: &[u8], reason: Reason) -> Event {
    let source: std::net::IpAddr = source.parse().expect("an address");
    let source = match source {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        std::net::IpAddr::V6(v6) => v6,
    };
    Event {
        source: Ipv6Addr::octets(&source),
        seq: 0,
        interface: 0,
        packet_bytes: frame.len() as u32,
        excerpt_len: 0,
        source_port: 0,
        port: 0,
        service_plus_one: 0,
        verdict: Verdict::Drop as u8,
        reason: reason as u8,
        protocol: Protocol::Unknown as u8,
        class: EventClass::Refused as u8,
        outcome: 0,
        speaker: 0,
        notes: 0,
        reserved: [0; 3],
    }
}

#[test]
fn a_refused_packet_is_told_with_its_source() {
    let mut told = Told::new(CONFIGURATION);
    for source in ["198.51.100.7", "2001:db8:bad::7"] {
        let frame = udp(source).build();
        let event = told.of(&frame, false);
        assert_eq!(event.len(), size_of::<Event>());
        assert_eq!(decode(&event), refused(source, &frame, Reason::Deny));
        assert_eq!(event[offset_of!(Event, reserved)..], [0; 3]);
    }
}

#[test]
fn a_refused_segment_is_told_with_its_ports() {
    let mut told = Told::new(CONFIGURATION);
    let frame = syn("192.0.2.9", 8443)
        .sequence(0x0102_0304, 0)
        .vlan(5)
        .build();
    let event = decode(&told.of(&frame, false));
    let expected = refused("192.0.2.9", &frame, Reason::ServiceAcl);
    let segment = |event| Event {
        seq: 0x0102_0304,
        source_port: 40_000,
        ..event
    };
    assert_eq!(
        event,
        segment(Event {
            port: 8443,
            ..expected
        })
    );

    let frame = syn(A, 22).sequence(0x0102_0304, 0).build();
    assert!(told.rig.passes(&frame));
    let event = decode(&told.of(&frame, false));
    let expected = refused(A, &frame, Reason::LimitConnections);
    assert_eq!(
        event,
        segment(Event {
            port: 22,
            ..expected
        })
    );
}

/// A request to a port, of a connection of its own.
fn request_from(source_port: u16, port: u16, payload: &[u8]) -> Packet {
    from(A)
        .tcp(source_port, port)
        .flags(tcp::ACK | tcp::PSH)
        .sequence(7, 0)
        .payload(payload)
}

/// What the host has said before in that connection: it takes part in it.
fn said_to(source_port: u16, port: u16) -> Packet {
    Packet::ipv4(HOST_V4, A)
        .tcp(port, source_port)
        .flags(tcp::ACK | tcp::PSH)
        .sequence(1, 7)
        .payload("well?")
}

fn request(port: u16, payload: &[u8]) -> Packet {
    request_from(40_001, port, payload)
}

#[test]
fn plaintext_is_told_with_its_first_bytes() {
    let mut told = Told::new(CONFIGURATION);
    let long = [REQUEST.as_bytes(), &[b'x'; 9_000]].concat();
    let payloads: [&[u8]; 5] = [
        REQUEST.as_bytes(),
        b"*1\r\n$4\r\n",
        &long[..EXCERPT_LEN],
        &long[..=EXCERPT_LEN],
        &long,
    ];
    for (port, service, verdict, passes) in [
        (8080, 1, Verdict::Pass, true),
        (8443, 2, Verdict::Drop, false),
    ] {
        for (payload, source_port) in payloads.into_iter().zip(40_001..) {
            let frame = request_from(source_port, port, payload).build();
            told.rig.sends(&said_to(source_port, port).build());
            let bytes = told.of(&frame, passes);
            let shown = payload.len().min(EXCERPT_LEN);
            assert_eq!(bytes.len(), size_of::<Event>() + shown);
            let expected = Event {
                seq: 7,
                source_port,
                port,
                service_plus_one: service,
                packet_bytes: payload.len() as u32,
                excerpt_len: shown as u32,
                verdict: verdict as u8,
                protocol: decode(&bytes).protocol,
                class: EventClass::Plaintext as u8,
                speaker: 1,
                ..refused(A, &frame, Reason::Plaintext)
            };
            assert_eq!(decode(&bytes), expected);
            assert_eq!(bytes[size_of::<Event>()..], payload[..shown]);
            // Once a connection.
            assert_eq!(told.rig.passes(&frame), passes);
            assert!(told.events.next().is_none());
        }
    }
}

#[test]
fn in_dry_run_events_say_so() {
    let mut told = Told::new(&format!("dry_run = true\n{CONFIGURATION}"));
    let event = decode(&told.of(&udp("198.51.100.7").build(), true));
    assert_eq!(event.verdict, Verdict::WouldDrop as u8);
    told.rig.sends(&said_to(40_001, 8443).build());
    let event = decode(&told.of(&request(8443, REQUEST.as_bytes()).build(), true));
    assert_eq!(event.verdict, Verdict::WouldDrop as u8);
}

#[test]
fn what_passes_and_what_is_unsound_is_not_told() {
    let mut told = Told::new(CONFIGURATION);
    for frame in [
        udp(A),
        ack(A, 8443),
        ack(A, 8443).payload([0xff; 50]),
        Packet::arp(A, A),
    ] {
        assert!(told.rig.passes(&frame.build()));
    }
    let malformed = udp("198.51.100.7").build().patch_network(0, &[0x44]);
    assert!(!told.rig.passes(&malformed));
    assert!(told.events.next().is_none());
}

#[test]
fn a_second_has_a_budget_for_each_class() {
    let denied = || drops(udp("198.51.100.7"), Reason::Deny);
    let plaintext = |source_port| {
        let packet = request_from(source_port, 8443, REQUEST.as_bytes());
        let said = leaves(said_to(source_port, 8443));
        [said, drops(packet, Reason::Plaintext).told_of()]
    };
    check(
        CONFIGURATION,
        [
            case(
                "refused",
                [
                    denied().times(20),
                    denied().times(30).suppressed(30),
                    denied().suppressed(1).after(Duration::from_millis(990)),
                    denied()
                        .times(21)
                        .suppressed(1)
                        .after(Duration::from_millis(12)),
                ],
            ),
            case(
                "a flood of one class leaves the other its budget",
                (0..20)
                    .flat_map(plaintext)
                    .chain([denied().times(50).suppressed(30)])
                    .chain([denied().suppressed(1)]),
            ),
            case(
                "what passes uses up none",
                [passes(udp(A), Reason::Pass).times(50), denied().times(20)],
            ),
        ],
    );
}

#[test]
fn a_full_ring_buffer_is_counted() {
    let mut rig = Rig::load_changed(CONFIGURATION, MANUAL, |plan| {
        plan.settings.talker_budget = 0;
    });
    let frame = udp("198.51.100.7").build();
    // Room for 1 MiB, and nobody reads; with its header an event takes 56 bytes.
    let fit = (1_u64 << 20) / 56;
    let ((), counts) = rig.observe(|rig| {
        for second in 0..1_000 {
            rig.kernel
                .set_manual_clock(second * 2_000_000_000)
                .expect("setting the clock");
            assert!((0..20).all(|_| !rig.passes(&frame)));
        }
    });
    let lost = counts.get("events lost").copied().unwrap_or(0);
    assert_eq!(counts["events emitted"] + lost, 20_000, "{counts:?}");
    assert!(
        (fit - 1..=fit).contains(&counts["events emitted"]),
        "{counts:?}, {fit} fit"
    );
}
