//! Facts of crafted messages.

use guard::tls::{ClientCertificate, Finding, TlsFacts};

use crate::craft;

fn offer(extensions: &[Vec<u8>]) -> TlsFacts {
    let hello = craft::client_hello(0x0303, &[0x1301], extensions);
    TlsFacts::read(&craft::record(22, &hello), &[])
}

fn answer(messages: &[Vec<u8>]) -> TlsFacts {
    TlsFacts::read(&[], &craft::record(22, &messages.concat()))
}

#[test]
fn host_names_are_names() {
    let long = [
        b"a".repeat(63),
        b"b".repeat(63),
        b"c".repeat(63),
        b"d".repeat(61),
    ];
    let longest = long.join(&b'.');
    let longer = [&longest[..], b"e"].concat();
    let kept = [
        (&b"Guard.TEST"[..], "guard.test"),
        (b"localhost", "localhost"),
        (b"_sip.a-b.example", "_sip.a-b.example"),
        (b"xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        (&longest, std::str::from_utf8(&longest).expect("ASCII")),
    ];
    for (sent, told) in kept {
        let facts = offer(&[craft::server_name(sent)]);
        assert_eq!(facts.sni.as_deref(), Some(told));
    }
    let dropped: [&[u8]; 14] = [
        b"",
        b".",
        b"a..b",
        b"a.test.",
        b"a b",
        b"a\x1b[31m",
        b"a\n",
        b"a\0b",
        b"m\xc3\xbcnchen.de",
        b"\xff",
        b"192.0.2.1",
        b"2001:db8::1",
        &[b'a'; 64],
        &longer,
    ];
    for sent in dropped {
        assert_eq!(offer(&[craft::server_name(sent)]).sni, None, "{sent:?}");
    }
}

#[test]
fn protocols_are_printable_and_few() {
    let facts = offer(&[craft::protocols(&[
        b"h2",
        b"",
        b"\x1b[0m",
        b"\xff",
        &[b'x'; 33],
        &[b'y'; 32],
        b"a b",
    ])]);
    assert_eq!(facts.alpn_offered, ["h2", &"y".repeat(32), "a b"]);
    let many = offer(&[craft::protocols(&[&b"p"[..]; 20])]);
    assert_eq!(many.alpn_offered.len(), 8);
}

#[test]
fn offered_versions_leave_out_grease_and_drafts() {
    let with = |versions: &[u16]| offer(&[craft::versions(versions)]).offered_version;
    assert_eq!(with(&[0xfafa, 0x0303, 0x0302]), Some("tls1.2"));
    assert_eq!(with(&[0x7f1c, 0x0304]), Some("tls1.3"));
    assert_eq!(with(&[0x7f1c]), None);
    let legacy = craft::client_hello(0x0304, &[0x1301], &[]);
    let facts = TlsFacts::read(&craft::record(22, &legacy), &[]);
    assert_eq!(facts.offered_version, Some("tls1.2"));
}

#[test]
fn ssl3_is_old() {
    let facts = answer(&[craft::server_hello(0x0300, 0x000a, &[])]);
    assert_eq!(facts.version, Some("ssl3"));
    assert_eq!(facts.findings(0), [Finding::OldVersion]);
}

#[test]
fn unknown_ciphers_are_numbers() {
    let facts = answer(&[craft::server_hello(0x0303, 0xfefe, &[])]);
    assert_eq!(facts.cipher.as_deref(), Some("0xfefe"));
}

#[test]
fn drafts_of_tls13_have_no_word() {
    let chosen = craft::extension(43, &[0x7f, 0x1c]);
    let facts = answer(&[
        craft::server_hello(0x0303, 0x1301, &[chosen]),
        craft::message(13, &[]),
    ]);
    assert_eq!(facts.version, None);
    assert_eq!(facts.client_certificate, ClientCertificate::Unknown);
    assert_eq!(facts.findings(0), []);
}

#[test]
fn messages_may_span_records_and_share_them() {
    let hello = craft::client_hello(0x0303, &[0x1301], &[craft::server_name(b"guard.test")]);
    let client: Vec<u8> = hello
        .chunks(2)
        .flat_map(|part| craft::record(22, part))
        .collect();
    let flight = [
        craft::server_hello(0x0303, 0xc02f, &[craft::protocols(&[b"h2"])]),
        craft::message(13, &[1, 1, 0, 0]),
        craft::message(14, &[]),
    ]
    .concat();
    let parts = flight.chunks(flight.len() / 3);
    let server: Vec<u8> = parts.flat_map(|part| craft::record(22, part)).collect();
    let facts = TlsFacts::read(&client, &server);
    assert_eq!(facts.sni.as_deref(), Some("guard.test"));
    assert_eq!(facts.alpn.as_deref(), Some("h2"));
    assert_eq!(facts.client_certificate, ClientCertificate::Requested);
}

#[test]
fn records_and_messages_are_limited() {
    let hello = craft::client_hello(0x0303, &[0x1301], &[]);
    let after = |records: usize| {
        let empty = craft::record(22, &[]).repeat(records);
        let client = [empty, craft::record(22, &hello)].concat();
        TlsFacts::read(&client, &[]).ja4.is_some()
    };
    assert!(after(63));
    assert!(!after(64));

    let after = |messages: usize| {
        let mut flight = vec![craft::server_hello(0x0303, 0xc02f, &[])];
        flight.extend(vec![craft::message(22, &[]); messages]);
        flight.push(craft::message(14, &[]));
        answer(&flight).client_certificate
    };
    assert_eq!(after(62), ClientCertificate::NotRequested);
    assert_eq!(after(63), ClientCertificate::Unknown);
}

#[test]
fn what_lies_past_the_limit_is_ignored() {
    let padding = craft::record(24, &[0; 16_000]);
    let hello = craft::client_hello(0x0303, &[0x1301], &[craft::extension(21, &[0; 600])]);
    let client = [padding, craft::record(22, &hello)].concat();
    assert!(client.len() > 16 * 1024);
    assert_eq!(TlsFacts::read(&client, &[]).ja4, None);
}

#[test]
fn encrypted_handshake_records_are_not_read() {
    // After ChangeCipherSpec, the bytes that look like a request are encrypted.
    let server = [
        craft::record(22, &craft::server_hello(0x0303, 0xc02f, &[])),
        craft::record(20, &[1]),
        craft::record(22, &craft::message(13, &[0; 36])),
        craft::record(21, &[2, 40]),
    ]
    .concat();
    let facts = TlsFacts::read(&[], &server);
    assert_eq!(facts.client_certificate, ClientCertificate::Unknown);
    assert_eq!(facts.alert, None);
}

#[test]
fn only_fatal_alerts_count() {
    let alert = |content: &[u8]| TlsFacts::read(&[], &craft::record(21, content)).alert;
    assert_eq!(alert(&[2, 40]), Some(40));
    assert_eq!(alert(&[1, 112]), None);
    assert_eq!(alert(&[2]), None);
    assert_eq!(alert(&[2, 40, 0]), None);
}

#[test]
fn other_protocols_give_no_facts() {
    let sslv2 = [&[0x80, 0x2e, 1, 0, 2, 0, 21, 0, 0, 0, 16][..], &[9; 37]].concat();
    let others = [
        &sslv2[..],
        b"GET / HTTP/1.1\r\n\r\n",
        b"SSH-2.0-x\r\n",
        &[0; 64],
        b"",
    ];
    for bytes in others {
        assert_eq!(TlsFacts::read(bytes, bytes), TlsFacts::default());
    }
}

#[test]
fn facts_are_told_as_words() {
    use ClientCertificate::{
        InferredNotRequested, InferredRequested, InferredSent, NotRequested, Requested, Unknown,
    };
    let facts = offer(&[craft::server_name(b"guard.test")]);
    let told = serde_json::to_value(&facts).expect("a serialised struct");
    assert_eq!(told["sni"], "guard.test");
    assert_eq!(told["offered_version"], "tls1.2");
    assert_eq!(told["client_certificate"], "unknown");
    for (finding, word) in [
        (Finding::OldVersion, "old_version"),
        (Finding::ExpiredCertificate, "expired_certificate"),
        (Finding::NotYetValidCertificate, "not_yet_valid_certificate"),
    ] {
        assert_eq!(finding.word(), word);
        assert_eq!(serde_json::to_value(finding).expect("a word"), word);
    }
    for state in [
        Unknown,
        Requested,
        NotRequested,
        InferredRequested,
        InferredNotRequested,
        InferredSent,
    ] {
        assert_eq!(serde_json::to_value(state).expect("a word"), state.word());
    }
}
