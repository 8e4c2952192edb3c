//! First bytes as real clients and servers send them, and what must not be taken for them.

use std::vec::Vec;

use proptest::{collection, prelude::*, sample};

use super::*;
use crate::connection::head::Head;

fn start(payload: &[u8]) -> Start {
    head(payload).start()
}

fn head(payload: &[u8]) -> Head {
    let mut bytes = [0; 24];
    let len = payload.len().min(24);
    bytes[..len].copy_from_slice(&payload[..len]);
    let words =
        [0, 8, 16].map(|at| u64::from_be_bytes(*bytes[at..].first_chunk().expect("8 bytes")));
    let mut head = Head::EMPTY;
    if len != 0 {
        head.put(0, words, len as u32);
    }
    head
}

fn of(payload: &[u8]) -> Speech {
    client(head(payload), Protocol::Unknown)
}

fn answer(payload: &[u8], to: Speech) -> Speech {
    server(&start(payload), to.protocol(), to)
}

/// Requests, and what they are.
const KNOWN: [(&[u8], Speech); 33] = [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Speech::Http1),
    (b"HEAD /index HTTP/1.0\r\n\r\n", Speech::Http1),
    (b"POST /v1/orders HTTP/1.1\r\n", Speech::Http1),
    (b"PUT /v1/orders/7 HTTP/1.1\r\n", Speech::Http1),
    (b"PATCH /v1/orders/7 HTTP/1.1\r\n", Speech::Http1),
    (b"DELETE /v1/orders/7 HTTP/1.1\r\n", Speech::Http1),
    (b"TRACE / HTTP/1.1\r\n", Speech::Http1),
    (b"OPTIONS * HTTP/1.1\r\n", Speech::Http1),
    (b"OPTIONS /v1 HTTP/1.1\r\n", Speech::Http1),
    (b"CONNECT example.com:443 HTTP/1.1\r\n", Speech::Connect),
    (b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\n", Speech::Connect),
    (b"GET http://example.com/ HTTP/1.1\r\n", Speech::Http1),
    (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n", Speech::Http1),
    (b"DELETE\t/v1/orders HTTP/1.1\r\n", Speech::Http1),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Speech::Http2),
    (b"*1\r\n$4\r\nPING\r\n", Speech::Redis),
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n", Speech::Redis),
    (b"*12\r\n$4\r\nMSET\r\n", Speech::Redis),
    (b"*2\r\n$10\r\nUNSUBSCRIB", Speech::Redis),
    (
        b"\0\0\0\x29\0\x03\0\0user\0bob\0database\0",
        Speech::Postgres,
    ),
    (
        b"\0\0\x01\x29\0\x03\0\0user\0bob\0options\0",
        Speech::Postgres,
    ),
    (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Speech::Ssh),
    (b"SSH-1.99-Cisco-1.25\n", Speech::Ssh),
    (
        b"\x16\x03\0\0\x5f\x01\0\0\x5b\x03\0\x01\x02\x03\x04\x05",
        Speech::Tls,
    ),
    (
        b"\x16\x03\x01\0\x5f\x01\0\0\x5b\x03\x01\x01\x02\x03\x04\x05",
        Speech::Tls,
    ),
    (
        b"\x16\x03\x02\0\x5f\x01\0\0\x5b\x03\x02\x01\x02\x03\x04\x05",
        Speech::Tls,
    ),
    (
        b"\x16\x03\x03\0\x5f\x01\0\0\x5b\x03\x03\x01\x02\x03\x04\x05",
        Speech::Tls,
    ),
    // OpenSSL 3 and Chromium, TLS 1.3.
    (
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02",
        Speech::Tls,
    ),
    (
        b"\x16\x03\x01\x07\x0a\x01\0\x07\x06\x03\x03\x9a\x1f\x40\x77\x02",
        Speech::Tls,
    ),
    // The handshake does not fit its first record.
    (
        b"\x16\x03\x01\0\x40\x01\0\x06\xfc\x03\x03\x9a\x1f\x40\x77\x02",
        Speech::Tls,
    ),
    (
        b"\x16\x03\x01\0\x04\x01\0\x06\xfc\x16\x03\x01\x06\xfc\x03\x03",
        Speech::Tls,
    ),
    // As much as a client may send first of all.
    (b"\x16\x03\x01\0\x40\x01\0\x06\xfc\x03\x03", Speech::Tls),
    (b"\0\0\0\x09\0\x03\0\0\0", Speech::Postgres),
];

/// What else a client may say first, which is no request in clear.
const OTHERS: [(&[u8], Speech); 11] = [
    (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", Speech::Proxy1),
    (b"PROXY UNKNOWN\r\n", Speech::Proxy1),
    (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", Speech::Proxy2),
    (b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", Speech::Proxy2),
    (b"\0\0\0\x08\x04\xd2\x16\x2f", Speech::PostgresTls),
    (b"\0\0\0\x08\x04\xd2\x16\x30", Speech::PostgresTls),
    (
        b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10\0\0\x2f\0\0",
        Speech::OldTls,
    ),
    (b"SSH-1.5-OpenSSH_3.4p1\n", Speech::Ssh),
    (b"EHLO example.com\r\n", Speech::Hello),
    (b"helo a\r\n", Speech::Hello),
    (b"LHLO a\r\n", Speech::Hello),
];

/// What matches nothing, and why not.
const UNKNOWN: &[(&[u8], &str)] = &[
    (b"GET foo\r\n\r\n", "no target of HTTP"),
    (b"get / HTTP/1.1\r\n\r\n", "methods are capital letters"),
    (b"GETS / HTTP/1.1\r\n\r\n", "no method"),
    (b"PROPFIND / HTTP/1.1\r\n", "WebDAV, not one of the nine"),
    (b"POSTAL code 12345", "a word that starts like a method"),
    (b"GET\r\n/ HTTP/1.1\r\n\r\n", "a line break for a blank"),
    (b"GET / \xff\xfeTTP/1.1\r\n", "bytes above ASCII"),
    (b"GET /\0\0\0\0\0\0\0\0\0\0\0", "bytes below the tab"),
    (
        b"POST /v1/\x01\x02\x03\x04\x05\x06\x07",
        "binary behind a method",
    ),
    (b"PRI * HTTP/1.1\r\n\r\n", "no preface"),
    (b"HTTP/1.1 200 OK\r\n", "a response"),
    (b"PING\r\n\r\n\r\n\r\n\r\n", "Redis as one types it"),
    (b"*A\r\n$4\r\nPING\r\n", "no number of arguments"),
    (b"*1\r\n$-1\r\nPING\r\n", "no length of an argument"),
    (b"*123\r\n$4\r\nMSET\r\n", "three digits"),
    (b"*1\n$4\nPING\n\n\n\n\n\n", "line feeds alone"),
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
    (b"\x05\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "SOCKS"),
];

/// What servers say, to whom.
const ANSWERS: &[(&[u8], Speech, Speech)] = &[
    (
        b"\x16\x03\x03\0\x5f\x02\0\0\x5b\x03\x03\x01\x02",
        Speech::Tls,
        Speech::Tls,
    ),
    (b"\x15\x03\x01\0\x02\x02\x28", Speech::Tls, Speech::Alert),
    (b"\x15\x03\x01\0\x02\x01\x70", Speech::Tls, Speech::Warning),
    (b"SSH-2.0-OpenSSH_9.2\r\n", Speech::Pending, Speech::Ssh),
    (b"HTTP/1.1 200 OK\r\n", Speech::Http1, Speech::HttpOk),
    (
        b"HTTP/1.0 204 No Content\r\n",
        Speech::Http1,
        Speech::HttpOk,
    ),
    (
        b"HTTP/1.1 101 Switching Protocols\r\n",
        Speech::Http1,
        Speech::HttpSwitch,
    ),
    (b"HTTP/1.1 301 Moved\r\n", Speech::Http1, Speech::HttpMoved),
    (b"HTTP/1.1 308 Moved\r\n", Speech::Http1, Speech::HttpMoved),
    (b"HTTP/1.1 302 Found\r\n", Speech::Http1, Speech::HttpOther),
    (
        b"HTTP/1.1 400 Bad Request\r\n",
        Speech::Http1,
        Speech::HttpBad,
    ),
    (
        b"HTTP/1.1 404 Not Found\r\n",
        Speech::Http1,
        Speech::HttpOther,
    ),
    (
        b"HTTP/1.1 100 Continue\r\n",
        Speech::Http1,
        Speech::HttpOther,
    ),
    (
        b"\0\0\x12\x04\0\0\0\0\0\0\x03",
        Speech::Http2,
        Speech::Http2Settings,
    ),
    (
        b"\0\0\x12\x04\0\0\0\0\0\0\x03",
        Speech::Pending,
        Speech::Http2Settings,
    ),
    (b"+PONG\r\n", Speech::Redis, Speech::RedisReply),
    (
        b"-NOAUTH Authentication required.\r\n",
        Speech::Redis,
        Speech::RedisReply,
    ),
    (b":1\r\n", Speech::Redis, Speech::RedisReply),
    (b"$-1\r\n", Speech::Redis, Speech::RedisReply),
    (
        b"R\0\0\0\x17\0\0\0\x0aSCRAM",
        Speech::Postgres,
        Speech::PostgresReply,
    ),
    (
        b"v\0\0\0\x0c\0\x03\0\0",
        Speech::Postgres,
        Speech::PostgresReply,
    ),
    (
        b"E\0\0\0\x50SFATAL\0",
        Speech::Postgres,
        Speech::PostgresError,
    ),
    (
        b"\x5b\0\0\0\x0a5.5.5-10.11",
        Speech::Pending,
        Speech::MysqlGreeting,
    ),
    (
        b"\x07\0\0\x02\0\0\0\x02\0\0\0",
        Speech::Mysql,
        Speech::MysqlReply,
    ),
    (
        b"\x48\0\0\x02\xff\x15\x04#28000",
        Speech::Mysql,
        Speech::MysqlError,
    ),
    (
        b"220 mail.example ESMTP\r\n",
        Speech::Pending,
        Speech::Greeting220,
    ),
    (b"220-welcome\r\n", Speech::Pending, Speech::Greeting220),
    (b"+OK ready\r\n", Speech::Pending, Speech::GreetingPop),
    (b"* OK IMAP4rev1\r\n", Speech::Pending, Speech::GreetingImap),
    (
        b"* PREAUTH IMAP4rev1\r\n",
        Speech::Pending,
        Speech::GreetingImap,
    ),
];

/// Lines behind a greeting.
const LINES: &[(&[u8], Protocol, Speech)] = &[
    (b"EHLO a\r\n", Protocol::Smtp, Speech::Hello),
    (b"starttls\r\n", Protocol::Smtp, Speech::StartTls),
    (b"MAIL FROM:<a@b>\r\n", Protocol::Smtp, Speech::Command),
    (b"AUTH PLAIN AGEAYg==\r\n", Protocol::Smtp, Speech::Command),
    (b"AUTH TLS\r\n", Protocol::Ftp, Speech::StartTls),
    (b"USER bob\r\n", Protocol::Smtp, Speech::Command),
    (b"FEAT\r\n", Protocol::Smtp, Speech::Hello),
    (b"CAPA\r\n", Protocol::Pop, Speech::Hello),
    (b"STLS\r\n", Protocol::Pop, Speech::StartTls),
    (b"a1 CAPABILITY\r\n", Protocol::Imap, Speech::Hello),
    (b"a001 StartTLS\r\n", Protocol::Imap, Speech::StartTls),
    (
        b"A0001 LOGIN bob secret\r\n",
        Protocol::Imap,
        Speech::Command,
    ),
    (
        b"A0001 AUTHENTICATE PLAIN\r\n",
        Protocol::Imap,
        Speech::Command,
    ),
    (
        b"\x16\x03\x01\0\x5f\x01\0\0\x5b\x03\x01\x01",
        Protocol::Imap,
        Speech::Tls,
    ),
    (
        b"\x20\0\0\x01\x05\xae\x0f\0",
        Protocol::Mysql,
        Speech::MysqlTls,
    ),
    (
        b"\x55\0\0\x01\x05\xa6\x0f\0",
        Protocol::Mysql,
        Speech::Mysql,
    ),
];

#[test]
fn what_clients_say_is_known_as_soon_as_it_can_be() {
    for (payload, speech) in KNOWN.into_iter().chain(OTHERS) {
        assert_eq!(of(payload), speech, "{}", payload.escape_ascii());
        // Before that, nothing else is decided on.
        for len in 0..payload.len().min(24) {
            let early = of(&payload[..len]);
            let text = payload[..len].escape_ascii();
            assert!(
                early == speech || early == Speech::Pending,
                "{early:?}: {text}"
            );
            assert!(len >= 5 || early == Speech::Pending, "{early:?}: {text}");
        }
    }
}

#[test]
fn what_matches_nothing_is_unknown() {
    for (payload, what) in UNKNOWN {
        let text = payload.escape_ascii();
        assert_eq!(of(payload), Speech::Unknown, "{what}: {text}");
    }
}

#[test]
fn what_servers_say_is_known() {
    for (payload, to, speech) in ANSWERS {
        assert_eq!(answer(payload, *to), *speech, "{}", payload.escape_ascii());
        for len in 0..payload.len().min(24) {
            let early = answer(&payload[..len], *to);
            assert!(
                early == *speech || early == Speech::Pending,
                "{early:?} of {speech:?}"
            );
            assert!(
                len >= 4 || early == Speech::Pending,
                "{early:?} of {len} bytes"
            );
        }
    }
}

#[test]
fn answers_are_none_to_who_did_not_ask() {
    let fitting = [
        Speech::Redis,
        Speech::Postgres,
        Speech::Mysql,
        Speech::Http2,
    ];
    for (payload, to, speech) in ANSWERS {
        if fitting.contains(to) && *speech != Speech::Alert {
            assert_eq!(answer(payload, Speech::Tls), Speech::Unknown, "{speech:?}");
        }
    }
}

#[test]
fn lines_are_what_they_ask_for() {
    for (payload, protocol, speech) in LINES {
        let said = client(head(payload), *protocol);
        assert_eq!(said, *speech, "{}", payload.escape_ascii());
    }
    assert!(is_ftp(&start(b"USER bob")) && is_ftp(&start(b"auth tls")));
    assert!(!is_ftp(&start(b"EHLO a")) && !is_ftp(&start(b"US")));
}

/// The requests that fill a head.
fn whole_heads() -> Vec<(&'static [u8], Speech)> {
    let known = KNOWN.into_iter();
    known.filter(|(payload, _)| payload.len() >= 24).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn noise_is_never_plaintext(payload: [u8; 24], to in (0..Speech::COUNT).prop_map(Speech)) {
        prop_assert!(!of(&payload).is_plaintext_request());
        let said = answer(&payload, to);
        let weak = [Speech::Redis, Speech::Mysql, Speech::Hello, Speech::Command, Speech::StartTls];
        prop_assert!(said == Speech::Unknown || weak.contains(&to), "{:?}", said);
    }

    #[test]
    fn ciphertext_is_never_plaintext(kind in 0x14..=0x17_u8, rest in any::<[u8; 22]>()) {
        let payload = [&[kind, 3], &rest[..]].concat();
        prop_assert!(!of(&payload).is_plaintext_request());
    }

    #[test]
    fn a_first_letter_is_never_enough(
        first in sample::select(b"CDGHOPST*\0\x16".to_vec()),
        rest in any::<[u8; 23]>(),
    ) {
        let payload = [&[first], &rest[..]].concat();
        prop_assert!(!of(&payload).is_plaintext_request());
    }

    #[test]
    fn what_follows_the_head_does_not_matter(
        known in sample::select(whole_heads()),
        rest in collection::vec(any::<u8>(), 0..40),
    ) {
        let (payload, speech) = known;
        prop_assert_eq!(of(&[&payload[..24], &rest].concat()), speech);
    }
}
