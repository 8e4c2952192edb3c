//! What one source may send.

use std::time::Duration;

use guard::{
    config::Config,
    kernel::{Kernel, Plan},
};
use guard_common::{
    reason::Reason::{Allow, LimitBytes, LimitConnections, LimitPackets, Pass},
    wire::COARSE_TICK_NS,
};
use lab::frames::{Packet, tcp};

use crate::case::{
    HOST_V6, Step, ack, case, check, check_from, drops, from, passes, syn, ticks, udp, would_drop,
};
use crate::rig::MANUAL;

/// A source of the tests, and another one.
const A: &str = "203.0.113.1";
const B: &str = "203.0.113.2";
const A_V6: &str = "2001:db8:a:1::1";
/// In the same /64.
const A_V6_TOO: &str = "2001:db8:a:1:ffff::2";
const B_V6: &str = "2001:db8:a:2::1";

const LIMITS: &str = r#"
    allow = [{ cidr = "198.51.100.7" }]
    [limits]
    packets = "20/s"
    connections = "5/s"
"#;

#[test]
fn a_source_gets_its_burst_and_then_its_rate() {
    check(
        LIMITS,
        [
            case(
                "packets",
                [
                    passes(udp(A), Pass).times(20),
                    drops(udp(A), LimitPackets).times(15),
                    // A twentieth of a second is 47.7 ticks.
                    drops(udp(A), LimitPackets).after(ticks(47)),
                    passes(udp(A), Pass).after(ticks(1)),
                    drops(udp(A), LimitPackets),
                ],
            ),
            case(
                "a pause gives back what it lasts",
                [
                    passes(udp(A), Pass).times(20),
                    passes(udp(A), Pass)
                        .times(10)
                        .after(Duration::from_millis(502)),
                    drops(udp(A), LimitPackets),
                    passes(udp(A), Pass)
                        .times(20)
                        .after(Duration::from_hours(1)),
                    drops(udp(A), LimitPackets),
                ],
            ),
            case(
                "connections",
                [
                    passes(syn(A, 443), Pass).times(5),
                    drops(syn(A, 443), LimitConnections).times(10),
                    // A fifth of a second is 190.7 ticks.
                    drops(syn(A, 22), LimitConnections).after(ticks(190)),
                    passes(syn(A, 22), Pass).after(ticks(1)),
                    drops(syn(A, 443), LimitConnections),
                ],
            ),
            case(
                "both families, each source its own",
                [
                    passes(udp(A), Pass).times(20),
                    passes(udp(B), Pass).times(20),
                    passes(udp(A_V6), Pass).times(20),
                    drops(udp(A), LimitPackets).times(5),
                    drops(udp(B), LimitPackets).times(5),
                    drops(udp(A_V6), LimitPackets).times(5),
                ],
            ),
            case(
                "an allowed source has none",
                [passes(udp("198.51.100.7"), Allow).times(100)],
            ),
        ],
    );
}

#[test]
fn what_counts_as_a_packet_and_as_a_connection() {
    let flagged = |flags| ack(A, 443).flags(flags);
    let fragment = || from(A).fragment(7, 9, true).udp(1, 2).payload([0; 8]);
    let discovery = Packet::ipv6(A_V6, HOST_V6)
        .ttl(255)
        .icmpv6(135, 0)
        .payload([0; 16]);
    check(
        LIMITS,
        [
            case(
                "every segment but a SYN is a packet only",
                [
                    passes(flagged(tcp::SYN | tcp::ACK), Pass).times(5),
                    passes(flagged(tcp::ACK), Pass).times(5),
                    passes(flagged(tcp::RST), Pass).times(5),
                    passes(flagged(tcp::FIN | tcp::ACK), Pass).times(5),
                    drops(flagged(tcp::ACK), LimitPackets),
                ],
            ),
            case(
                "a SYN with other flags is a connection",
                [
                    passes(flagged(tcp::SYN | tcp::PSH | tcp::URG), Pass).times(3),
                    passes(flagged(tcp::SYN | 0xc0), Pass).times(2),
                    drops(syn(A, 443), LimitConnections),
                ],
            ),
            case(
                "fragments and pings are packets",
                [
                    passes(fragment(), Pass).times(10),
                    passes(from(A).icmp(8, 0), Pass).times(10),
                    drops(fragment(), LimitPackets),
                ],
            ),
            case(
                "neighbour discovery is none",
                [passes(discovery, Pass).times(50)],
            ),
            case("ARP is none", [passes(Packet::arp(A, B), Pass).times(50)]),
        ],
    );
}

#[test]
fn the_limit_of_packets_is_asked_first_and_a_refused_packet_costs_nothing() {
    check(
        LIMITS,
        [case(
            "both limits",
            [
                passes(syn(A, 443), Pass).times(5),
                // Refused as connections, they are not charged as packets either.
                drops(syn(A, 443), LimitConnections).times(8),
                passes(udp(A), Pass).times(15),
                drops(udp(A), LimitPackets).times(8),
                drops(syn(A, 443), LimitPackets),
                // 5 connections cost a second, 20 packets too: refused packets have not cost more.
                passes(syn(A, 443), Pass)
                    .times(5)
                    .after(Duration::from_millis(1002)),
                passes(udp(A), Pass).times(15),
                drops(udp(A), LimitPackets),
            ],
        )],
    );
}

#[test]
fn an_ipv6_prefix_is_one_source() {
    let limited = |address, left| {
        [
            passes(udp(address), Pass).times(left),
            drops(udp(address), LimitPackets),
        ]
    };
    let one: Vec<Step> = [limited(A_V6, 12), limited(B_V6, 20)].concat();
    let shared = [passes(udp(A_V6_TOO), Pass).times(8)]
        .into_iter()
        .chain(one);
    check(LIMITS, [case("a /64", shared)]);

    let each = [limited(A_V6, 20), limited(A_V6_TOO, 20), limited(B_V6, 20)].concat();
    check(
        &format!("{LIMITS}\nipv6_prefix = 128"),
        [case("an address", each)],
    );

    let all = [
        passes(udp(A_V6_TOO), Pass).times(8),
        passes(udp(B_V6), Pass).times(8),
    ];
    let all = all.into_iter().chain(limited(A_V6, 4));
    check(&format!("{LIMITS}\nipv6_prefix = 48"), [case("a /48", all)]);
}

#[test]
fn an_ipv4_address_in_its_ipv6_form_is_the_same_source() {
    let mapped = "::ffff:203.0.113.1";
    check(
        LIMITS,
        [case(
            "mapped",
            [
                passes(udp(A), Pass).times(15),
                passes(udp(mapped), Pass).times(5),
                drops(udp(A), LimitPackets),
            ],
        )],
    );
}

/// A datagram that counts as `bytes`.
fn sized(source: &str, bytes: usize) -> Packet {
    from(source).udp(1, 2).payload(vec![0; bytes - 42])
}

#[test]
fn bytes_are_limited_with_the_headers_and_without_padding() {
    let configuration = r#"
        [limits]
        bytes = "64KiB/s"
        packets = "200/s"
        connections = "off"
    "#;
    check(
        configuration,
        [
            case(
                "65,536 bytes",
                [
                    passes(sized(A, 1_024), Pass).times(63),
                    passes(sized(A, 1_000), Pass),
                    drops(sized(A, 1_024), LimitBytes).times(10),
                    // There is room for a small one, which a refused one has not taken.
                    drops(sized(A, 60), LimitBytes),
                    drops(sized(A, 42), LimitBytes),
                    // A kibibyte takes a 64th of a second, and 24 bytes are left: 14.6 ticks.
                    drops(sized(A, 1_024), LimitBytes).after(ticks(14)),
                    passes(sized(A, 1_024), Pass).after(ticks(1)),
                ],
            ),
            case(
                "padding is free",
                [
                    passes(sized(A, 1_024), Pass).times(63),
                    passes(sized(A, 962), Pass),
                    passes(sized(A, 62).build().pad(1_500), Pass).counted_as(62),
                    drops(sized(A, 42), LimitBytes),
                ],
            ),
            case(
                "what it refuses is not charged as a packet",
                [
                    passes(sized(A, 1_024), Pass).times(64),
                    drops(sized(A, 1_024), LimitBytes).times(15),
                    passes(sized(B, 42), Pass).times(200),
                    drops(sized(B, 42), LimitPackets),
                    // A second later the packets of A are as fresh as its bytes.
                    passes(sized(A, 42), Pass)
                        .times(200)
                        .after(Duration::from_millis(1002)),
                    drops(sized(A, 42), LimitPackets),
                ],
            ),
            case(
                "an IPv6 network is one source",
                [
                    passes(udp(A_V6).payload(vec![0; 962]), Pass).times(32),
                    passes(udp(A_V6_TOO).payload(vec![0; 962]), Pass).times(32),
                    drops(udp(A_V6).payload(vec![0; 962]), LimitBytes),
                    passes(udp(B_V6), Pass),
                ],
            ),
        ],
    );
}

#[test]
fn each_limit_works_alone() {
    let only = |limit: &str| format!("[limits]\npackets = \"off\"\nconnections = \"off\"\n{limit}");
    check(
        &only("connections = \"3/min\"").replacen("connections = \"off\"\n", "", 1),
        [case(
            "connections, one at a time",
            [
                passes(syn(A, 443), Pass),
                drops(syn(A, 443), LimitConnections),
                passes(udp(A), Pass).times(100),
                drops(syn(A, 443), LimitConnections).after(Duration::from_millis(19_999)),
                passes(syn(A, 443), Pass).after(ticks(2)),
            ],
        )],
    );
    check(
        &only("bytes = \"64KiB/s\""),
        [case(
            "bytes",
            [
                passes(sized(A, 1_024), Pass).times(64),
                drops(sized(A, 42), LimitBytes),
            ],
        )],
    );
    check(
        &only(""),
        [case("none", [passes(syn(A, 443), Pass).times(300)])],
    );
}

#[test]
fn in_dry_run_no_limit_drops() {
    let configuration = r#"
        dry_run = true
        [limits]
        packets = "200/s"
        bytes = "64KiB/s"
        connections = "5/s"
    "#;
    check(
        configuration,
        [
            case(
                "packets",
                [
                    passes(ack(A, 1), Pass).times(200),
                    would_drop(ack(A, 1), LimitPackets).times(9),
                ],
            ),
            case(
                "bytes",
                [
                    passes(sized(A, 1_024), Pass).times(64),
                    would_drop(sized(A, 42), LimitBytes),
                ],
            ),
            case(
                "connections",
                [
                    passes(syn(A, 1), Pass).times(5),
                    would_drop(syn(A, 1), LimitConnections),
                ],
            ),
        ],
    );
}

#[test]
fn the_clock_may_wrap() {
    let last_ticks = Duration::from_nanos(COARSE_TICK_NS * (u64::from(u32::MAX) - 20));
    check_from(
        last_ticks,
        LIMITS,
        [case(
            "over the last tick",
            [
                passes(udp(A), Pass).times(20),
                drops(udp(A), LimitPackets).after(ticks(20)),
                drops(udp(A), LimitPackets).after(ticks(27)),
                passes(udp(A), Pass).after(ticks(1)),
                drops(udp(A), LimitPackets),
                passes(udp(A), Pass).times(20).after(Duration::from_secs(2)),
                drops(udp(A), LimitPackets),
            ],
        )],
    );
}

#[test]
fn tables_the_kernel_has_no_memory_for_are_named() {
    // 128 GiB.
    let sets = 1 << 31;
    let config = Config::parse("guard.toml", "").expect("the defaults");
    let mut plan = Plan::new(&config, MANUAL, [0; 2]);
    (plan.source_sets, plan.settings.set_mask) = (sets, sets - 1);
    let error = Kernel::load(&plan, None).expect_err("no machine has that much");
    let said = format!("{error:#}");
    for part in ["SOURCES", "has no memory", "shorten the lists"] {
        assert!(said.contains(part), "{said}");
    }
}
