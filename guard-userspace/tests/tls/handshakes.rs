//! Facts of real handshakes.

use std::time::{SystemTime, UNIX_EPOCH};

use guard::tls::{Certificate, ClientCertificate, Finding, TlsFacts, Validity};

use crate::lab::{Capture, Lab};

const YEAR_2020: i64 = 1_577_836_800;
const YEAR_2021: i64 = 1_609_459_200;
const YEAR_2099: i64 = 4_070_908_800;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since.expect("a clock past 1970").as_secs();
    i64::try_from(seconds).expect("a clock before the year 292 billion")
}

fn read(capture: &Capture) -> TlsFacts {
    TlsFacts::read(&capture.client, &capture.server)
}

fn facts(server: &str, client: &str) -> TlsFacts {
    read(&Lab::new().handshake(server, client))
}

#[test]
fn tls12_is_told_whole() {
    let facts = facts(
        "-cert valid.pem -tls1_2 -alpn http/1.1",
        "-servername Guard.Test -alpn h2,http/1.1 -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
    );
    let ja4 = facts.ja4.clone().expect("a whole ClientHello");
    assert!(ja4.starts_with("t12d02"), "{ja4}");
    assert_eq!(&ja4[8..11], "h2_");
    let expected = TlsFacts {
        offered_version: Some("tls1.2"),
        version: Some("tls1.2"),
        cipher: Some("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256".to_owned()),
        sni: Some("guard.test".to_owned()),
        alpn: Some("http/1.1".to_owned()),
        alpn_offered: vec!["h2".to_owned(), "http/1.1".to_owned()],
        ja4: Some(ja4),
        client_certificate: ClientCertificate::NotRequested,
        certificate: Some(Certificate {
            not_before: YEAR_2020,
            not_after: YEAR_2099,
        }),
        alert: None,
    };
    assert_eq!(facts, expected);
    assert_eq!(facts.findings(now()), []);
}

#[test]
fn tls12_request_is_seen() {
    for verify in ["-verify 1", "-Verify 1"] {
        let facts = facts(
            &format!("-cert valid.pem -tls1_2 {verify}"),
            "-noservername",
        );
        assert_eq!(facts.client_certificate, ClientCertificate::Requested);
        assert_eq!(facts.sni, None);
        assert_eq!(facts.alpn, None);
        assert_eq!(facts.offered_version, Some("tls1.3"));
    }
}

#[test]
fn tls10_and_11_are_old() {
    for (flag, word) in [("-tls1", "tls1.0"), ("-tls1_1", "tls1.1")] {
        let arguments = format!("{flag} -cipher DEFAULT@SECLEVEL=0");
        let facts = facts(&format!("-cert valid.pem {arguments}"), &arguments);
        assert_eq!(facts.offered_version, Some(word));
        assert_eq!(facts.version, Some(word));
        assert_eq!(facts.client_certificate, ClientCertificate::NotRequested);
        assert_eq!(facts.findings(now()), [Finding::OldVersion]);
    }
}

#[test]
fn an_expired_certificate_is_found() {
    let facts = facts("-cert expired.pem -tls1_2", "");
    let certificate = facts.certificate.expect("a clear certificate");
    assert_eq!(certificate.not_after, YEAR_2021);
    assert_eq!(certificate.validity(now()), Validity::Expired);
    assert_eq!(facts.findings(now()), [Finding::ExpiredCertificate]);
    assert_eq!(
        facts.findings(YEAR_2020 - 1),
        [Finding::NotYetValidCertificate]
    );
    assert_eq!(facts.findings(YEAR_2021), []);
}

#[test]
fn tls13_hides_what_it_encrypts() {
    let facts = facts(
        "-cert expired.pem -alpn h2",
        "-servername guard.test -alpn h2",
    );
    assert_eq!(facts.version, Some("tls1.3"));
    assert_eq!(facts.sni.as_deref(), Some("guard.test"));
    assert_eq!(facts.alpn, None);
    assert_eq!(facts.alpn_offered, ["h2"]);
    assert_eq!(facts.certificate, None);
    assert_eq!(facts.findings(now()), []);
    let ja4 = facts.ja4.expect("a whole ClientHello");
    assert!(ja4.starts_with("t13d"), "{ja4}");
}

#[test]
fn tls13_requests_are_inferred() {
    let suites = [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
    ];
    let cases = [
        ("", "", ClientCertificate::InferredNotRequested),
        ("-verify 1", "", ClientCertificate::InferredRequested),
        (
            "-Verify 1",
            "-cert valid.pem -key key.pem",
            ClientCertificate::InferredSent,
        ),
        (
            "",
            "-cert valid.pem -key key.pem",
            ClientCertificate::InferredNotRequested,
        ),
    ];
    let lab = Lab::new();
    for suite in suites {
        for (server, client, told) in cases {
            let server = format!("-cert valid.pem {server}");
            let client = format!("-ciphersuites {suite} {client}");
            let facts = read(&lab.handshake(&server, &client));
            assert_eq!(facts.cipher.as_deref(), Some(suite));
            assert_eq!(facts.client_certificate, told, "{suite} {server} {client}");
        }
    }
}

#[test]
fn a_retry_does_not_hide_the_answer() {
    let lab = Lab::new();
    let capture = lab.handshake("-cert valid.pem -groups P-384", "-groups X25519:P-384");
    let facts = read(&capture);
    assert_eq!(facts.version, Some("tls1.3"));
    assert_eq!(facts.cipher.as_deref(), Some("TLS_AES_256_GCM_SHA384"));
    assert_eq!(
        facts.client_certificate,
        ClientCertificate::InferredNotRequested
    );

    let record = 5 + usize::from(u16::from_be_bytes([capture.server[3], capture.server[4]]));
    let retry = TlsFacts::read(&capture.client, &capture.server[..record]);
    assert_eq!(retry.version, Some("tls1.3"));
    assert_eq!(retry.cipher, None, "the retry settles nothing");
}

#[test]
fn resumption_asks_for_nothing_and_early_data_tells_nothing() {
    let lab = Lab::new();
    lab.write("early.txt", &[b'x'; 600]);
    let server = lab.server("-cert valid.pem -early_data");
    lab.connect(&server, "-sess_out session.pem", &["session.pem"]);
    let resumed = lab.connect(&server, "-sess_in session.pem", &[]);
    let resumed = read(&resumed);
    assert_eq!(
        resumed.client_certificate,
        ClientCertificate::InferredNotRequested
    );

    let early = "-sess_in session.pem -early_data early.txt";
    let early = read(&lab.connect(&server, early, &[]));
    assert_eq!(early.version, Some("tls1.3"));
    assert_eq!(early.client_certificate, ClientCertificate::Unknown);
}

#[test]
fn tls12_resumption_tells_no_request() {
    let lab = Lab::new();
    let server = lab.server("-cert valid.pem -tls1_2 -verify 1");
    lab.connect(&server, "-sess_out session.pem", &["session.pem"]);
    let resumed = read(&lab.connect(&server, "-sess_in session.pem", &[]));
    assert_eq!(resumed.version, Some("tls1.2"));
    assert_eq!(resumed.certificate, None);
    assert_eq!(resumed.client_certificate, ClientCertificate::Unknown);
}

#[test]
fn a_refusal_is_an_alert() {
    let facts = facts("-cert valid.pem -tls1_2", "-tls1_3");
    assert_eq!(facts.alert, Some(70), "protocol_version");
    assert_eq!(facts.version, None);
    assert_eq!(facts.offered_version, Some("tls1.3"));
}
