//! The first bytes of a payload, as signatures over words and over bytes.

use guard_common::protocol::{HEAD_LEN, HEAD_MIN, Head, Protocol};

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// The payload itself is the input.
pub fn check(payload: &[u8]) {
    if payload.len() < HEAD_MIN {
        return;
    }
    let mut head = [0; HEAD_LEN];
    let len = payload.len().min(HEAD_LEN);
    head[..len].copy_from_slice(&payload[..len]);
    let [first, second] = [0, 8].map(|at| {
        let word = head[at..].first_chunk();
        word.map_or(0, |word| u64::from_ne_bytes(*word))
    });
    let found = Protocol::of(Head::new([first, second]));
    assert_eq!(found, by_bytes(&head), "{head:?}");
    assert_eq!(Protocol::from_number(found as u8), Some(found));
}

/// The same signatures, read off the bytes one after the other.
fn by_bytes(head: &[u8; HEAD_LEN]) -> Protocol {
    match head {
        [0x16, 0x03, 0..=3, _, _, 0x01, 0x00, ..] => Protocol::Tls,
        [b'S', b'S', b'H', b'-', b'2', b'.', b'0', b'-', ..]
        | [b'S', b'S', b'H', b'-', b'1', b'.', b'9', b'9', ..] => Protocol::Ssh,
        b"PRI * HTTP/2.0\r\n" => Protocol::Http2,
        [b'*', b'0'..=b'9', b'\r', b'\n', b'$', b'0'..=b'9', ..]
        | [
            b'*',
            b'0'..=b'9',
            b'0'..=b'9',
            b'\r',
            b'\n',
            b'$',
            b'0'..=b'9',
            ..,
        ] => Protocol::Redis,
        [0, 0, high, low, 0, 3, 0, 0, ..] if u16::from_be_bytes([*high, *low]) > 8 => {
            Protocol::Postgres
        }
        _ if METHODS.iter().any(|method| asks_by(method, head)) => Protocol::Http1,
        _ => Protocol::Undecided,
    }
}

fn asks_by(method: &str, head: &[u8; HEAD_LEN]) -> bool {
    let is_text = head.iter().all(|byte| (b'\t'..=0x7f).contains(byte));
    match head.strip_prefix(method.as_bytes()) {
        Some([b' ' | b'\t', target, ..]) => is_text && target.is_ascii_graphic(),
        _ => false,
    }
}
