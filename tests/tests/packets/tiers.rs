//! The limits behind that of the source: to a service, of the network around, of sources not known.

use std::time::Duration;

use guard_common::reason::Reason::{
    Allow, LimitAggregate, LimitConnections, LimitPackets, LimitService, NewSources, Pass,
};
use lab::frames::{Frame, Packet, tcp};

use crate::{
    case::{HOST_V4, HOST_V6, ack, case, check, drops, from, leaves, passes, syn, udp},
    rig::{MANUAL, Rig},
};

const A: &str = "203.0.113.1";
const B: &str = "203.0.113.2";
/// Another network.
const C: &str = "198.51.100.1";
const A_V6: &str = "2001:db8:a:1::1";
const B_V6: &str = "2001:db8:a:2::1";
const C_V6: &str = "2001:db8:c:1::1";

/// Nothing but what a test asks for.
const OFF: &str = "packets = \"off\"\nconnections = \"off\"\nnew_sources = \"off\"\n";

/// A segment of an established connection that the host sends.
fn answer(to: &str) -> Packet {
    let host = if to.contains(':') {
        Packet::ipv6(HOST_V6, to)
    } else {
        Packet::ipv4(HOST_V4, to)
    };
    host.tcp(443, 40_000).flags(tcp::ACK)
}

#[test]
fn a_service_has_limits_of_its_own_for_each_source() {
    let configuration = format!(
        "[limits]\n{OFF}
        [[service]]
        name = \"a\"
        ports = [1001]
        encryption = \"off\"
        limits = {{ packets = \"3/s\" }}
        [[service]]
        name = \"b\"
        ports = [1002]
        encryption = \"off\"
        limits = {{ connections = \"2/s\" }}
        [[service]]
        name = \"c\"
        ports = [1003]
        encryption = \"off\"
        limits = {{ bytes = \"64KiB/s\" }}"
    );
    let large = || {
        from(A)
            .tcp(1, 1003)
            .flags(tcp::ACK)
            .payload(vec![0; 32_000])
    };
    check(
        &configuration,
        [
            case(
                "packets",
                [
                    passes(ack(A, 1001), Pass).times(3),
                    drops(ack(A, 1001), LimitService).times(2),
                    passes(ack(B, 1001), Pass).times(3),
                    passes(ack(A, 1002), Pass).times(9),
                    passes(udp(A), Pass).times(9),
                    passes(ack(A, 1001), Pass).after(Duration::from_millis(400)),
                ],
            ),
            case(
                "connections",
                [
                    passes(syn(A_V6, 1002), Pass).times(2),
                    drops(syn(A_V6, 1002), LimitService),
                    passes(ack(A_V6, 1002), Pass).times(9),
                    passes(syn(C_V6, 1002), Pass).times(2),
                ],
            ),
            case(
                "bytes",
                [passes(large(), Pass).times(2), drops(large(), LimitService)],
            ),
        ],
    );
}

/// Services with limits that differ, in tables of which each has a single set: everybody meets
/// everybody.
fn cramped() -> Rig {
    let configuration = format!(
        "[limits]\n{OFF}
        [[service]]
        name = \"login\"
        ports = [1001]
        encryption = \"off\"
        limits = {{ connections = \"1/min\", bytes = \"1kB/min\" }}
        [[service]]
        name = \"files\"
        ports = [1002]
        encryption = \"off\"
        limits = {{ packets = \"1k/s\", bytes = \"1MB/s\" }}
        [[service]]
        name = \"images\"
        ports = [1003]
        encryption = \"off\"
        limits = {{ packets = \"1k/s\" }}"
    );
    Rig::load_changed(&configuration, MANUAL, |plan| {
        plan.source_sets = 1;
        plan.settings.set_mask = 0;
    })
}

/// Most of what a source may send to the first of them in an hour.
fn large(source: &str) -> Frame {
    let packet = from(source).tcp(1, 1001).flags(tcp::ACK);
    packet.payload(vec![0; 60_000]).build()
}

#[test]
fn an_offender_at_one_service_stays_under_a_flood_at_another() {
    let mut rig = cramped();
    let (large, opening) = (large(A), syn(A, 1001).build());
    assert!(
        rig.passes(&large) && rig.passes(&opening),
        "within the limits"
    );
    for second in 1..20 {
        let set = rig.kernel.set_manual_clock(second * 1_000_000_000);
        set.expect("setting the clock");
        for host in 1..30 {
            let spoofed = format!("198.51.100.{host}");
            for port in [1002, 1003] {
                assert!(rig.passes(&syn(&spoofed, port).build()), "{spoofed}");
            }
        }
        assert!(!rig.passes(&opening), "the second connection of a minute");
        assert!(!rig.passes(&large), "the second 60 kB in an hour");
    }
}

#[test]
fn whom_a_limit_does_not_count_takes_nobodys_place() {
    let mut rig = cramped();
    let offenders = [A, B, A_V6, B_V6].map(large);
    for frame in &offenders {
        assert!(rig.passes(frame), "within the limit");
    }
    assert!(rig.passes(&ack(C, 1003).build()), "no limit of bytes");
    for frame in &offenders {
        assert!(!rig.passes(frame), "the second 60 kB in an hour");
    }
}

#[test]
fn a_network_has_a_limit_for_all_its_sources() {
    let configuration = format!(
        "allow = [{{ cidr = \"203.0.113.9\" }}]
        [limits]\n{OFF}
        aggregate = {{ packets = \"4/s\", connections = \"2/s\" }}"
    );
    check(
        &configuration,
        [
            case(
                "an IPv4 /24",
                [
                    passes(udp(A), Pass).times(2),
                    passes(udp(B), Pass).times(2),
                    drops(udp(A), LimitAggregate),
                    drops(udp("203.0.113.77"), LimitAggregate),
                    passes(udp("203.0.113.9"), Allow).times(9),
                    passes(udp(C), Pass).times(4),
                ],
            ),
            case(
                "an IPv6 /48",
                [
                    passes(syn(A_V6, 9), Pass),
                    passes(syn(B_V6, 9), Pass),
                    drops(syn(A_V6, 9), LimitAggregate),
                    passes(ack(B_V6, 9), Pass).times(2),
                    drops(ack(B_V6, 9), LimitAggregate),
                    passes(syn(C_V6, 9), Pass).times(2),
                ],
            ),
        ],
    );
}

#[test]
fn sources_that_are_not_known_share_a_budget_and_known_ones_go_on() {
    let configuration = "[limits]\nnew_sources = \"3/s\"";
    check(
        configuration,
        [
            case(
                "shared",
                [
                    passes(udp(A), Pass),
                    passes(syn(A_V6, 9), Pass),
                    passes(ack(C, 9), Pass),
                    drops(udp(A), NewSources),
                    drops(syn(C_V6, 9), NewSources),
                    passes(udp(B), Pass).after(Duration::from_millis(400)),
                ],
            ),
            case(
                "known by an established connection",
                [
                    leaves(answer(A)),
                    leaves(answer(A_V6)),
                    passes(udp(C), Pass).times(3),
                    drops(udp(C), NewSources),
                    passes(ack(A, 9), Pass).times(9),
                    passes(udp(A_V6), Pass).times(9),
                    drops(udp(B_V6), NewSources),
                ],
            ),
        ],
    );
}

#[test]
fn only_what_shows_a_connection_or_a_call_makes_a_source_known() {
    let spent = || [passes(udp(C), Pass).times(1), drops(udp(C), NewSources)];
    let configuration = "[limits]\nnew_sources = \"1/s\"";
    let answers = |packet: Packet| [leaves(packet), drops(udp(B), NewSources)];
    let to_b = || Packet::ipv4(HOST_V4, B);
    let nothing = [
        (
            "SYN and ACK",
            to_b().tcp(443, 40_000).flags(tcp::SYN | tcp::ACK),
        ),
        ("RST", to_b().tcp(443, 40_000).flags(tcp::RST)),
        (
            "RST and ACK",
            to_b().tcp(443, 40_000).flags(tcp::RST | tcp::ACK),
        ),
        ("an answer by UDP", to_b().udp(53, 40_000)),
        ("the answer to a ping", to_b().icmp(0, 0)),
    ];
    let calls = [
        ("data", to_b().tcp(443, 40_000).flags(tcp::ACK).payload("x")),
        ("a call", to_b().tcp(40_000, 443).flags(tcp::SYN)),
        ("a question by UDP", to_b().udp(40_000, 53)),
        ("a ping", to_b().icmp(8, 0)),
    ];
    let nothing =
        nothing.map(|(name, packet)| case(name, spent().into_iter().chain(answers(packet))));
    check(configuration, nothing);
    // Whoever is known stays so for a day, which is longer than a case.
    for (name, packet) in calls {
        let known = [leaves(packet), passes(udp(B), Pass).times(9)];
        check(
            configuration,
            [case(name, spent().into_iter().chain(known))],
        );
    }
}

#[test]
fn a_source_is_known_for_a_day() {
    const HOUR: Duration = Duration::from_hours(1);
    check(
        "[limits]\nnew_sources = \"1/s\"",
        [case(
            "one day and no more",
            [
                leaves(answer(A)),
                passes(udp(A), Pass).times(9).after(23 * HOUR),
                passes(udp(A), Pass).after(2 * HOUR),
                drops(udp(A), NewSources),
                leaves(answer(A)),
                passes(udp(A), Pass).times(9),
            ],
        )],
    );
}

#[test]
fn a_packet_that_a_later_limit_refuses_costs_the_earlier_ones_nothing() {
    let configuration = "
        [limits]
        packets = \"5/s\"
        connections = \"4/s\"
        new_sources = \"2/s\"
        aggregate = { packets = \"3/s\" }
        [[service]]
        name = \"a\"
        ports = [1001]
        encryption = \"off\"
        limits = { packets = \"1/s\" }";
    check(
        configuration,
        [case(
            "the order, and who pays",
            [
                passes(ack(A, 1001), Pass),
                drops(ack(A, 1001), LimitService).times(9),
                passes(ack(A, 9), Pass),
                drops(ack(A, 9), NewSources).times(9),
                leaves(answer(A)),
                passes(ack(A, 9), Pass),
                drops(ack(A, 9), LimitAggregate).times(9).suppressed(7),
                // After a second everything is as in the beginning, had nothing refused been paid.
                passes(syn(A, 9), Pass)
                    .times(3)
                    .after(Duration::from_millis(1100)),
                drops(syn(A, 9), LimitAggregate),
            ],
        )],
    );
    let own_first = "[limits]\npackets = \"2/s\"\nconnections = \"1/s\"\nnew_sources = \"3/s\"";
    check(
        own_first,
        [case(
            "a source's own limits come first",
            [
                passes(syn(A, 9), Pass),
                drops(syn(A, 9), LimitConnections).times(9),
                passes(ack(A, 9), Pass),
                drops(ack(A, 9), LimitPackets).times(9),
                passes(ack(B, 9), Pass),
                drops(ack(B, 9), NewSources),
            ],
        )],
    );
}
