//! Published JA4 fingerprints, each of a ClientHello made from its published raw form.

use guard::tls::TlsFacts;

use crate::craft;

/// A published example: its raw form in the original order, and its fingerprint.
struct Published {
    legacy_version: u16,
    ciphers: &'static [u16],
    extensions: &'static [u16],
    algorithms: &'static [u16],
    fingerprint: &'static str,
}

/// The example of the specification, `technical_details/JA4.md`.
const SPECIFICATION: Published = Published {
    legacy_version: 0x0303,
    ciphers: &[
        0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014,
        0x009c, 0x009d, 0x002f, 0x0035,
    ],
    extensions: &[
        0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
        0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
    ],
    algorithms: &[
        0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
    ],
    fingerprint: "t13d1516h2_8daaf6152771_e5627efa2ab1",
};

/// `sigalg-grease.pcapng` in the specification's repository.
const ALGORITHM_GREASE: Published = Published {
    legacy_version: 0x0303,
    ciphers: SPECIFICATION.ciphers,
    extensions: &[
        0xfe0d, 0x0010, 0x0017, 0x0033, 0x44cd, 0xff01, 0x000a, 0x000d, 0x0023, 0x002b, 0x000b,
        0xca34, 0x002d, 0x0000, 0x0005, 0x001b, 0x0012,
    ],
    algorithms: &[
        0x0904, 0x0905, 0x0906, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
    ],
    fingerprint: "t13d1517h2_8daaf6152771_cb7bf5808d99",
};

/// `tls12_h11` of the specification's nginx module: curl with HTTP/1.1 and TLS 1.2.
const TLS12: Published = Published {
    legacy_version: 0x0303,
    ciphers: &[
        0x002f, 0x0033, 0x0035, 0x0039, 0x003c, 0x003d, 0x0067, 0x006b, 0x009c, 0x009d, 0x009e,
        0x009f, 0xc009, 0xc00a, 0xc013, 0xc014, 0xc023, 0xc024, 0xc027, 0xc028, 0xc02b, 0xc02c,
        0xc02f, 0xc030, 0xcca8, 0xcca9, 0xccaa,
    ],
    extensions: &[
        0x0000, 0x000a, 0x000b, 0x000d, 0x0010, 0x0016, 0x0017, 0xff01,
    ],
    algorithms: &[
        0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0809, 0x080a, 0x080b, 0x0804, 0x0805, 0x0806,
        0x0401, 0x0501, 0x0601, 0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602,
    ],
    fingerprint: "t12d2708h1_a2460661a67a_eed5f1524d5c",
};

impl Published {
    /// The ClientHello record, with `grease` put in front of every list when given.
    fn record(&self, grease: Option<u16>) -> Vec<u8> {
        let greased = |list: &[u16]| grease.into_iter().chain(list.iter().copied()).collect();
        let ciphers: Vec<u16> = greased(self.ciphers);
        let mut extensions: Vec<Vec<u8>> = self
            .extensions
            .iter()
            .map(|kind| self.extension(*kind, grease))
            .collect();
        if let Some(grease) = grease {
            extensions.insert(0, craft::extension(grease, &[]));
            // Browsers put a second one near the end.
            extensions.push(craft::extension(grease ^ 0x1010, &[0]));
        }
        let hello = craft::client_hello(self.legacy_version, &ciphers, &extensions);
        craft::record(22, &hello)
    }

    fn extension(&self, kind: u16, grease: Option<u16>) -> Vec<u8> {
        let greased =
            |list: &[u16]| -> Vec<u16> { grease.into_iter().chain(list.iter().copied()).collect() };
        match kind {
            0x0000 => craft::server_name(b"guard.test"),
            0x0010 if self.fingerprint.contains("h2") => craft::protocols(&[b"h2", b"http/1.1"]),
            0x0010 => craft::protocols(&[b"http/1.1"]),
            0x000d => craft::algorithms(&greased(self.algorithms)),
            0x002b => craft::versions(&greased(&[0x0304, 0x0303])),
            other => craft::extension(other, &[]),
        }
    }
}

fn fingerprint(client: &[u8]) -> Option<String> {
    TlsFacts::read(client, &[]).ja4
}

#[test]
fn published_fingerprints() {
    for published in [SPECIFICATION, ALGORITHM_GREASE, TLS12] {
        let told = fingerprint(&published.record(None));
        assert_eq!(told.as_deref(), Some(published.fingerprint));
    }
}

#[test]
fn grease_changes_nothing() {
    let grease = (0..16).map(|nibble| (nibble * 0x1010) | 0x0a0a);
    for value in grease {
        for published in [SPECIFICATION, ALGORITHM_GREASE, TLS12] {
            let told = fingerprint(&published.record(Some(value)));
            assert_eq!(told.as_deref(), Some(published.fingerprint), "{value:#06x}");
        }
    }
}

#[test]
fn numbers_that_only_look_like_grease_count() {
    let hello = craft::client_hello(0x0303, &[0x0a1a, 0x2a0a], &[]);
    let told = fingerprint(&craft::record(22, &hello)).expect("a fingerprint");
    assert!(told.starts_with("t12i020000_"), "{told}");
}

#[test]
fn nothing_is_zeros() {
    let hello = craft::client_hello(0x0301, &[], &[]);
    let told = fingerprint(&craft::record(22, &hello));
    let expected = "t10i000000_000000000000_000000000000";
    assert_eq!(told.as_deref(), Some(expected));
}

#[test]
fn a_hello_without_an_extension_block_has_one() {
    // The crafted empty block is two bytes; without them the message is still whole.
    let hello = craft::client_hello(0x0300, &[0x0035], &[]);
    let body = &hello[4..hello.len() - 2];
    let told = fingerprint(&craft::record(22, &craft::message(1, body))).expect("a fingerprint");
    assert!(told.starts_with("ts3i010000_"), "{told}");
    assert!(told.ends_with("_000000000000"), "{told}");
}

#[test]
fn counts_stop_at_99() {
    let ciphers: Vec<u16> = (0..150).collect();
    let extensions: Vec<Vec<u8>> = (100..250).map(|kind| craft::extension(kind, &[])).collect();
    let hello = craft::client_hello(0x0303, &ciphers, &extensions);
    let told = fingerprint(&craft::record(22, &hello)).expect("a fingerprint");
    assert!(told.starts_with("t12i999900_"), "{told}");
}

#[test]
fn a_cut_or_malformed_hello_has_none() {
    let record = SPECIFICATION.record(None);
    for end in 0..record.len() {
        assert_eq!(fingerprint(&record[..end]), None, "cut at {end}");
    }
    let mut extensions = vec![craft::server_name(b"guard.test"), vec![0, 1, 0]];
    let malformed = craft::client_hello(0x0303, &[0x1301], &extensions);
    assert_eq!(fingerprint(&craft::record(22, &malformed)), None);
    extensions.pop();
    let well_formed = craft::client_hello(0x0303, &[0x1301], &extensions);
    assert!(fingerprint(&craft::record(22, &well_formed)).is_some());
}

#[test]
fn versions_have_their_codes() {
    let code = |legacy, extensions: &[Vec<u8>]| {
        let hello = craft::client_hello(legacy, &[0x1301], extensions);
        let told = fingerprint(&craft::record(22, &hello)).expect("a fingerprint");
        told[1..3].to_owned()
    };
    let legacy = [
        (0x0303, "12"),
        (0x0302, "11"),
        (0x0301, "10"),
        (0x0300, "s3"),
        (0x0002, "s2"),
        (0x0505, "00"),
    ];
    for (version, expected) in legacy {
        assert_eq!(code(version, &[]), expected);
    }
    assert_eq!(
        code(0x0303, &[craft::versions(&[0x0302, 0x0304, 0x0303])]),
        "13"
    );
    assert_eq!(code(0x0303, &[craft::versions(&[0x0302])]), "11");
    assert_eq!(code(0x0303, &[craft::versions(&[0x7f1c, 0x0303])]), "00");
}
