//! What clients say first: signatures of requests and greetings.

use super::{Speech, Trial, both, mail, ssh, tls};
use crate::{
    connection::head::{Head, Match, Start},
    limit::{Alone, Words},
    protocol::Protocol,
};

/// What a client's head is, in a connection that `protocol` is known of, if any.
///
/// The kernel calls the three parts out of line: together they need more stack than there is.
#[inline(always)]
#[must_use]
pub fn client(head: Head, protocol: Protocol) -> Speech {
    let start = head.start();
    let asks = request::<Alone>(&start);
    let said = greeting(&start, protocol);
    joined(asks, said, protocol, || mail::<Alone>(&start, protocol))
}

/// What a client says of which [`request`], [`greeting`] and [`mail`] tell so much.
#[inline(always)]
#[must_use]
pub fn joined(
    asks: Speech,
    said: Speech,
    protocol: Protocol,
    mail: impl FnOnce() -> Speech,
) -> Speech {
    match (said, asks) {
        // A log-in is binary.
        (said, _) if matches!(protocol, Protocol::Mysql) => said,
        (Speech::Pending | Speech::Unknown, Speech::Http1 | Speech::Connect) => asks,
        (Speech::Pending | Speech::Unknown, _) if protocol.is_mail() => mail(),
        (Speech::Unknown, Speech::Pending) => Speech::Pending,
        _ => said,
    }
}

/// What a client's head is, if not what the other two are for. See [`client`].
#[inline(always)]
#[must_use]
pub fn greeting(start: &Start, protocol: Protocol) -> Speech {
    let mut trial = Trial { needs_more: false };
    if start.is_empty() {
        return Speech::Pending;
    }
    if trial.is(tls(start, 0x01)) {
        return Speech::Tls;
    }
    if matches!(protocol, Protocol::Mysql) {
        return match mysql(start) {
            Some(speech) => speech,
            None => trial.end(),
        };
    }
    if trial.is(ssh(start)) {
        return Speech::Ssh;
    }
    if trial.is(all_of(start, HTTP2_PREFACE)) {
        return Speech::Http2;
    }
    if trial.is(proxy1(start)) {
        return Speech::Proxy1;
    }
    if trial.is(proxy2(start)) {
        return Speech::Proxy2;
    }
    if trial.is(start.word_is(0x0d0a_4000_0000_0000, 0xffff_c000_0000_0000)) {
        return Speech::LineBreak;
    }
    if trial.is(redis(start)) {
        return Speech::Redis;
    }
    if trial.is(postgres_startup(start)) {
        return Speech::Postgres;
    }
    if trial.is(postgres_request(start)) {
        return Speech::PostgresTls;
    }
    if trial.is(old_tls(start)) {
        return Speech::OldTls;
    }
    for greeting in [b"ehlo ", b"helo ", b"lhlo "] {
        if trial.is(start.starts_with_word(greeting)) {
            return Speech::Hello;
        }
    }
    trial.end()
}

/// Bytes that the PROXY protocol's second version takes, its header of 16 bytes included.
#[inline(always)]
#[must_use]
pub const fn proxy2_len(start: &Start) -> u32 {
    16 + (((start.byte(14) as u32) << 8) | start.byte(15) as u32)
}

const HTTP2_PREFACE: [u64; 3] = [
    u64::from_be_bytes(*b"PRI * HT"),
    u64::from_be_bytes(*b"TP/2.0\r\n"),
    u64::from_be_bytes(*b"\r\nSM\r\n\r\n"),
];

#[inline(always)]
const fn all_of(start: &Start, pattern: [u64; 3]) -> Match {
    let mut differs = 0;
    let mut i = 0;
    while i < 3 {
        differs |= (start.words[i] ^ pattern[i]) & start.known[i];
        i += 1;
    }
    if differs != 0 {
        Match::No
    } else if start.has(24) {
        Match::Yes
    } else {
        Match::NeedsMore
    }
}

/// `80 LL 01 03 00-03`: weak, so the server has to answer in TLS.
#[inline(always)]
const fn old_tls(start: &Start) -> Match {
    start.word_is(0x8000_0103_0000_0000, 0x8000_ffff_fc00_0000)
}

#[inline(always)]
const fn proxy1(start: &Start) -> Match {
    match start.starts_with(b"PROXY TC") {
        Match::No => start.starts_with(b"PROXY UN"),
        found => found,
    }
}

/// The signature, and version 2 with LOCAL or PROXY; up to its length.
#[inline(always)]
const fn proxy2(start: &Start) -> Match {
    let first = start.word_is(0x0d0a_0d0a_000d_0a51, u64::MAX);
    let second = start
        .beyond(8)
        .word_is(0x5549_540a_2000_0000, 0xffff_ffff_fe00_0000);
    let whole = if start.has(16) {
        Match::Yes
    } else {
        Match::NeedsMore
    };
    both(both(first, second), whole)
}

/// One of the nine methods (RFC 9110 section 9, RFC 5789), a blank, a target, and text from there
/// on: eight bytes at least. See [`client`].
#[inline(always)]
#[must_use]
pub fn request<W: Words>(start: &Start) -> Speech {
    let mut trial = Trial { needs_more: false };
    let len = if trial.is(start.starts_with(b"GET")) || trial.is(start.starts_with(b"PUT")) {
        3
    } else if trial.is(start.starts_with(b"POST")) || trial.is(start.starts_with(b"HEAD")) {
        4
    } else if trial.is(start.starts_with(b"PATCH")) || trial.is(start.starts_with(b"TRACE")) {
        5
    } else if trial.is(start.starts_with(b"DELETE")) {
        6
    } else if trial.is(start.starts_with(b"OPTIONS")) || trial.is(start.starts_with(b"CONNECT")) {
        7
    } else {
        return trial.end();
    };
    let rest = start.beyond(W::forget(len) as u32 & 7);
    let (blank, target) = (rest.byte(0), rest.byte(1));
    let is_blank = !rest.has(1) || blank == b' ' || blank == b'\t';
    // A path, an asterisk, or a URI, perhaps behind more blanks; of a tunnel, whoever is to be called.
    let is_target = !rest.has(2)
        || matches!(target, b'/' | b'*' | b'h' | b'H' | b' ' | b'\t')
        || start.byte(0) == b'C' && target.is_ascii_graphic();
    if !is_blank || !is_target || !start.is_text() {
        Speech::Unknown
    } else if !start.has(8) || !rest.has(2) {
        Speech::Pending
    } else if matches!(start.starts_with(b"CONNECT"), Match::Yes) {
        Speech::Connect
    } else {
        Speech::Http1
    }
}

/// `*N\r\n$N`: an array of bulk strings, as every client sends its commands.
#[inline(always)]
fn redis(start: &Start) -> Match {
    const DIGIT: u64 = 0x30;
    /// `*`, a digit, CR LF `$`, a digit; only the upper halves of the digits count.
    const ONE: u64 = (b'*' as u64) << 56 | DIGIT << 48 | 0x0d_0a24 << 24 | DIGIT << 16;
    const TWO: u64 = (b'*' as u64) << 56 | DIGIT << 48 | DIGIT << 40 | 0x0d_0a24 << 16 | DIGIT << 8;
    let one = start.word_is(ONE, 0xfff0_ffff_fff0_0000);
    let two = start.word_is(TWO, 0xfff0_f0ff_ffff_f000);
    let has_digits = |at: [u32; 2]| {
        let digit = |at| !start.has(at + 1) || start.byte(at).is_ascii_digit();
        digit(at[0]) && digit(at[1])
    };
    match (one, two) {
        (Match::Yes, _) if has_digits([1, 5]) => Match::Yes,
        (_, Match::Yes) if has_digits([1, 2]) && start.byte(6).is_ascii_digit() => Match::Yes,
        (Match::NeedsMore, _) | (_, Match::NeedsMore) => Match::NeedsMore,
        _ => Match::No,
    }
}

/// `00 00 LL LL 00 03 00 00-03`: protocol 3.x, in a message of less than 64 KiB.
#[inline(always)]
const fn postgres_startup(start: &Start) -> Match {
    let found = start.word_is(0x0000_0000_0003_0000, 0xffff_0000_ffff_fffc);
    if start.has(4) && start.byte(2) == 0 && start.byte(3) <= 8 {
        Match::No
    } else {
        found
    }
}

/// A request for TLS, or for GSS encryption.
#[inline(always)]
const fn postgres_request(start: &Start) -> Match {
    match start.word_is(0x0000_0008_04d2_162f, u64::MAX) {
        Match::No => start.word_is(0x0000_0008_04d2_1630, u64::MAX),
        found => found,
    }
}

/// A log-in or a request for TLS: the second packet, of a client of protocol 4.1.
#[inline(always)]
fn mysql(start: &Start) -> Option<Speech> {
    if !start.has(6) {
        return Some(Speech::Pending);
    }
    if start.byte(3) != 1 || start.byte(2) != 0 {
        return None;
    }
    // CLIENT_SSL; a request for TLS ends before the user's name.
    let asks = start.byte(5) & 0x08 != 0 && start.byte(0) == 0x20 && start.byte(1) == 0;
    Some(if asks {
        Speech::MysqlTls
    } else {
        Speech::Mysql
    })
}

/// Bytes of a MySQL request for TLS.
pub const MYSQL_TLS_LEN: u32 = 36;
