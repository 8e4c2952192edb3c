//! The first bytes of a payload, as signatures over words and over bytes.

use guard_common::{
    connection::{
        head::{HEAD_LEN, Head},
        speech::{self, Speech},
    },
    protocol::Protocol,
};

const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// The payload itself is the input. Of its signatures those are compared that a refusal may follow
/// from.
pub fn check(payload: &[u8]) {
    let len = payload.len().min(HEAD_LEN as usize);
    if len == 0 {
        return;
    }
    let head = &payload[..len];
    let mut padded = [0; HEAD_LEN as usize];
    padded[..len].copy_from_slice(head);
    let words = [0, 8, 16].map(|at| {
        let word = padded[at..].first_chunk();
        word.map_or(0, |word| u64::from_be_bytes(*word))
    });
    let mut found = Head::EMPTY;
    found.put(0, words, len as u32);
    let found = speech::client(found, Protocol::Unknown);
    let expected = by_bytes(head);
    let is_compared = |speech: Speech| {
        speech.is_plaintext_request() || matches!(speech, Speech::Tls | Speech::Connect)
    };
    if is_compared(found) || is_compared(expected) {
        assert_eq!(found, expected, "{head:?}");
    }
}

/// The same signatures, read off the bytes one after the other.
fn by_bytes(head: &[u8]) -> Speech {
    match head {
        [0x16, 0x03, 0..=3, high, low, 0x01, 0x00, _, rest @ ..] => {
            let is_short = u16::from_be_bytes([*high, *low]) < 9;
            match rest {
                _ if is_short => Speech::Tls,
                [_, 0x03, 0..=3, ..] => Speech::Tls,
                _ => Speech::Pending,
            }
        }
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" => Speech::Http2,
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
        ] => Speech::Redis,
        [0, 0, high, low, 0, 3, 0, 0..=3, ..] if u16::from_be_bytes([*high, *low]) > 8 => {
            Speech::Postgres
        }
        _ => METHODS
            .iter()
            .find_map(|method| asks_by(method, head))
            .unwrap_or(Speech::Unknown),
    }
}

fn asks_by(method: &str, head: &[u8]) -> Option<Speech> {
    let is_text = head.iter().all(|byte| (b'\t'..=0x7f).contains(byte));
    let [b' ' | b'\t', target, ..] = head.strip_prefix(method.as_bytes())? else {
        return None;
    };
    let connects = method == "CONNECT";
    let is_target = matches!(target, b'/' | b'*' | b'h' | b'H' | b' ' | b'\t')
        || connects && target.is_ascii_graphic();
    let speech = if connects {
        Speech::Connect
    } else {
        Speech::Http1
    };
    (is_text && is_target && head.len() >= 8).then_some(speech)
}
