//! Who is told of for staying over its limit, and who never is, whatever is sent in his name.

use std::{mem::offset_of, net::Ipv6Addr, slice, time::Duration};

use aya::maps::{MapData, RingBuf};
use guard_common::wire::{Event, EventClass};
use lab::frames::{Frame, Packet, tcp};

use crate::{
    case::{HOST_V4, HOST_V6, ack, from, syn, udp},
    rig::{MANUAL, Rig},
};

const A: &str = "203.0.113.1";
const A_V6: &str = "2001:db8:a:1::1";
/// In the same /64.
const B_V6: &str = "2001:db8:a:1::2";
const PORT: u16 = 443;
/// What the host waits for in the connection.
const AWAITED: u32 = 0x1000_0000;

const CONFIGURATION: &str = r#"
    [limits]
    packets = "10/s"
    connections = "off"
    new_sources = "off"
    ban = { after = "3s", for = "1m", max = "1h" }
"#;

/// A kernel side, the reader of its events, and the time.
struct Court {
    rig: Rig,
    events: RingBuf<MapData>,
    now: Duration,
}

impl Court {
    fn new(configuration: &str) -> Self {
        let mut rig = Rig::load(configuration, MANUAL);
        let events = rig.kernel.take_events().expect("the events");
        let now = Duration::from_hours(1);
        Self { rig, events, now }
    }

    /// The host sends the peer of a connection a segment.
    fn connects(&mut self, peer: &str) {
        let host = if peer.contains(':') {
            Packet::ipv6(HOST_V6, peer)
        } else {
            Packet::ipv4(HOST_V4, peer)
        };
        let segment = host.tcp(PORT, 40_000).flags(tcp::ACK).sequence(1, AWAITED);
        self.rig.sends(&segment.build());
    }

    /// Sends each of the frames `times` every 200 ms for `time`; who is told of meanwhile, and when.
    fn told(&mut self, frames: &[Frame], times: u32, time: Duration) -> Vec<(Ipv6Addr, Duration)> {
        const STEP: Duration = Duration::from_millis(200);
        let (mut passed, mut told) = (Duration::ZERO, Vec::new());
        while passed < time {
            let now_ns = u64::try_from(self.now.as_nanos()).expect("a time of this age");
            let clock = self.rig.kernel.set_manual_clock(now_ns);
            clock.expect("setting the clock");
            for frame in frames {
                for _ in 0..times {
                    self.rig.passes(frame);
                }
            }
            told.extend(self.offenders().into_iter().map(|source| (source, passed)));
            self.now += STEP;
            passed += STEP;
        }
        told
    }

    fn offenders(&mut self) -> Vec<Ipv6Addr> {
        let mut offenders = Vec::new();
        while let Some(event) = self.events.next() {
            if event[offset_of!(Event, class)] == EventClass::Offence as u8 {
                let source: [u8; 16] = *event.first_chunk().expect("a whole event");
                offenders.push(source.into());
            }
        }
        offenders
    }
}

/// A segment of the connection, or one that would be.
fn segment(source: &str, sequence: u32) -> Frame {
    let segment = ack(source, PORT).flags(tcp::ACK).sequence(sequence, 2);
    segment.payload("x").build()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn who_stays_over_its_limit_by_its_own_connection_is_told_of() {
    for (source, known_as) in [
        (A, "::ffff:203.0.113.1".parse::<Ipv6Addr>()),
        (A_V6, A_V6.parse()),
    ] {
        let mut court = Court::new(CONFIGURATION);
        court.connects(source);
        let told = court.told(&[segment(source, AWAITED)], 20, seconds(8));
        let source = known_as.expect("an address");
        let times: Vec<u64> = told.iter().map(|(_, time)| time.as_secs()).collect();
        assert!(told.iter().all(|(told, _)| *told == source), "{told:?}");
        assert_eq!(times, [3, 6], "once in the time that is tolerated");
    }
}

#[test]
fn addresses_of_a_prefix_are_one_source() {
    let mut court = Court::new(CONFIGURATION);
    court.connects(A_V6);
    court.connects(B_V6);
    let both = [A_V6, B_V6].map(|source| segment(source, AWAITED));
    // Neither alone is over.
    let told = court.told(&both[..1], 1, seconds(6));
    assert_eq!(told, []);
    assert_eq!(court.told(&both, 2, seconds(5)).len(), 1);
}

#[test]
fn who_keeps_to_its_limit_is_not_whatever_comes_in_its_name() {
    for (what, forged) in [
        ("datagrams", udp(A).build()),
        ("SYNs", syn(A, PORT).build()),
        ("segments of no connection", segment(A, AWAITED + (1 << 30))),
        (
            "segments from another port",
            from(A)
                .tcp(40_001, PORT)
                .flags(tcp::ACK)
                .sequence(AWAITED, 2)
                .build(),
        ),
        (
            "segments to another port",
            from(A)
                .tcp(40_000, PORT + 1)
                .flags(tcp::ACK)
                .sequence(AWAITED, 2)
                .build(),
        ),
        (
            "resets",
            ack(A, PORT)
                .flags(tcp::RST | tcp::ACK)
                .sequence(AWAITED, 2)
                .build(),
        ),
    ] {
        let mut court = Court::new(CONFIGURATION);
        court.connects(A);
        let own = segment(A, AWAITED);
        // One of its own every 200 ms, half of what it may send, and hundreds that are not.
        let mut frames = vec![own];
        frames.extend((0..50).map(|_| forged.clone()));
        assert_eq!(court.told(&frames, 1, seconds(20)), [], "{what}");
    }
}

#[test]
fn without_a_connection_nobody_is() {
    let mut court = Court::new(CONFIGURATION);
    let told = court.told(&[segment(A, AWAITED), udp(A).build()], 50, seconds(10));
    assert_eq!(told, []);
}

#[test]
fn a_pause_starts_it_anew() {
    let mut court = Court::new(CONFIGURATION);
    court.connects(A);
    let frames = [segment(A, AWAITED)];
    for _ in 0..5 {
        assert_eq!(court.told(&frames, 20, seconds(2)), []);
        court.now += seconds(2);
    }
    assert_eq!(court.told(&frames, 20, seconds(4)).len(), 1);
}

#[test]
fn the_limit_of_bytes_counts_too() {
    let mut court =
        Court::new("[limits]\npackets = \"off\"\nbytes = \"64KiB/s\"\nban = { after = \"3s\" }");
    court.connects(A);
    let large = ack(A, PORT).flags(tcp::ACK).sequence(AWAITED, 2);
    let large = large.payload(vec![0; 1400]).build();
    assert_eq!(
        court.told(slice::from_ref(&large), 5, seconds(6)),
        [],
        "35 kB/s"
    );
    assert_eq!(court.told(&[large], 20, seconds(5)).len(), 1, "140 kB/s");
}

#[test]
fn whom_the_operator_allows_is_not() {
    let allow = format!("allow = [{{ cidr = \"{A}\" }}]\n{CONFIGURATION}");
    let mut court = Court::new(&allow);
    court.connects(A);
    assert_eq!(court.told(&[segment(A, AWAITED)], 50, seconds(10)), []);
}
