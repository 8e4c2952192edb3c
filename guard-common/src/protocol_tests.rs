//! First bytes as real clients send them, and what must not be taken for them.

use std::vec::Vec;

use proptest::{collection, prelude::*, sample};

use super::*;

/// What the kernel makes of a payload: its first bytes, filled up with zeros.
fn of(payload: &[u8]) -> Protocol {
    let mut bytes = [0; HEAD_LEN];
    let len = payload.len().min(HEAD_LEN);
    bytes[..len].copy_from_slice(&payload[..len]);
    let (first, second) = (bytes.first_chunk(), bytes.last_chunk());
    let word = |half: Option<&[u8; 8]>| u64::from_ne_bytes(*half.expect("half of 16 bytes"));
    Protocol::of(Head::new([word(first), word(second)]))
}

/// Requests, by the protocol they are.
const KNOWN: [(&[u8], Protocol); 33] = [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Protocol::Http1),
    (b"HEAD /index HTTP/1.0\r\n\r\n", Protocol::Http1),
    (b"POST /v1/orders HTTP/1.1\r\n", Protocol::Http1),
    (b"PUT /v1/orders/7 HTTP/1.1\r\n", Protocol::Http1),
    (b"PATCH /v1/orders/7 HTTP/1.1\r\n", Protocol::Http1),
    (b"DELETE /v1/orders/7 HTTP/1.1\r\n", Protocol::Http1),
    (b"TRACE / HTTP/1.1\r\n", Protocol::Http1),
    (b"OPTIONS * HTTP/1.1\r\n", Protocol::Http1),
    (b"OPTIONS /v1 HTTP/1.1\r\n", Protocol::Http1),
    (b"CONNECT example.com:443 HTTP/1.1\r\n", Protocol::Http1),
    (b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n", Protocol::Http1),
    (b"GET http://example.com/ HTTP/1.1\r\n", Protocol::Http1),
    (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n", Protocol::Http1),
    (b"DELETE\t/v1/orders HTTP/1.1\r\n", Protocol::Http1),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Protocol::Http2),
    (b"*1\r\n$4\r\nPING\r\n", Protocol::Redis),
    (
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n",
        Protocol::Redis,
    ),
    (b"*12\r\n$4\r\nMSET\r\n", Protocol::Redis),
    (b"*2\r\n$10\r\nUNSUBSCRIB", Protocol::Redis),
    (
        b"\0\0\0\x29\0\x03\0\0user\0bob\0database\0",
        Protocol::Postgres,
    ),
    (
        b"\0\0\x01\x29\0\x03\0\0user\0bob\0options\0",
        Protocol::Postgres,
    ),
    (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Protocol::Ssh),
    (b"SSH-1.99-Cisco-1.25\n", Protocol::Ssh),
    (
        b"\x16\x03\0\0\x5f\x01\0\0\x5b\x03\0\x01\x02\x03\x04\x05",
        Protocol::Tls,
    ),
    (
        b"\x16\x03\x01\0\x5f\x01\0\0\x5b\x03\x01\x01\x02\x03\x04\x05",
        Protocol::Tls,
    ),
    (
        b"\x16\x03\x02\0\x5f\x01\0\0\x5b\x03\x02\x01\x02\x03\x04\x05",
        Protocol::Tls,
    ),
    (
        b"\x16\x03\x03\0\x5f\x01\0\0\x5b\x03\x03\x01\x02\x03\x04\x05",
        Protocol::Tls,
    ),
    // OpenSSL 3 and Chromium, TLS 1.3.
    (
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02",
        Protocol::Tls,
    ),
    (
        b"\x16\x03\x01\x07\x0a\x01\0\x07\x06\x03\x03\x9a\x1f\x40\x77\x02",
        Protocol::Tls,
    ),
    // The handshake does not fit its first record.
    (
        b"\x16\x03\x01\0\x40\x01\0\x06\xfc\x03\x03\x9a\x1f\x40\x77\x02",
        Protocol::Tls,
    ),
    (
        b"\x16\x03\x01\0\x04\x01\0\x06\xfc\x16\x03\x01\x06\xfc\x03\x03",
        Protocol::Tls,
    ),
    // As much as a client may send first of all.
    (b"\x16\x03\x01\0\x40\x01\0\x06", Protocol::Tls),
    (b"\0\0\0\x09\0\x03\0\0\0", Protocol::Postgres),
];

/// What is not decided on, and why not.
const UNDECIDED: [(&[u8], &str); 40] = [
    (b"", "nothing"),
    (b"G", "one letter"),
    (b"GET / H", "seven bytes"),
    (b"GET / HTTP", "a request line that is not all there"),
    (b"get / HTTP/1.1\r\n\r\n", "methods are capital letters"),
    (b"GETS / HTTP/1.1\r\n\r\n", "no method"),
    (b"PROPFIND / HTTP/1.1\r\n", "WebDAV, not one of the nine"),
    (b"POSTAL code 12345", "a word that starts like a method"),
    (b"GET  / HTTP/1.1\r\n\r\n", "two blanks"),
    (b"GET\r\n/ HTTP/1.1\r\n\r\n", "a line break for a blank"),
    (b"GET / \xff\xfeTTP/1.1\r\n", "bytes above ASCII"),
    (b"GET /\0\0\0\0\0\0\0\0\0\0\0", "bytes below the tab"),
    (
        b"POST /v1/\x01\x02\x03\x04\x05\x06\x07",
        "binary behind a method",
    ),
    (b"PRI * HTTP/1.1\r\n\r\n", "no preface"),
    (b"PRI * HTTP/2.0", "a preface cut short"),
    (b"HTTP/1.1 200 OK\r\n", "a response"),
    (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY protocol 1: what follows counts",
    ),
    (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "PROXY protocol 2"),
    (b"PING\r\n\r\n\r\n\r\n\r\n", "Redis as one types it"),
    (b"*A\r\n$4\r\nPING\r\n", "no number of arguments"),
    (b"*1\r\n$-1\r\nPING\r\n", "no length of an argument"),
    (b"*123\r\n$4\r\nMSET\r\n", "three digits"),
    (b"*1\n$4\nPING\n\n\n\n\n\n", "line feeds alone"),
    (b"\0\0\0\x08\x04\xd2\x16\x2f", "PostgreSQL asks for TLS"),
    (b"\0\0\0\x08\x04\xd2\x16\x30", "PostgreSQL asks for GSS"),
    (
        b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x01\0\0\0\x02",
        "PostgreSQL cancels",
    ),
    (b"\0\0\0\x08\0\x03\0\0", "a start-up message without a user"),
    (
        b"\0\x01\0\x29\0\x03\0\0user\0bob\0",
        "a start-up message too long",
    ),
    (
        b"\0\0\0\x29\0\x02\0\0user\0bob\0",
        "PostgreSQL's protocol 2",
    ),
    (
        b"\x17\x03\x03\x01\0\x9a\x1f\x40\x77\x02\0\0\0\0\0\0",
        "ciphertext",
    ),
    (
        b"\x14\x03\x03\0\x01\x01\x17\x03\x03\x01\0\0\0\0\0\0",
        "a change of cipher",
    ),
    (b"\x15\x03\x01\0\x02\x02\x28\0", "an alert"),
    (
        b"\x16\x03\x03\0\x5f\x02\0\0\x5b\x03\x03\x01\x02\x03\x04\x05",
        "a ServerHello",
    ),
    (
        b"\x16\x03\x04\0\x5f\x01\0\0\x5b\x03\x04\x01\x02\x03\x04\x05",
        "no record version",
    ),
    (
        b"\x16\x03\x01\x40\0\x01\x01\0\0\x03\x03\x9a\x1f\x40\x77\x02",
        "a hello of more than 64 KiB",
    ),
    (b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\x5f\x01\0\0", "DTLS"),
    (b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10\0\0\x2f\0\0", "SSLv2"),
    (
        b"SSH-1.5-OpenSSH_3.4p1\n",
        "SSH 1 is not what it says today",
    ),
    (b"EHLO example.com\r\n", "SMTP may still start TLS"),
    (b"\x05\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "SOCKS"),
];

#[test]
fn real_requests_are_known() {
    for (payload, protocol) in KNOWN {
        assert_eq!(of(payload), protocol, "{}", payload.escape_ascii());
    }
}

#[test]
fn nothing_else_is_decided_on() {
    for (payload, what) in UNDECIDED {
        assert_eq!(
            of(payload),
            Protocol::Undecided,
            "{what}: {}",
            payload.escape_ascii()
        );
    }
}

#[test]
fn words_and_numbers_agree() {
    for (position, protocol) in Protocol::ALL.iter().enumerate() {
        assert_eq!(*protocol as usize, position);
        assert_eq!(Protocol::from_number(position as u8), Some(*protocol));
        assert!(
            protocol
                .name()
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
        assert!(
            Protocol::ALL[..position]
                .iter()
                .all(|other| other.name() != protocol.name())
        );
    }
    assert_eq!(Protocol::from_number(Protocol::COUNT as u8), None);
}

#[test]
fn plaintext_is_what_anybody_can_read() {
    use Protocol::{Http1, Http2, Postgres, Redis};
    let plaintext: Vec<Protocol> = Protocol::ALL
        .into_iter()
        .filter(|protocol| protocol.is_plaintext())
        .collect();
    assert_eq!(plaintext, [Http1, Http2, Redis, Postgres]);
}

/// Fewer than [`HEAD_MIN`] bytes are not shown to the matcher. Of what takes its signature from the
/// whole of them, it would not say anything either; the other two are why the rule is there.
#[test]
fn too_few_bytes_say_nothing() {
    for (payload, protocol) in KNOWN {
        if matches!(protocol, Protocol::Redis | Protocol::Tls) {
            continue;
        }
        let least = if protocol == Protocol::Postgres {
            HEAD_MIN - 2
        } else {
            HEAD_MIN
        };
        for len in 0..least {
            assert_eq!(
                of(&payload[..len]),
                Protocol::Undecided,
                "{len} of {protocol:?}"
            );
        }
    }
}

#[test]
fn a_request_line_in_pieces_is_undecided_until_16_bytes_are_there() {
    let request = b"GET / HTTP/1.1\r\n\r\n";
    for len in 0..HEAD_LEN {
        assert_eq!(of(&request[..len]), Protocol::Undecided, "{len} bytes");
    }
    assert_eq!(of(&request[..HEAD_LEN]), Protocol::Http1);
}

/// The requests that fill a head.
fn whole_heads() -> Vec<(&'static [u8], Protocol)> {
    let known = KNOWN.into_iter();
    known
        .filter(|(payload, _)| payload.len() >= HEAD_LEN)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn noise_is_never_plaintext(payload: [u8; HEAD_LEN]) {
        prop_assert!(!of(&payload).is_plaintext());
    }

    #[test]
    fn ciphertext_is_never_plaintext(kind in 0x14..=0x17_u8, rest in any::<[u8; 14]>()) {
        let payload = [&[kind, 3], &rest[..]].concat();
        prop_assert!(!of(&payload).is_plaintext());
    }

    #[test]
    fn a_first_letter_is_never_enough(
        first in sample::select(b"CDGHOPST*\0\x16".to_vec()),
        rest in any::<[u8; 15]>(),
    ) {
        let payload = [&[first], &rest[..]].concat();
        prop_assert!(!of(&payload).is_plaintext());
    }

    #[test]
    fn what_follows_the_head_does_not_matter(
        known in sample::select(whole_heads()),
        rest in collection::vec(any::<u8>(), 0..40),
    ) {
        let (payload, protocol) = known;
        prop_assert_eq!(of(&[&payload[..HEAD_LEN], &rest].concat()), protocol);
    }
}
