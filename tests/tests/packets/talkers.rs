//! Which packets are told of for the sake of who sends most.

use std::net::{IpAddr, Ipv6Addr};

use aya::maps::{MapData, RingBuf};
use guard_common::{
    reason::{Reason, Verdict},
    talkers::is_candidate,
    wire::{COARSE_TICK_NS, EventClass},
};
use lab::frames::Packet;

use crate::{
    case::{HOST_V4, HOST_V6, udp},
    events::decode,
    rig::{MANUAL, Rig, packet_names},
};

const CONFIGURATION: &str = r#"
    deny = [{ cidr = "198.51.100.0/24" }, { cidr = "2001:db8:bad::/48" }]
"#;
/// Packets told of in a period, and its ticks.
const BUDGET: u32 = 3;
const PERIOD: u64 = 100;

/// A kernel side that tells of talkers, and the reader of what it tells.
struct Telling {
    rig: Rig,
    events: RingBuf<MapData>,
}

/// What is told of a talker.
#[derive(Debug, PartialEq, Eq)]
struct Talker {
    source: IpAddr,
    stands_for: u32,
    bytes: u32,
    verdict: u8,
    reason: u8,
}

impl Telling {
    fn new(configuration: &str) -> Self {
        let mut rig = Rig::load_changed(configuration, MANUAL, |plan| {
            plan.settings.talker_budget = BUDGET;
            plan.settings.talker_ticks = PERIOD as u32;
            plan.settings.event_budget = 0;
        });
        let events = rig.kernel.take_events().expect("the events");
        Self { rig, events }
    }

    /// Sends a frame so many times, each in a period of its own, and says of which it was told.
    fn send(&mut self, frame: &[u8], times: u64) -> Vec<(u64, Talker)> {
        let mut told = Vec::new();
        for number in 1..=times {
            self.at(number * PERIOD);
            self.rig.passes(frame);
            told.extend(self.read().map(|talker| (number, talker)));
        }
        told
    }

    fn at(&mut self, tick: u64) {
        let clock = self.rig.kernel.set_manual_clock(tick * COARSE_TICK_NS);
        clock.expect("setting the clock");
    }

    fn read(&mut self) -> Option<Talker> {
        let event = decode(&self.events.next()?);
        assert_eq!(event.class, EventClass::Talker as u8);
        assert_eq!((event.interface, event.excerpt_len), (0, 0));
        assert_eq!((event.source_port, event.port), (0, 0));
        Some(Talker {
            source: Ipv6Addr::from(event.source).to_canonical(),
            stands_for: event.seq,
            bytes: event.packet_bytes,
            verdict: event.verdict,
            reason: event.reason,
        })
    }
}

fn talker(source: &str, frame: &[u8], verdict: Verdict, reason: Reason) -> Talker {
    Talker {
        source: source.parse().expect("an address"),
        stands_for: 1,
        bytes: frame.len() as u32,
        verdict: verdict as u8,
        reason: reason as u8,
    }
}

#[test]
fn one_packet_in_so_many_is_told_whatever_becomes_of_it() {
    let mut telling = Telling::new(CONFIGURATION);
    for (source, shown, verdict, reason) in [
        ("203.0.113.1", "203.0.113.1", Verdict::Pass, Reason::Pass),
        ("198.51.100.7", "198.51.100.7", Verdict::Drop, Reason::Deny),
    ] {
        let frame = udp(source).vlan(5).build();
        let told = telling.send(&frame, 900);
        let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
        // Each counter has candidates of its own.
        assert_eq!(numbers, [233, 466, 610, 843]);
        for (_, told) in told {
            assert_eq!(told, talker(shown, &frame, verdict, reason));
        }
    }
}

#[test]
fn an_ipv6_source_is_told_as_its_prefix() {
    let mut telling = Telling::new(CONFIGURATION);
    let frame = udp("2001:db8:1:2:3:4:5:6").build();
    let told = telling.send(&frame, 233);
    let expected = talker("2001:db8:1:2::", &frame, Verdict::Pass, Reason::Pass);
    assert_eq!(told, [(233, expected)]);

    let mut telling = Telling::new(
        "dry_run = true\ndeny = [{ cidr = \"2001:db8:bad::/48\" }]\n[limits]\nipv6_prefix = 96",
    );
    let frame = udp("2001:db8:bad:2:3:4:5:6").build();
    let told = telling.send(&frame, 233);
    let expected = talker(
        "2001:db8:bad:2:3:4::",
        &frame,
        Verdict::WouldDrop,
        Reason::Deny,
    );
    assert_eq!(told, [(233, expected)]);
}

#[test]
fn what_has_no_source_is_not_told() {
    let mut telling = Telling::new(CONFIGURATION);
    for frame in [
        Packet::arp("203.0.113.1", HOST_V4).build().to_vec(),
        Packet::ipv6("fe80::1", HOST_V6)
            .ttl(255)
            .icmpv6(135, 0)
            .payload([0; 16])
            .build()
            .to_vec(),
        udp("203.0.113.1")
            .build()
            .patch_network(0, &[0x44])
            .to_vec(),
    ] {
        assert_eq!(telling.send(&frame, 500), []);
    }
}

#[test]
fn a_flood_keeps_to_its_budget_and_what_is_told_stands_for_the_rest() {
    let mut telling = Telling::new(CONFIGURATION);
    let frame = udp("203.0.113.1").build();
    let [packets, bytes] = packet_names(Verdict::Pass, Reason::Pass);
    let (mut sent, mut stood_for, mut candidates) = (0, 0, 0);
    // Four candidates more than the budget in each period.
    let flood = 7 * 256;
    for period in 0..6 {
        telling.at(1000 + period * PERIOD);
        let ((), counts) = telling.rig.observe(|rig| {
            assert!((0..flood).all(|_| rig.passes(&frame)));
        });
        // Whatever is told, nothing else is counted.
        let expected = [
            (packets.clone(), flood),
            (bytes.clone(), flood * frame.len() as u64),
        ];
        assert_eq!(counts, expected.into());
        let numbers = sent + 1..=sent + flood;
        sent += flood;
        let told: Vec<u32> = std::iter::from_fn(|| telling.read())
            .map(|talker| talker.stands_for)
            .collect();
        assert!(told.len() <= BUDGET as usize, "{told:?}");
        if period == 0 {
            assert_eq!(told, [1; BUDGET as usize], "nobody knew");
        } else {
            stood_for += told.iter().sum::<u32>();
            candidates += numbers.filter(|number| is_candidate(*number)).count() as u32;
        }
    }
    // But for those that wait for the next one to stand for them.
    assert!(
        stood_for.abs_diff(candidates) <= 5,
        "{stood_for} for {candidates}"
    );
}

#[test]
fn a_kernel_side_without_the_budget_tells_nothing() {
    let mut rig = Rig::load_changed(CONFIGURATION, MANUAL, |plan| {
        plan.settings.talker_budget = 0;
    });
    let mut events = rig.kernel.take_events().expect("the events");
    let frame = udp("203.0.113.1").build();
    assert!((0..500).all(|_| rig.passes(&frame)));
    assert!(events.next().is_none());
}
