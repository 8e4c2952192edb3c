//! The SSH connections of administrators.

use std::time::Duration;

use guard_common::reason::{
    Reason::{
        Deny, LimitAggregate, LimitBytes, LimitPackets, LimitProtocol, LimitService, NewSources,
        Pass, Plaintext, ProtectSelf, ServiceAcl, Spoofed, TcpFlags, VlanTags,
    },
    Verdict,
};
use lab::frames::{Packet, tcp};

use super::{
    CLIENT, CLIENT_PORT, CLIENT_V6, DENIED, SSH, STRANGER, check, check_owned, tell, to, told,
};
use crate::{
    case::{BETWEEN_CASES, Step, case, check_on, drops, from, leaves, passes, would_drop},
    rig::packet_names,
};

/// What the host waits for in the connection.
const AWAITED: u32 = 0xffff_fff0;
/// How far ahead of that a segment may be, and how far behind.
const AHEAD: u32 = 1 << 20;
const BEHIND: u32 = 1 << 16;

/// The host acknowledges what came so far.
fn acknowledges(client: &str) -> Step {
    leaves(to(client).tcp(SSH, CLIENT_PORT).sequence(1, AWAITED))
}

fn at(client: &str, sequence: u32) -> Packet {
    let segment = from(client).tcp(CLIENT_PORT, SSH);
    segment.sequence(sequence, 2).payload("keys")
}

fn typed(client: &str) -> Packet {
    at(client, AWAITED)
}

#[test]
fn the_connection_of_an_administrator_goes_on_and_nothing_else_comes_in() {
    let of = |client: &'static str| {
        [case(
            client,
            [
                acknowledges(client),
                passes(typed(client), ProtectSelf).times(3),
                passes(typed(client), ProtectSelf).in_pieces(),
                passes(typed(client).flags(tcp::ACK | tcp::FIN), ProtectSelf),
                passes(at(client, AWAITED.wrapping_add(AHEAD - 1)), ProtectSelf),
                passes(at(client, AWAITED.wrapping_sub(BEHIND)), ProtectSelf),
                // Far from the sequence.
                drops(at(client, AWAITED.wrapping_add(AHEAD)), Deny),
                drops(at(client, AWAITED.wrapping_sub(BEHIND + 1)), Deny),
                drops(at(client, AWAITED.wrapping_add(1 << 31)), Deny),
                // By another port, and to another one.
                drops(
                    from(client).tcp(CLIENT_PORT + 1, SSH).sequence(AWAITED, 2),
                    Deny,
                ),
                drops(
                    from(client).tcp(CLIENT_PORT, SSH + 1).sequence(AWAITED, 2),
                    Deny,
                ),
                // From elsewhere.
                drops(typed(STRANGER), Deny),
                // What no connection that is open sends, or what breaks one off.
                drops(typed(client).flags(tcp::SYN), Deny),
                drops(typed(client).flags(tcp::RST | tcp::ACK), Deny),
                drops(from(client).udp(CLIENT_PORT, SSH), Deny),
            ],
        )]
    };
    check(DENIED, [CLIENT, CLIENT_V6].into_iter().flat_map(of));
}

#[test]
fn until_the_host_has_said_something_the_ends_are_all_there_is() {
    check(
        DENIED,
        [case(
            "an agent that has just started",
            [
                passes(at(CLIENT, 7), ProtectSelf),
                drops(from(CLIENT).tcp(CLIENT_PORT + 1, SSH), Deny),
                drops(from(CLIENT).tcp(CLIENT_PORT, SSH).flags(tcp::RST), Deny),
                // The stack answers to what it did not expect.
                acknowledges(CLIENT),
                drops(at(CLIENT, 7u32.wrapping_add(1 << 30)), Deny),
                passes(typed(CLIENT), ProtectSelf),
            ],
        )],
    );
}

#[test]
fn what_the_host_says_elsewhere_says_nothing_of_the_connection() {
    let other = |port| leaves(to(CLIENT).tcp(port, CLIENT_PORT).sequence(1, 5));
    check(
        DENIED,
        [case(
            "other connections",
            [
                acknowledges(CLIENT),
                other(SSH + 1),
                leaves(to(STRANGER).tcp(SSH, CLIENT_PORT).sequence(1, 5)),
                // Neither does what it answers to a call, or to nobody.
                leaves(
                    to(CLIENT)
                        .tcp(SSH, CLIENT_PORT)
                        .sequence(1, 5)
                        .flags(tcp::RST | tcp::ACK),
                ),
                leaves(
                    to(CLIENT)
                        .tcp(SSH, CLIENT_PORT)
                        .sequence(1, 5)
                        .flags(tcp::SYN | tcp::ACK),
                ),
                passes(typed(CLIENT), ProtectSelf),
                drops(at(CLIENT, 1 << 30), Deny),
            ],
        )],
    );
}

#[test]
fn a_connection_that_is_gone_passes_no_more() {
    let mut rig = told(DENIED);
    let gone = rig.kernel.keep_lifelines(&[], [SSH], &[]);
    gone.expect("telling that it is gone");
    check_on(
        rig,
        BETWEEN_CASES,
        [case(
            "gone",
            [acknowledges(CLIENT), drops(typed(CLIENT), Deny)],
        )],
    );
}

#[test]
fn what_is_told_again_keeps_what_was_learned() {
    let mut rig = told(DENIED);
    let ack = to(CLIENT).tcp(SSH, CLIENT_PORT).sequence(1, AWAITED);
    rig.sends(&ack.build());
    check_on(
        tell(rig),
        BETWEEN_CASES,
        [case(
            "told again",
            [
                drops(at(CLIENT, AWAITED.wrapping_add(1 << 30)), Deny),
                passes(typed(CLIENT), ProtectSelf),
            ],
        )],
    );
}

#[test]
fn administrators_have_a_budget_of_two_thousand_a_second() {
    check(
        DENIED,
        [case(
            "all together",
            [
                acknowledges(CLIENT),
                acknowledges(CLIENT_V6),
                passes(typed(CLIENT), ProtectSelf).times(1500),
                passes(typed(CLIENT_V6), ProtectSelf).times(500),
                drops(typed(CLIENT), Deny),
                drops(typed(CLIENT_V6), Deny),
                // What comes in their name spends nothing.
                passes(typed(CLIENT), ProtectSelf)
                    .times(1000)
                    .after(Duration::from_millis(1100)),
                drops(at(CLIENT, 1 << 30), Deny).times(30).suppressed(10),
                passes(typed(CLIENT), ProtectSelf).times(1000),
                drops(typed(CLIENT), Deny).suppressed(1),
            ],
        )],
    );
}

#[test]
fn the_connection_goes_before_every_list_and_limit() {
    let service = |keys: &str| {
        format!(
            "[limits]\nnew_sources = \"off\"\n\
             [[service]]\nname = \"ssh\"\nports = [22]\nencryption = \"off\"\n{keys}"
        )
    };
    let limits = |keys: &str| format!("[limits]\nnew_sources = \"off\"\n{keys}");
    // With how many segments are not refused before.
    for (configuration, free, reason) in [
        (DENIED.to_owned(), 0, Deny),
        (service("allow = [\"192.0.2.0/24\"]"), 0, ServiceAcl),
        (service("limits = { packets = \"2/s\" }"), 2, LimitService),
        (limits("packets = \"1/s\""), 1, LimitPackets),
        // Of 1,500 bytes each, where 65,536 may come at once.
        (limits("bytes = \"1KiB/s\""), 43, LimitBytes),
        (
            limits("aggregate = { packets = \"3/s\" }"),
            3,
            LimitAggregate,
        ),
        (limits("protocol = { stray = \"4/s\" }"), 4, LimitProtocol),
        ("[limits]\nnew_sources = \"2/s\"".to_owned(), 2, NewSources),
    ] {
        // The host says nothing, or the source would be known, and neither stray nor new.
        let of = |port| from(CLIENT).tcp(port, SSH).payload(vec![b'x'; 1446]);
        check(
            &configuration,
            [case(
                format!("{reason:?}"),
                [
                    passes(of(CLIENT_PORT), Pass).times(free),
                    passes(of(CLIENT_PORT), ProtectSelf).times(100),
                    drops(of(CLIENT_PORT + 1), reason),
                ],
            )],
        );
    }
}

#[test]
fn the_connection_goes_before_the_plaintext_check() {
    let mut rig = told(
        "[limits]\nnew_sources = \"off\"\n\
         [[service]]\nname = \"ssh\"\nports = [22]\non_plaintext = \"drop\"",
    );
    let mut asks_in_clear = |port| {
        let segment = |flags, sequence| {
            let segment = from(CLIENT).tcp(port, SSH).flags(flags);
            segment.sequence(sequence, 500)
        };
        let answer = to(CLIENT).tcp(SSH, port).flags(tcp::SYN | tcp::ACK);
        assert!(rig.passes(&segment(tcp::SYN, 99).build()));
        rig.sends(&answer.sequence(499, 100).build());
        let request = segment(tcp::ACK, 100).payload("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        rig.observe(|rig| rig.passes(&request.build()))
    };
    let [spared, _] = packet_names(Verdict::Pass, ProtectSelf);
    let [dropped, _] = packet_names(Verdict::Drop, Plaintext);
    let (passes, counts) = asks_in_clear(CLIENT_PORT);
    assert!(passes && counts[&spared] == 1, "{counts:?}");
    let (passes, counts) = asks_in_clear(CLIENT_PORT + 1);
    assert!(!passes && counts[&dropped] == 1, "{counts:?}");
}

#[test]
fn what_no_connection_sends_is_refused_in_this_one_too() {
    check(
        DENIED,
        [case(
            "unsound",
            [
                acknowledges(CLIENT),
                drops(typed(CLIENT).flags(tcp::SYN | tcp::FIN), TcpFlags),
                drops(typed(CLIENT).flags(0), TcpFlags),
                drops(typed(CLIENT).vlan(1).vlan(2).vlan(3), VlanTags),
                drops(typed(CLIENT).fragment(1, 0, true), Deny),
            ],
        )],
    );
    check_owned(
        "",
        [case(
            "with an address of the host",
            [acknowledges(CLIENT), drops(typed(CLIENT), Spoofed)],
        )],
    );
}

#[test]
fn in_dry_run_it_counts_alike() {
    check(
        &format!("dry_run = true\n{DENIED}"),
        [case(
            "both",
            [
                acknowledges(CLIENT),
                passes(typed(CLIENT), ProtectSelf),
                would_drop(at(CLIENT, 1 << 30), Deny),
            ],
        )],
    );
}

#[test]
fn switched_off_it_is_refused() {
    check(
        &format!("protect_self = false\n{DENIED}"),
        [case(
            "told all the same",
            [acknowledges(CLIENT), drops(typed(CLIENT), Deny)],
        )],
    );
}
