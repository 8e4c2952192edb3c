//! Bytes that are cut, changed or nonsense.

use std::sync::OnceLock;

use guard::tls::{Assembly, CONNECTION_LIMIT, ClientCertificate, Hellos, TlsFacts};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::lab::{Capture, Lab};

/// Real handshakes, made once.
fn captures() -> &'static [Capture] {
    static CAPTURES: OnceLock<Vec<Capture>> = OnceLock::new();
    CAPTURES.get_or_init(|| {
        let lab = Lab::new();
        let name = "-servername guard.test -alpn h2,http/1.1";
        let old = "-tls1 -cipher DEFAULT@SECLEVEL=0";
        [
            ("-cert valid.pem -alpn h2".to_owned(), name.to_owned()),
            (
                "-cert valid.pem -alpn h2 -tls1_2 -Verify 1".to_owned(),
                name.to_owned(),
            ),
            ("-cert valid.pem -verify 1".to_owned(), name.to_owned()),
            (
                "-cert valid.pem -Verify 1 -groups P-384".to_owned(),
                format!("{name} -groups X25519:P-384 -cert valid.pem -key key.pem"),
            ),
            (format!("-cert expired.pem {old}"), old.to_owned()),
            ("-cert valid.pem -tls1_2".to_owned(), "-tls1_3".to_owned()),
        ]
        .iter()
        .map(|(server, client)| lab.handshake(server, client))
        .collect()
    })
}

fn is_part<T: PartialEq + Default>(part: &T, whole: &T) -> bool {
    *part == T::default() || part == whole
}

/// Whether each fact of `part` is one of `whole`.
fn is_subset(part: &TlsFacts, whole: &TlsFacts) -> bool {
    is_part(&part.offered_version, &whole.offered_version)
        && is_part(&part.version, &whole.version)
        && is_part(&part.cipher, &whole.cipher)
        && is_part(&part.sni, &whole.sni)
        && is_part(&part.alpn, &whole.alpn)
        && is_part(&part.alpn_offered, &whole.alpn_offered)
        && is_part(&part.ja4, &whole.ja4)
        && is_part(&part.client_certificate, &whole.client_certificate)
        && is_part(&part.certificate, &whole.certificate)
        && is_part(&part.alert, &whole.alert)
}

/// Asserts what holds of any facts.
fn check(facts: &TlsFacts) {
    let texts = [&facts.cipher, &facts.sni, &facts.alpn, &facts.ja4];
    let texts = texts.into_iter().flatten().chain(&facts.alpn_offered);
    for text in texts {
        assert!(text.len() <= 253);
        assert!(
            text.bytes().all(|byte| matches!(byte, b' '..=b'~')),
            "{text:?}"
        );
    }
    assert!(facts.alpn_offered.len() <= 8);
    assert!(facts.ja4.as_ref().is_none_or(|ja4| ja4.len() == 36));
    assert!(facts.findings(0).len() <= 2);
}

#[test]
fn every_cut_of_a_real_handshake_gives_a_subset() {
    for capture in captures() {
        let whole = TlsFacts::read(&capture.client, &capture.server);
        assert_ne!(whole, TlsFacts::default());
        for end in 0..capture.client.len() {
            let part = TlsFacts::read(&capture.client[..end], &capture.server);
            assert!(is_subset(&part, &whole), "client cut at {end}: {part:?}");
        }
        for end in 0..capture.server.len() {
            let part = TlsFacts::read(&capture.client, &capture.server[..end]);
            assert!(is_subset(&part, &whole), "server cut at {end}: {part:?}");
        }
    }
}

#[test]
fn the_real_handshakes_show_what_the_cuts_must_keep() {
    let told = captures()
        .iter()
        .map(|capture| TlsFacts::read(&capture.client, &capture.server).client_certificate);
    let expected = [
        ClientCertificate::InferredNotRequested,
        ClientCertificate::Requested,
        ClientCertificate::InferredRequested,
        ClientCertificate::InferredSent,
        ClientCertificate::NotRequested,
        ClientCertificate::Unknown,
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
}

/// A header that makes random bytes reach deeper.
fn plausible() -> impl Strategy<Value = Vec<u8>> {
    let heads: Vec<Vec<u8>> = vec![
        vec![],
        vec![22, 3, 1, 0x3f, 0xff],
        vec![22, 3, 3, 0x3f, 0xff, 1, 0xff, 0xff, 0xff],
        vec![22, 3, 3, 0x3f, 0xff, 1, 0, 1, 0, 3, 3],
        vec![22, 3, 3, 0x3f, 0xff, 2, 0, 0, 70, 3, 3],
        vec![20, 3, 3, 0, 1, 1, 23, 3, 3],
        vec![21, 3, 3, 0, 2, 2],
    ];
    (proptest::sample::select(heads), vec(any::<u8>(), 0..2_000))
        .prop_map(|(head, tail)| [head, tail].concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read(client in plausible(), server in plausible()) {
        check(&TlsFacts::read(&client, &server));
    }

    #[test]
    fn any_two_cuts_give_a_subset(at in any::<Index>(), client in any::<Index>(), server in any::<Index>()) {
        let capture = at.get(captures());
        let whole = TlsFacts::read(&capture.client, &capture.server);
        let client = &capture.client[..client.index(capture.client.len())];
        let server = &capture.server[..server.index(capture.server.len())];
        prop_assert!(is_subset(&TlsFacts::read(client, server), &whole));
    }

    #[test]
    fn changed_handshakes_are_read(
        at in any::<Index>(),
        changes in vec((any::<Index>(), any::<u8>(), any::<bool>()), 1..20),
    ) {
        let Capture { mut client, mut server } = at.get(captures()).clone();
        for (place, value, from_client) in changes {
            let side = if from_client { &mut client } else { &mut server };
            let place = place.index(side.len());
            side[place] = value;
        }
        check(&TlsFacts::read(&client, &server));
    }

    #[test]
    fn segments_in_any_order_give_the_same_facts(
        at in any::<Index>(),
        size in 1_usize..1_400,
        order in vec(any::<Index>(), 200),
    ) {
        let capture = at.get(captures());
        let mut segments = Vec::new();
        for (from_client, side) in [(true, &capture.client), (false, &capture.server)] {
            for (turn, bytes) in side.chunks(size).enumerate() {
                let offset = u32::try_from(turn * size).expect("a short capture");
                segments.push((from_client, offset, bytes));
            }
        }
        for (turn, other) in order.iter().enumerate() {
            let count = segments.len();
            segments.swap(turn % count, other.index(count));
        }
        let mut hellos = Hellos::default();
        for (from_client, offset, bytes) in segments {
            hellos.add(1, from_client, offset, bytes, 0);
        }
        let whole = TlsFacts::read(&capture.client, &capture.server);
        prop_assert_eq!(hellos.finish(1), Some(whole));
    }

    /// Against a plain model: the first copy of each byte, up to the first byte missing.
    #[test]
    fn an_assembly_is_its_model(segments in vec((0_u32..40, vec(any::<u8>(), 0..20)), 0..12)) {
        let (mut assembly, mut model) = (Assembly::default(), [None; 64]);
        for (offset, bytes) in &segments {
            assembly.add(*offset, bytes);
            for (slot, byte) in model[*offset as usize..].iter_mut().zip(bytes) {
                slot.get_or_insert(*byte);
            }
        }
        let expected: Vec<u8> = model.into_iter().map_while(|byte| byte).collect();
        prop_assert_eq!(assembly.contiguous(), expected);
    }

    #[test]
    fn a_table_stays_small(keys in vec((any::<u64>(), any::<u32>(), 0_u64..5_000), 0..300)) {
        let mut hellos = Hellos::default();
        let mut now_ms = 0;
        for (key, offset, wait_ms) in keys {
            now_ms += wait_ms;
            hellos.add(key, key % 2 == 0, offset, &[22; 100], now_ms);
        }
        prop_assert!(hellos.expired(u64::MAX).len() <= CONNECTION_LIMIT);
    }
}
