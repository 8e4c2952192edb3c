//! What is refused, and what nobody can forge or hide.

use std::{collections::BTreeMap, time::Duration};

use guard::kernel::Share;
use lab::frames::tcp;

use super::{FLAGS, SERVICES, Stage, payloads::*};
use crate::{
    conversation::{
        Does::{self, C, Close, S, Wait},
        Opens, Way,
    },
    rig::Counts,
};

/// Off the path, an attacker knows neither number: he has to guess both.
#[test]
fn forged_segments_cut_no_connection() {
    const DATA: u8 = tcp::ACK | tcp::PSH;
    const RESETS: u16 = 8444;
    let mut stage = Stage::new(SERVICES);
    let forged: [(&str, u8, [u32; 2], &[u8]); 6] = [
        ("a request, wrong acknowledgement", DATA, [0, 1 << 24], GET),
        ("a request, wrong sequence", DATA, [1 << 20, 0], GET),
        ("a reset, wrong sequence", tcp::RST, [1, 0], b""),
        ("a SYN", tcp::SYN, [77, 0], b""),
        ("a SYN with a request", tcp::SYN, [77, 0], GET),
        ("a FIN far ahead", tcp::FIN | tcp::ACK, [1 << 22, 0], b""),
    ];
    for (name, flags, [seq, ack], payload) in forged {
        let mut talk = stage.conversation(Way::Whole, false, RESETS);
        let before = talk.rig.counts();
        talk.shake(b"");
        let [client, server] = talk.next;
        let numbers = [client.wrapping_add(seq), server.wrapping_add(ack)];
        talk.send(0, flags, numbers, payload);
        talk.segment(0, DATA, CLIENT_HELLO, 0);
        talk.send(0, flags, numbers, payload);
        talk.next[0] = client.wrapping_add(CLIENT_HELLO.len() as u32);
        talk.segment(1, DATA, SERVER_HELLO, 0);
        talk.next[1] = server.wrapping_add(SERVER_HELLO.len() as u32);
        talk.send(0, flags, numbers, payload);
        // And once more, with a SYN behind it: whatever was forgotten would be begun anew.
        talk.send(0, tcp::SYN, [client.wrapping_add(1 << 30), 0], b"");
        talk.segment(0, DATA, b"\x17\x03\x03\0\x01x", 0);
        talk.segment(1, DATA, b"\x17\x03\x03\0\x01x", 0);
        talk.pass(Duration::from_secs(90));
        talk.rig.kernel.sweep(Share::All).expect("a sweep");
        let of = |verdict: &str| format!("connections resets/{verdict}/tls");
        let counts = talk.rig.counts();
        let count = |name: &str| {
            let count = |counts: &Counts| counts.get(name).copied().unwrap_or(0);
            count(&counts) - count(&before)
        };
        assert_eq!(count(&of("encrypted")), 1, "{name}: {counts:?}");
        let all = |counts: &Counts| -> u64 {
            let of_connections = counts
                .iter()
                .filter(|(name, _)| name.starts_with("connections"));
            of_connections.map(|(_, count)| count).sum()
        };
        assert_eq!(all(&counts) - all(&before), 1, "{name}: {counts:?}");
        assert_eq!(count("reset/plaintext packets"), 0, "{name}: {counts:?}");
    }
}

/// A segment: flags, numbers behind those of the handshake, and a payload.
type Sent = (u8, [u32; 2], &'static [u8]);

/// What a client may do to have its request in clear taken for something else.
#[test]
fn no_trick_gets_a_request_past_a_service_that_drops_it() {
    const DATA: u8 = tcp::ACK | tcp::PSH;
    let mut stage = Stage::new(SERVICES);
    let tricks: [(&str, &[Sent]); 6] = [
        (
            "a second SYN",
            &[
                (tcp::SYN, [1 << 30, 0], b""),
                (tcp::ACK, [0, 0], b""),
                (DATA, [0, 0], GET.split_at(1).0),
                (DATA, [1, 0], GET.split_at(1).1),
            ],
        ),
        (
            "a hello that the stack does not take, then the request from its second byte on",
            &[
                (DATA, [0, 0], CLIENT_HELLO),
                (DATA, [1, 0], GET.split_at(1).1),
                (DATA, [0, 0], GET.split_at(1).0),
            ],
        ),
        (
            "a reset that the stack does not take, and a SYN",
            &[
                (DATA, [0, 0], GET),
                (tcp::RST, [GET.len() as u32, 0], b""),
                (tcp::SYN, [1 << 30, 0], b""),
                (DATA, [0, 0], GET.split_at(1).0),
                (DATA, [1, 0], GET.split_at(1).1),
            ],
        ),
        ("a tunnel first", &[(DATA, [0, 0], CONNECT)]),
        (
            "a line break first",
            &[(DATA, [0, 0], b"\r\nGET / HTTP/1.1\r\n\r\n")],
        ),
        (
            "many blanks",
            &[(DATA, [0, 0], b"GET      / HTTP/1.1\r\n\r\n")],
        ),
    ];
    for (name, sent) in tricks {
        let mut talk = stage.conversation(Way::Whole, false, 8443);
        talk.call(b"");
        if name != "a second SYN" {
            talk.segment(0, tcp::ACK, b"", 0);
        }
        let [client, server] = talk.next;
        for (flags, [seq, ack], payload) in sent {
            let numbers = [client.wrapping_add(*seq), server.wrapping_add(*ack)];
            talk.send(0, *flags, numbers, payload);
        }
        assert_eq!(talk.passed.last(), Some(&false), "{name}");
    }
}

/// Who is on the path and sends a request in clear to a service that resets is reset at once; what
/// comes after goes the same way.
#[test]
fn a_request_in_clear_is_reset_and_so_is_what_follows() {
    let mut stage = Stage::new(SERVICES);
    for way in [Way::Whole, Way::Bytes, Way::Twice, Way::Ipv6, Way::Vlan] {
        let talk = stage.conversation(way, false, 8444);
        let (counts, _) = talk.run(Opens::Shakes, &[C(GET), C(b"more of it")]);
        let name = "connections resets/rejected/http1".to_owned();
        assert_eq!(counts, BTreeMap::from([(name, 1)]), "{way:?}");
    }
}

#[test]
fn strict_services_refuse_what_matches_nothing() {
    let mut stage = Stage::new(SERVICES);
    let unknown = b"\x01\x02\x03\x04 what is this, and who asks";
    for (port, text, passes) in [
        (8445, &unknown[..], false),
        (8445, CLIENT_HELLO, true),
        // Nothing that is known starts like that.
        (8445, &unknown[..2], false),
        (8445, &CLIENT_HELLO[..2], true),
        (8443, &unknown[..], true),
        (8443, GET, false),
    ] {
        let mut talk = stage.conversation(Way::Whole, false, port);
        talk.call(b"");
        talk.segment(0, tcp::ACK, text, 0);
        let last = talk.passed.last().copied();
        assert_eq!(last, Some(passes), "{port}: {}", text.escape_ascii());
    }
}

/// Two copies of the first bytes that differ: the server took one of them.
#[test]
fn a_contradiction_is_never_encrypted_and_plaintext_in_it_is_refused() {
    let mut stage = Stage::new(SERVICES);
    for (first, second, refused) in [
        (CLIENT_HELLO, GET, [false, true]),
        (GET, CLIENT_HELLO, [true, true]),
    ] {
        let mut talk = stage.conversation(Way::Whole, false, 8443);
        let before = talk.rig.counts();
        talk.call(b"");
        talk.passed.clear();
        talk.segment(0, tcp::ACK, first, 0);
        talk.segment(0, tcp::ACK, second, 0);
        assert_eq!(talk.passed, refused.map(|refused| !refused));
        talk.next[0] = talk.next[0].wrapping_add(first.len() as u32);
        talk.segment(1, tcp::ACK, SERVER_HELLO, 0);
        let after = talk.rig.counts();
        let encrypted = "connections drops/encrypted/tls";
        assert_eq!(after.get(encrypted), before.get(encrypted), "{after:?}");
    }
}

/// Who is quiet for so long that it counts may yet go on, and counts once more.
#[test]
fn a_long_silence_hides_nothing() {
    let mut stage = Stage::new(SERVICES);
    let silences: [(&[Does], [&str; 2]); 3] = [
        (
            &[Wait(75), C(GET), S(OK), Close],
            ["empty/unknown", "plaintext_served/http1"],
        ),
        (
            &[C(GET), Wait(12), S(OK), Close],
            ["plaintext_attempt/http1", "plaintext_served/http1"],
        ),
        (
            &[C(&GET[..2]), Wait(75), C(&GET[2..]), S(OK), Close],
            ["unknown/unknown", "plaintext_served/http1"],
        ),
    ];
    for (does, words) in silences {
        let conversation = stage.conversation(Way::Whole, false, FLAGS);
        let (counts, _) = conversation.run(Opens::Shakes, does);
        let expected = words.map(|words| (format!("connections flags/{words}"), 1));
        assert_eq!(counts, BTreeMap::from(expected), "{does:?}");
    }
    let refused = stage.conversation(Way::Whole, false, 8443);
    let does = [C(&GET[..2]), Wait(75), C(&GET[2..])];
    let (_, passed) = refused.run(Opens::Shakes, &does);
    assert_eq!(passed, [true, true, true, false]);
}
