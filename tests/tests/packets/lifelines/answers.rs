//! Answers of the host's resolvers.

use std::time::Duration;

use guard_common::reason::Reason::{Deny, LimitPackets, LimitProtocol, Pass, ProtectSelf, Spoofed};
use lab::frames::{Packet, tcp};

use super::{DENIED, RESOLVER, RESOLVER_V6, STRANGER, check, check_owned, to};
use crate::case::{Step, case, drops, from, leaves, passes, would_drop};

const DNS: u16 = 53;
/// Ports that the kernel gives to those who call.
const PORT: u16 = 40_000;
const OTHER_PORT: u16 = 40_001;

fn question(resolver: &str) -> Packet {
    to(resolver).udp(PORT, DNS).payload("question")
}

fn answer(resolver: &str) -> Packet {
    from(resolver).udp(DNS, PORT).payload("answer")
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A segment that the host sends the resolver.
fn calls(flags: u8) -> Step {
    leaves(to(RESOLVER).tcp(PORT, DNS).flags(flags))
}

/// A segment that comes from the resolver.
fn segment(flags: u8) -> Packet {
    from(RESOLVER).tcp(DNS, PORT).flags(flags)
}

#[test]
fn an_answer_passes_where_the_host_has_asked() {
    let of = |resolver: &'static str| {
        [
            case("nobody asked", [drops(answer(resolver), Deny)]),
            case(
                "asked",
                [
                    leaves(question(resolver)),
                    passes(answer(resolver), ProtectSelf).times(2),
                    passes(answer(resolver), ProtectSelf).in_pieces(),
                    passes(answer(resolver).vlan(7), ProtectSelf),
                ],
            ),
            case(
                "for ten seconds, and no longer",
                [
                    leaves(question(resolver)),
                    passes(answer(resolver), ProtectSelf).after(seconds(9)),
                    drops(answer(resolver), Deny).after(seconds(2)),
                ],
            ),
            case(
                "asked again",
                [
                    leaves(question(resolver)),
                    leaves(question(resolver)).after(seconds(8)),
                    passes(answer(resolver), ProtectSelf).after(seconds(8)),
                ],
            ),
            case(
                "asked by another port",
                [
                    leaves(to(resolver).udp(OTHER_PORT, DNS)),
                    drops(answer(resolver), Deny),
                ],
            ),
            case(
                "from another port",
                [
                    leaves(question(resolver)),
                    drops(from(resolver).udp(DNS + 1, PORT), Deny),
                ],
            ),
            case(
                "as TCP",
                [
                    leaves(question(resolver)),
                    drops(from(resolver).tcp(DNS, PORT), Deny),
                ],
            ),
        ]
    };
    check(DENIED, [RESOLVER, RESOLVER_V6].into_iter().flat_map(of));
}

#[test]
fn nothing_else_passes_as_an_answer() {
    check(
        DENIED,
        [
            case(
                "of somebody who is no resolver",
                [leaves(question(STRANGER)), drops(answer(STRANGER), Deny)],
            ),
            case(
                "of another resolver",
                [leaves(question(RESOLVER_V6)), drops(answer(RESOLVER), Deny)],
            ),
            case(
                "a part of one",
                [
                    leaves(question(RESOLVER)),
                    drops(answer(RESOLVER).fragment(1, 0, true), Deny),
                    drops(answer(RESOLVER).fragment(1, 2, false), Deny),
                ],
            ),
            case(
                "ICMP",
                [
                    leaves(question(RESOLVER)),
                    drops(from(RESOLVER).icmp(8, 0), Deny),
                ],
            ),
            case(
                "where a server of the host has answered what came from there",
                [
                    leaves(to(RESOLVER).udp(5_000, DNS)),
                    drops(from(RESOLVER).udp(DNS, 5_000), Deny),
                ],
            ),
        ],
    );
}

#[test]
fn answers_over_tcp_pass_where_the_host_has_called() {
    check(
        DENIED,
        [
            case(
                "a connection",
                [
                    calls(tcp::SYN),
                    passes(segment(tcp::SYN | tcp::ACK), ProtectSelf),
                    calls(tcp::ACK).after(seconds(8)),
                    passes(segment(tcp::ACK).payload("answer"), ProtectSelf).after(seconds(8)),
                    drops(answer(RESOLVER), Deny),
                ],
            ),
            case(
                "what calls",
                [calls(tcp::SYN), drops(segment(tcp::SYN), Deny)],
            ),
            case(
                "where the host has only refused",
                [
                    calls(tcp::RST | tcp::ACK),
                    drops(segment(tcp::SYN | tcp::ACK), Deny),
                ],
            ),
            case(
                "where the host has only answered a call",
                [calls(tcp::SYN | tcp::ACK), drops(segment(tcp::ACK), Deny)],
            ),
            case("nobody called", [drops(segment(tcp::ACK), Deny)]),
        ],
    );
}

#[test]
fn answers_have_a_budget_of_a_thousand_a_second() {
    check(
        DENIED,
        [case(
            "all resolvers together",
            [
                leaves(question(RESOLVER)),
                leaves(question(RESOLVER_V6)),
                passes(answer(RESOLVER), ProtectSelf).times(600),
                passes(answer(RESOLVER_V6), ProtectSelf).times(400),
                drops(answer(RESOLVER), Deny).times(30).suppressed(10),
                drops(answer(RESOLVER_V6), Deny).suppressed(1),
                passes(answer(RESOLVER), ProtectSelf)
                    .times(1000)
                    .after(Duration::from_millis(1100)),
                drops(answer(RESOLVER), Deny),
            ],
        )],
    );
}

#[test]
fn answers_pass_the_limits_and_spend_nothing_that_is_not_refused() {
    let limits = "[limits]\nnew_sources = \"off\"\npackets = \"1/s\"";
    let within = |reason| {
        [case(
            "asked and not",
            [
                leaves(question(RESOLVER)),
                passes(answer(RESOLVER), Pass),
                passes(answer(RESOLVER), ProtectSelf).times(1000),
                drops(answer(RESOLVER), reason),
            ],
        )]
    };
    check(limits, within(LimitPackets));
    let udp = "[limits]\nnew_sources = \"off\"\nprotocol = { udp = \"1/s\" }";
    check(udp, within(LimitProtocol));
}

#[test]
fn in_dry_run_they_count_alike() {
    let dry_run = format!("dry_run = true\n{DENIED}");
    check(
        &dry_run,
        [case(
            "asked and not",
            [
                would_drop(answer(RESOLVER), Deny),
                leaves(question(RESOLVER)),
                passes(answer(RESOLVER), ProtectSelf).times(1000),
                would_drop(answer(RESOLVER), Deny),
            ],
        )],
    );
}

#[test]
fn switched_off_none_passes() {
    let off = format!("protect_self = false\n{DENIED}");
    check(
        &off,
        [case(
            "asked",
            [leaves(question(RESOLVER)), drops(answer(RESOLVER), Deny)],
        )],
    );
}

#[test]
fn whose_address_is_the_hosts_own_is_spoofed_whatever_was_asked() {
    check_owned(
        "",
        [case(
            "asked",
            [leaves(question(RESOLVER)), drops(answer(RESOLVER), Spoofed)],
        )],
    );
}
