//! Budgets that all sources share: ICMP, fragments, UDP, stray TCP segments.

use std::time::Duration;

use guard_common::reason::Reason::{Allow, LimitPackets, LimitProtocol, Pass};
use lab::frames::{Extension, Packet, tcp};

use crate::case::{HOST_V4, ack, case, check, drops, from, leaves, passes, syn, udp, would_drop};

const A: &str = "203.0.113.1";
const B: &str = "203.0.113.2";
const A_V6: &str = "2001:db8:a::1";

const CONFIGURATION: &str = r#"
    allow = [{ cidr = "198.51.100.0/24" }]
    [limits]
    protocol = { icmp = "3/s", fragments = "3/s", udp = "3/s" }
"#;

/// What it is called, and a packet of it.
type Kind = (&'static str, fn(&str) -> Packet);

fn ping(source: &str) -> Packet {
    if source.contains(':') {
        from(source).icmpv6(128, 0)
    } else {
        from(source).icmp(8, 0)
    }
}

fn fragment(source: &str, offset: u16) -> Packet {
    if source.contains(':') {
        let extension = Extension::Fragment {
            offset,
            more: true,
            id: 7,
        };
        return from(source).extension(extension).udp(1, 2).payload([0; 16]);
    }
    from(source)
        .fragment(7, offset, true)
        .udp(1, 2)
        .payload([0; 16])
}

#[test]
fn a_budget_is_shared_by_all_sources_and_by_both_families() {
    let kinds: [Kind; 4] = [
        ("ICMP", ping),
        ("first fragments", |source| fragment(source, 0)),
        ("later fragments", |source| fragment(source, 9)),
        ("UDP", udp),
    ];
    let cases = kinds.map(|(name, packet)| {
        let refused = |source| drops(packet(source), LimitProtocol);
        case(
            name,
            [
                passes(packet(A), Pass).times(2),
                passes(packet(A_V6), Pass),
                refused(B),
                refused(A_V6).times(2),
                passes(packet(B), Pass).after(Duration::from_millis(400)),
                refused(A),
            ],
        )
    });
    check(CONFIGURATION, cases);
}

#[test]
fn a_budget_is_of_its_kind_alone() {
    check(
        CONFIGURATION,
        [case(
            "each kind in turn",
            [
                passes(ping(A), Pass).times(3),
                drops(ping(A), LimitProtocol),
                passes(fragment(A, 0), Pass).times(3),
                drops(fragment(A, 9), LimitProtocol),
                passes(udp(A), Pass).times(3),
                drops(udp(A), LimitProtocol),
                passes(ack(A, 9), Pass).times(9),
                passes(from(A).protocol(47).payload([0; 8]), Pass).times(9),
            ],
        )],
    );
}

#[test]
fn neighbour_discovery_and_allowed_sources_have_no_budget() {
    let discovery = || from(A_V6).ttl(255).icmpv6(135, 0).payload([0; 16]);
    check(
        CONFIGURATION,
        [case(
            "when it is spent",
            [
                passes(ping(A), Pass).times(3),
                drops(ping(A), LimitProtocol),
                passes(discovery(), Pass).times(9),
                passes(ping("198.51.100.9"), Allow).times(9),
            ],
        )],
    );
}

#[test]
fn what_a_sources_own_limit_refuses_costs_the_host_nothing() {
    let configuration = r#"
        [limits]
        packets = "2/s"
        protocol = { icmp = "4/s" }
    "#;
    check(
        configuration,
        [case(
            "one source, then another",
            [
                passes(ping(A), Pass).times(2),
                drops(ping(A), LimitPackets).times(9),
                passes(ping(B), Pass).times(2),
                drops(ping(B), LimitProtocol),
            ],
        )],
    );
}

#[test]
fn in_dry_run_no_budget_drops() {
    check(
        &format!("dry_run = true\n{CONFIGURATION}"),
        [case(
            "spent",
            [
                passes(ping(A), Pass).times(3),
                would_drop(ping(A), LimitProtocol).times(2),
            ],
        )],
    );
}

#[test]
fn stray_segments_have_a_budget_which_known_sources_do_not_spend() {
    let reset = |source| ack(source, 443).flags(tcp::RST);
    let answer = || Packet::ipv4(HOST_V4, B).tcp(443, 40_000).flags(tcp::ACK);
    check(
        "[limits]\nnew_sources = \"off\"\nprotocol = { stray = \"3/s\" }",
        [case(
            "floods of ACKs and RSTs",
            [
                leaves(answer()),
                passes(ack(A, 443), Pass),
                passes(reset(A), Pass),
                passes(ack(A_V6, 443).flags(tcp::SYN | tcp::ACK), Pass),
                drops(ack(A, 443), LimitProtocol),
                drops(reset(A_V6), LimitProtocol),
                passes(syn(A, 443), Pass).times(9),
                passes(udp(A), Pass).times(9),
                passes(ack(B, 443), Pass).times(9),
                passes(reset(B), Pass).times(9),
            ],
        )],
    );
}
