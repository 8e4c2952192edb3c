//! More connections than there is room for, and floods around them: who makes room, and that nothing
//! is said of anybody that is not so.

use std::time::Duration;

use guard::kernel::Share;
use guard_common::{connection::Outcome, protocol::Protocol, wire::Evicted};
use lab::frames::{Packet, tcp};

use crate::{
    case::HOST_V4,
    rig::{MANUAL, Rig},
};

const CONFIGURATION: &str = r#"
    limits = { packets = "off", connections = "off", new_sources = "off" }
    [[service]]
    name = "api"
    ports = [8443]
"#;
const PORT: u16 = 8443;
const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02";
const SERVER_HELLO: &[u8] = b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03\x9a\x1f\x40\x77\x02";
const DATA: u8 = tcp::ACK | tcp::PSH;
/// Where clients and servers start.
const STARTS: [u32; 2] = [1_000, 5_000];

/// A kernel side, and connections of numbered sources.
struct Crowd {
    rig: Rig,
    now: Duration,
}

impl Crowd {
    fn new() -> Self {
        let mut crowd = Self {
            rig: Rig::load(CONFIGURATION, MANUAL),
            now: Duration::from_secs(1),
        };
        crowd.pass(Duration::from_secs(1));
        crowd
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        let now_ns = self.now.as_nanos() as u64;
        let clock = self.rig.kernel.set_manual_clock(now_ns);
        clock.expect("setting the clock");
    }

    /// A segment of a numbered client's, or of its server's, so many bytes behind their starts.
    fn segment(&mut self, number: u32, by_client: bool, flags: u8, at: [u32; 2], payload: &[u8]) {
        let [.., b, c, d] = (number / 40_000).to_be_bytes();
        let (client, port) = (format!("10.{b}.{c}.{d}"), (10_000 + number % 40_000) as u16);
        let [mine, theirs] = [STARTS[0] + at[0], STARTS[1] + at[1]];
        if by_client {
            let packet = Packet::ipv4(&client, HOST_V4).tcp(port, PORT).flags(flags);
            let ack = if flags & tcp::ACK == 0 { 0 } else { theirs };
            let frame = packet.sequence(mine, ack).payload(payload).build();
            assert!(self.rig.passes(&frame));
        } else {
            let packet = Packet::ipv4(HOST_V4, &client).tcp(PORT, port).flags(flags);
            let frame = packet.sequence(theirs, mine).payload(payload).build();
            self.rig.sends(&frame);
        }
    }

    fn shake(&mut self, number: u32) {
        self.segment(number, true, tcp::SYN, [0, 0], b"");
        self.segment(number, false, tcp::SYN | tcp::ACK, [1, 0], b"");
        self.segment(number, true, tcp::ACK, [1, 1], b"");
    }

    fn speak(&mut self, number: u32) {
        let said = CLIENT_HELLO.len() as u32;
        self.segment(number, true, DATA, [1, 1], CLIENT_HELLO);
        self.segment(number, false, DATA, [1 + said, 1], SERVER_HELLO);
    }

    fn close(&mut self, number: u32) {
        let (client, server) = (CLIENT_HELLO.len() as u32, SERVER_HELLO.len() as u32);
        let at = [1 + client, 1 + server];
        self.segment(number, true, tcp::FIN | tcp::ACK, at, b"");
        self.segment(number, false, tcp::FIN | tcp::ACK, [at[0] + 1, at[1]], b"");
    }

    fn count(&self, outcome: Outcome) -> u64 {
        let counted = self.rig.kernel.counters.connections(0);
        let counted = counted.expect("the counts");
        let counts = Protocol::ALL.map(|protocol| counted(outcome, protocol));
        counts.iter().sum()
    }

    fn counts(&self) -> [u64; Outcome::COUNT] {
        Outcome::ALL.map(|outcome| self.count(outcome))
    }

    fn evicted(&self) -> u64 {
        let evicted = self.rig.kernel.counters.evicted(Evicted::Talks);
        evicted.expect("a count")
    }
}

/// The flood is answered, as cookies are, and half of it comes with data.
#[test]
fn a_syn_flood_takes_no_connection() {
    const WAITING: u32 = 500;
    const FLOOD: u32 = 150_000;
    let mut crowd = Crowd::new();
    for number in 0..WAITING {
        crowd.shake(number);
    }
    // And some of which it is known what they are, and which were closed by nobody.
    let known = WAITING + FLOOD..WAITING + FLOOD + WAITING;
    for number in known.clone() {
        crowd.shake(number);
        crowd.speak(number);
    }
    for number in WAITING..WAITING + FLOOD {
        let payload: &[u8] = if number % 2 == 0 { b"" } else { CLIENT_HELLO };
        crowd.segment(number, true, tcp::SYN, [0, 0], payload);
        crowd.segment(number, false, tcp::SYN | tcp::ACK, [1, 0], b"");
        if number % 50 == 0 {
            crowd.pass(Duration::from_millis(1));
        }
    }
    for number in 0..WAITING {
        crowd.speak(number);
    }
    // Nobody was forgotten: data of theirs changes nothing.
    for number in known {
        let said = CLIENT_HELLO.len() as u32 + 1;
        crowd.segment(number, true, DATA, [said, 1], b"0123456789abcdef");
        crowd.segment(number, false, DATA, [said, 17], b"0123456789abcdef");
    }
    crowd.pass(Duration::from_secs(90));
    crowd.rig.kernel.sweep(Share::All).expect("a sweep");
    let mut expected = [0; Outcome::COUNT];
    expected[Outcome::Encrypted as usize] = 2 * u64::from(WAITING);
    assert_eq!((crowd.evicted(), crowd.counts()), (0, expected));
}

/// Connections that end make room for others, and each counts once.
fn come_and_go(connections: u32) {
    let mut crowd = Crowd::new();
    for number in 0..connections {
        crowd.shake(number);
        crowd.speak(number);
        crowd.close(number);
        crowd.pass(Duration::from_micros(100));
    }
    let mut expected = [0; Outcome::COUNT];
    expected[Outcome::Encrypted as usize] = u64::from(connections);
    assert_eq!(crowd.counts(), expected);
    assert_eq!(crowd.evicted(), 0);
}

#[test]
fn connections_come_and_go() {
    come_and_go(50_000);
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full`"]
fn a_million_connections_come_and_go() {
    come_and_go(1_000_000);
}

/// More of them than there is room for say nothing: who makes room is blind, and counted as such.
#[test]
fn who_makes_room_is_blind_and_counted() {
    const SILENT: u32 = 60_000;
    let mut crowd = Crowd::new();
    for number in 0..SILENT {
        crowd.shake(number);
    }
    let (evicted, blind) = (crowd.evicted(), crowd.count(Outcome::Blind));
    assert!(evicted >= u64::from(SILENT - 32_768), "{evicted}");
    assert_eq!(blind, evicted);
    // What comes of them afterwards is never wrong.
    for number in 0..SILENT {
        crowd.speak(number);
    }
    crowd.pass(Duration::from_secs(90));
    crowd.rig.kernel.sweep(Share::All).expect("a sweep");
    let counts = crowd.counts();
    for outcome in Outcome::ALL {
        let may_be = matches!(outcome, Outcome::Encrypted | Outcome::Blind);
        assert!(may_be || counts[outcome as usize] == 0, "{counts:?}");
    }
    assert!(counts[Outcome::Encrypted as usize] > 0, "{counts:?}");
}
