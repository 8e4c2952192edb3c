//! What the first bytes of a TCP payload say: TLS, a known plaintext protocol, or nothing yet.
//!
//! Only exact signatures decide, on 8 bytes or more: a decision on fewer would take ciphertext
//! for plaintext every so often. What matches nothing is undecided, never plaintext by
//! elimination.

/// Bytes looked at.
pub const HEAD_LEN: usize = 16;
/// With fewer bytes nothing is decided.
pub const HEAD_MIN: usize = 8;

/// What a payload starts with.
///
/// To add one: a variant here, its word, and its signature in [`Protocol::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// Nothing we know, or too few bytes.
    Undecided = 0,
    /// A TLS ClientHello.
    Tls = 1,
    /// An SSH version exchange (RFC 4253 section 4.2): encrypted by itself.
    Ssh = 2,
    /// An HTTP/1 request line (RFC 9112 section 3).
    Http1 = 3,
    /// The HTTP/2 preface with prior knowledge (RFC 9113 section 3.4).
    Http2 = 4,
    /// A Redis command.
    Redis = 5,
    /// A PostgreSQL start-up message without TLS.
    Postgres = 6,
}

impl Protocol {
    /// Every protocol, in the order of its number.
    pub const ALL: [Self; 7] = [
        Self::Undecided,
        Self::Tls,
        Self::Ssh,
        Self::Http1,
        Self::Http2,
        Self::Redis,
        Self::Postgres,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The stable word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Undecided => "undecided",
            Self::Tls => "tls",
            Self::Ssh => "ssh",
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }

    /// The protocol with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Anybody on the way can read it.
    #[inline(always)]
    #[must_use]
    pub const fn is_plaintext(self) -> bool {
        matches!(
            self,
            Self::Http1 | Self::Http2 | Self::Redis | Self::Postgres
        )
    }

    /// What a payload of at least [`HEAD_MIN`] bytes starts with.
    #[inline(always)]
    #[must_use]
    pub fn of(head: Head) -> Self {
        match head.byte(0) {
            0x16 if is_client_hello(head) => Self::Tls,
            0x00 if is_postgres_startup(head) => Self::Postgres,
            b'*' if is_redis_command(head) => Self::Redis,
            b'S' if head.first == SSH_2 || head.first == SSH_1_99 => Self::Ssh,
            b'P' if head.first == HTTP2[0] && head.second == HTTP2[1] => Self::Http2,
            b'C' | b'D' | b'G' | b'H' | b'O' | b'P' | b'T' if is_http_request(head) => Self::Http1,
            _ => Self::Undecided,
        }
    }
}

/// A payload's first [`HEAD_LEN`] bytes as two big-endian words, filled up with zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    first: u64,
    second: u64,
}

impl Head {
    /// From the words as they lie in memory.
    #[inline(always)]
    #[must_use]
    pub const fn new(words: [u64; 2]) -> Self {
        Self {
            first: u64::from_be(words[0]),
            second: u64::from_be(words[1]),
        }
    }

    #[inline(always)]
    const fn byte(self, position: u32) -> u8 {
        (self.first >> (56 - 8 * position)) as u8
    }
}

const SSH_2: u64 = u64::from_be_bytes(*b"SSH-2.0-");
const SSH_1_99: u64 = u64::from_be_bytes(*b"SSH-1.99");
const HTTP2: [u64; 2] = [
    u64::from_be_bytes(*b"PRI * HT"),
    u64::from_be_bytes(*b"TP/2.0\r\n"),
];

/// A handshake record with a ClientHello of less than 64 KiB (RFC 8446 sections 4 and 5.1). The
/// record need not hold all of it.
#[inline(always)]
const fn is_client_hello(head: Head) -> bool {
    head.byte(1) == 0x03 && head.byte(2) <= 0x03 && head.byte(5) == 0x01 && head.byte(6) == 0
}

/// `00 00 LL LL 00 03 00 00`: protocol 3.0, in a message of less than 64 KiB.
#[inline(always)]
const fn is_postgres_startup(head: Head) -> bool {
    let len = head.first >> 32;
    len > 8 && len < 1 << 16 && head.first as u32 == 0x0003_0000
}

/// `*N\r\n$N`: an array of bulk strings, as every client sends its commands.
#[inline(always)]
const fn is_redis_command(head: Head) -> bool {
    const MARK: u64 = 0x0d_0a24; // CR LF $
    let one_digit = (head.first >> 24) & 0xff_ffff == MARK;
    let two_digits = (head.first >> 16) & 0xff_ffff == MARK && head.byte(2).is_ascii_digit();
    let len = head.byte(if one_digit { 5 } else { 6 });
    head.byte(1).is_ascii_digit() && (one_digit || two_digits) && len.is_ascii_digit()
}

/// One of the nine methods (RFC 9110 section 9, RFC 5789), a blank, a target, and text from there
/// on.
#[inline(always)]
fn is_http_request(head: Head) -> bool {
    let target = if starts_with(head, b"GET") || starts_with(head, b"PUT") {
        head.first << 24
    } else if starts_with(head, b"POST") || starts_with(head, b"HEAD") {
        head.first << 32
    } else if starts_with(head, b"PATCH") || starts_with(head, b"TRACE") {
        head.first << 40
    } else if starts_with(head, b"DELETE") {
        head.first << 48
    } else if starts_with(head, b"OPTIONS") || starts_with(head, b"CONNECT") {
        (head.first << 56) | (head.second >> 8)
    } else {
        return false;
    };
    let (blank, start) = ((target >> 56) as u8, (target >> 48) as u8);
    let separated = (blank == b' ' || blank == b'\t') && start.is_ascii_graphic();
    separated && is_text(head.first) && is_text(head.second)
}

#[inline(always)]
fn starts_with<const N: usize>(head: Head, method: &[u8; N]) -> bool {
    let word = method
        .iter()
        .fold(0, |word, byte| (word << 8) | u64::from(*byte));
    head.first >> (64 - 8 * N) == word
}

/// No byte above 0x7f and none below the tab.
#[inline(always)]
const fn is_text(word: u64) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    /// Lifts a byte of 9 or more above 0x7f.
    const LIFT: u64 = 0x7777_7777_7777_7777;
    word & HIGH_BITS == 0 && (word + LIFT) & HIGH_BITS == HIGH_BITS
}

#[cfg(test)]
#[path = "protocol_tests.rs"]
mod tests;
