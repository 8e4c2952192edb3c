//! What a head is: signatures of what clients and servers say first.
//!
//! Only exact signatures match, and none on fewer than four bytes unless both sides' bytes have to
//! fit together. What matches nothing is [`Speech::Unknown`], never plaintext by elimination.
//!
//! To add a protocol: its word in [`Protocol`], its signatures here, its rows in
//! [`super::course`].

use super::head::{Head, Match, Start, word};
use crate::{
    limit::{Alone, Words},
    protocol::Protocol,
};

/// What one side says.
///
/// A number, not an enumeration: the verifier would follow each of them through all that comes after
/// it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Speech(pub u8);

#[expect(
    non_upper_case_globals,
    reason = "they stand where the variants of an enumeration would"
)]
impl Speech {
    /// Too little to tell.
    pub const Pending: Self = Self(0);
    /// Enough to tell that it matches nothing.
    pub const Unknown: Self = Self(1);
    /// A TLS ClientHello or ServerHello (RFC 8446 section 4).
    pub const Tls: Self = Self(2);
    /// A ClientHello in the form of SSL 2 that offers TLS (RFC 5246 appendix E.2): weak.
    pub const OldTls: Self = Self(3);
    /// A fatal TLS alert.
    pub const Alert: Self = Self(4);
    /// A TLS alert that is a warning: a ServerHello may follow.
    pub const Warning: Self = Self(5);
    /// An SSH version exchange (RFC 4253 section 4.2).
    pub const Ssh: Self = Self(6);
    /// An HTTP/1 request line (RFC 9112 section 3).
    pub const Http1: Self = Self(7);
    /// The same for a tunnel.
    pub const Connect: Self = Self(8);
    /// The HTTP/2 preface with prior knowledge (RFC 9113 section 3.4).
    pub const Http2: Self = Self(9);
    /// A Redis command.
    pub const Redis: Self = Self(10);
    /// A PostgreSQL start-up message.
    pub const Postgres: Self = Self(11);
    /// A PostgreSQL request for TLS or GSS encryption.
    pub const PostgresTls: Self = Self(12);
    /// A MySQL log-in.
    pub const Mysql: Self = Self(13);
    /// A MySQL request for TLS.
    pub const MysqlTls: Self = Self(14);
    /// A command of SMTP, IMAP, POP or FTP that says who calls or what is wanted.
    pub const Command: Self = Self(15);
    /// Any other line of theirs: what comes before TLS, too.
    pub const Hello: Self = Self(16);
    /// A request of theirs for TLS.
    pub const StartTls: Self = Self(17);
    /// A line break in front of a request, which servers ignore (RFC 9112 section 2.2).
    pub const LineBreak: Self = Self(36);
    /// PROXY protocol version 1: a line.
    pub const Proxy1: Self = Self(18);
    /// PROXY protocol version 2.
    pub const Proxy2: Self = Self(19);
    /// HTTP status 2xx.
    pub const HttpOk: Self = Self(20);
    /// HTTP status 101.
    pub const HttpSwitch: Self = Self(21);
    /// HTTP status 301 or 308.
    pub const HttpMoved: Self = Self(22);
    /// HTTP status 400.
    pub const HttpBad: Self = Self(23);
    /// Any other HTTP status.
    pub const HttpOther: Self = Self(24);
    /// An HTTP/2 SETTINGS frame (RFC 9113 section 6.5).
    pub const Http2Settings: Self = Self(25);
    /// A reply of Redis.
    pub const RedisReply: Self = Self(26);
    /// PostgreSQL asks who calls, or goes on.
    pub const PostgresReply: Self = Self(27);
    /// PostgreSQL refuses.
    pub const PostgresError: Self = Self(28);
    /// A MySQL greeting.
    pub const MysqlGreeting: Self = Self(29);
    /// A MySQL answer to a log-in.
    pub const MysqlReply: Self = Self(30);
    /// MySQL refuses.
    pub const MysqlError: Self = Self(31);
    /// A greeting of SMTP or FTP.
    pub const Greeting220: Self = Self(32);
    /// A greeting of POP.
    pub const GreetingPop: Self = Self(33);
    /// A greeting of IMAP.
    pub const GreetingImap: Self = Self(34);
    /// Any answer of SMTP, IMAP, POP or FTP.
    pub const Reply: Self = Self(35);
    /// How many there are.
    pub const COUNT: u8 = 37;

    /// The speech with this number, of which the lowest eight bits count.
    #[inline(always)]
    #[must_use]
    pub const fn numbered(number: u32) -> Self {
        Self(number as u8)
    }

    /// A request that anybody on the way can read, by an exact signature.
    #[inline(always)]
    #[must_use]
    pub const fn is_plaintext_request(self) -> bool {
        matches!(
            self,
            Self::Http1 | Self::Http2 | Self::Redis | Self::Postgres | Self::Mysql | Self::Command
        )
    }

    /// The protocol it belongs to, if it tells.
    #[inline(always)]
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Tls | Self::OldTls => Protocol::Tls,
            Self::Ssh => Protocol::Ssh,
            Self::Http1 | Self::Connect => Protocol::Http1,
            Self::Http2 => Protocol::Http2,
            Self::Redis => Protocol::Redis,
            Self::Postgres | Self::PostgresTls => Protocol::Postgres,
            Self::Mysql | Self::MysqlTls | Self::MysqlGreeting => Protocol::Mysql,
            Self::Greeting220 => Protocol::Smtp,
            Self::GreetingPop => Protocol::Pop,
            Self::GreetingImap => Protocol::Imap,
            _ => Protocol::Unknown,
        }
    }
}

/// Signatures, tried one after the other.
struct Trial {
    needs_more: bool,
}

impl Trial {
    #[inline(always)]
    fn is(&mut self, found: Match) -> bool {
        self.needs_more |= matches!(found, Match::NeedsMore);
        matches!(found, Match::Yes)
    }

    /// When none has matched.
    #[inline(always)]
    fn end(&self) -> Speech {
        if self.needs_more {
            Speech::Pending
        } else {
            Speech::Unknown
        }
    }
}

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

/// What a server's head is, which answers a client that says `client`.
#[inline(always)]
#[must_use]
pub fn server(start: &Start, protocol: Protocol, client: Speech) -> Speech {
    let mut trial = Trial { needs_more: false };
    if start.is_empty() {
        return Speech::Pending;
    }
    if trial.is(tls(start, 0x02)) {
        return Speech::Tls;
    }
    if trial.is(alert(start, 2)) {
        return Speech::Alert;
    }
    if trial.is(alert(start, 1)) {
        return Speech::Warning;
    }
    if trial.is(status(start)) {
        return status_class(start);
    }
    if trial.is(ssh(start)) {
        return Speech::Ssh;
    }
    match client {
        // A server need not wait for the client (RFC 9113 section 3.4).
        Speech::Http2 | Speech::Pending if trial.is(settings(start)) => {
            return Speech::Http2Settings;
        }
        Speech::Redis if trial.is(redis_reply(start)) => return Speech::RedisReply,
        Speech::Postgres if trial.is(postgres_reply(start)) => return Speech::PostgresReply,
        Speech::Postgres if trial.is(start.word_is(PG_ERROR, PG_ERROR_CARE)) => {
            return Speech::PostgresError;
        }
        Speech::Mysql => return mysql_reply(start),
        Speech::Hello | Speech::Command | Speech::StartTls if protocol.is_mail() => {
            return mail_reply(start);
        }
        _ => {}
    }
    if trial.is(start.word_is(MYSQL_GREETING, MYSQL_GREETING_CARE)) {
        return Speech::MysqlGreeting;
    }
    if trial.is(start.starts_with(b"220 ")) || trial.is(start.starts_with(b"220-")) {
        return Speech::Greeting220;
    }
    if trial.is(start.starts_with(b"+OK ")) || trial.is(start.starts_with(b"+OK\r")) {
        return Speech::GreetingPop;
    }
    if trial.is(start.starts_with(b"* OK ")) || trial.is(start.starts_with(b"* PREAUT")) {
        return Speech::GreetingImap;
    }
    trial.end()
}

/// Whether it is FTP that a client speaks behind a greeting that SMTP has too.
#[inline(always)]
#[must_use]
pub fn is_ftp(start: &Start) -> bool {
    let mut trial = Trial { needs_more: false };
    trial.is(start.starts_with_word(b"user "))
        || trial.is(start.starts_with_word(b"feat"))
        || trial.is(start.starts_with_word(b"syst"))
        || trial.is(start.starts_with_word(b"auth tls"))
        || trial.is(start.starts_with_word(b"auth ssl"))
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

/// One match after the other has to be there.
#[inline(always)]
const fn both(one: Match, other: Match) -> Match {
    match (one, other) {
        (Match::No, _) | (_, Match::No) => Match::No,
        (Match::Yes, Match::Yes) => Match::Yes,
        _ => Match::NeedsMore,
    }
}

/// `16 03 00-03 LL LL` and a handshake message of less than 64 KiB with the version of SSL 3 or
/// TLS in it (RFC 8446 sections 4 and 5.1). The record need not hold all of it.
#[inline(always)]
const fn tls(start: &Start, kind: u8) -> Match {
    let record = start.word_is(
        0x1603_0000_0000_0000 | (kind as u64) << 16,
        0xffff_fc00_00ff_ff00,
    );
    // Not even the header of the message fits in such a record.
    if start.byte(3) == 0 && start.byte(4) < 9 {
        return record;
    }
    both(
        record,
        start.beyond(8).word_is(0x0003 << 48, 0x00ff_fc00_0000_0000),
    )
}

/// `80 LL 01 03 00-03`: weak, so the server has to answer in TLS.
#[inline(always)]
const fn old_tls(start: &Start) -> Match {
    start.word_is(0x8000_0103_0000_0000, 0x8000_ffff_fc00_0000)
}

/// `15 03 00-03 00 02`, its level, and a description below 128 (RFC 8446 section 6).
#[inline(always)]
const fn alert(start: &Start, level: u8) -> Match {
    start.word_is(
        0x1503_0000_0200_0000 | (level as u64) << 16,
        0xffff_fcff_ffff_8000,
    )
}

/// `SSH-1.` or `SSH-2.`.
#[inline(always)]
const fn ssh(start: &Start) -> Match {
    match start.starts_with(b"SSH-2.") {
        Match::No => start.starts_with(b"SSH-1."),
        found => found,
    }
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

/// `LL LL 00 00 0a` and a digit: version 10 of the protocol, then the server's version.
const MYSQL_GREETING: u64 = 0x0000_0000_0a30_0000;
const MYSQL_GREETING_CARE: u64 = 0x0000_ffff_fff0_0000;

#[inline(always)]
const fn mysql_reply(start: &Start) -> Speech {
    if !start.has(5) {
        return Speech::Pending;
    }
    match (start.byte(3), start.byte(4)) {
        (2, 0xff) => Speech::MysqlError,
        (2, 0x00 | 0x01 | 0xfe) => Speech::MysqlReply,
        _ => Speech::Unknown,
    }
}

/// `HTTP/`, a version, a blank and three digits.
#[inline(always)]
fn status(start: &Start) -> Match {
    let version = start.word_is(0x4854_5450_2f30_2e30, 0xffff_ffff_fff0_fff0);
    let code = start
        .beyond(8)
        .word_is(0x2030_3030 << 32, 0xfff0_f0f0 << 32);
    both(version, code)
}

#[inline(always)]
fn status_class(start: &Start) -> Speech {
    match [start.byte(9), start.byte(10), start.byte(11)] {
        [b'2', _, _] => Speech::HttpOk,
        [b'1', b'0', b'1'] => Speech::HttpSwitch,
        [b'3', b'0', b'1' | b'8'] => Speech::HttpMoved,
        [b'4', b'0', b'0'] => Speech::HttpBad,
        _ => Speech::HttpOther,
    }
}

/// A SETTINGS frame of less than 64 KiB on stream 0, no more flags than ACK.
#[inline(always)]
const fn settings(start: &Start) -> Match {
    both(
        start.word_is(0x0000_0004_0000_0000, 0xff00_00ff_feff_ffff),
        start.beyond(8).word_is(0, 0xff << 56),
    )
}

/// A type, text behind it, four bytes at least. Weak, so the client has to have spoken Redis.
#[inline(always)]
fn redis_reply(start: &Start) -> Match {
    let kind = start.byte(0);
    let is_kind = matches!(
        kind,
        b'+' | b'-' | b':' | b'$' | b'*' | b'%' | b'_' | b'#' | b',' | b'(' | b'=' | b'~' | b'>'
    );
    if !is_kind || !start.is_text() && matches!(kind, b'+' | b'-' | b':') {
        Match::No
    } else if start.has(4) {
        Match::Yes
    } else {
        Match::NeedsMore
    }
}

/// `R`, a length below 16 MiB and a small number; or `v`, a length below 64 KiB, and protocol 3.
#[inline(always)]
const fn postgres_reply(start: &Start) -> Match {
    match start.word_is(0x5200_0000_0000_0000, 0xffff_0000_00ff_ffff) {
        Match::No => start.word_is(0x7600_0000_0000_0300, 0xffff_ff00_00ff_ff00),
        found => found,
    }
}

/// `E`, a length, and the severity.
const PG_ERROR: u64 = 0x4500_0000_0053_0000;
const PG_ERROR_CARE: u64 = 0xffff_0000_00ff_0000;

/// Any line: three bytes of text.
#[inline(always)]
const fn mail_reply(start: &Start) -> Speech {
    if !start.is_text() {
        Speech::Unknown
    } else if start.has(3) {
        Speech::Reply
    } else {
        Speech::Pending
    }
}

/// What a line of a client is that a server has greeted: as soon as it has eight bytes, or has
/// ended. See [`client`].
#[inline(always)]
#[must_use]
pub fn mail<W: Words>(start: &Start, protocol: Protocol) -> Speech {
    if !start.is_text() {
        return Speech::Unknown;
    }
    let is_imap = matches!(protocol, Protocol::Imap);
    let tag_len = if is_imap { tag_len::<W>(start) } else { 0 };
    if is_imap && tag_len == 0 && start.has(16) {
        return Speech::Unknown;
    }
    let line = start.beyond(tag_len);
    let (said, is_whole) = (line.words[0] | SMALL, line.has(8));
    if !is_whole && !has_line_end(line.words[0]) {
        return Speech::Pending;
    }
    let asks = match protocol {
        Protocol::Pop => says(said, b"stls"),
        Protocol::Imap => says(said, b"starttls"),
        _ => says(said, b"starttls") || says(said, b"auth tls") || says(said, b"auth ssl"),
    };
    if asks {
        return Speech::StartTls;
    }
    let mut is_command = 0;
    for command in [
        b"auth ", b"user ", b"pass ", b"mail ", b"apop ", b"acct ", b"login", b"authe", b"selec",
        b"rcpt ", b"retr ", b"stor ",
    ] {
        is_command = W::forget(is_command | u64::from(says(said, command)));
    }
    if is_command != 0 {
        Speech::Command
    } else {
        Speech::Hello
    }
}

/// Makes letters small.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// Whether a word of small letters starts with a text of up to eight of them.
#[inline(always)]
const fn says<const N: usize>(small: u64, text: &[u8; N]) -> bool {
    small >> (64 - 8 * N) == word(text) >> (64 - 8 * N)
}

/// Whether a byte of a word ends a line.
#[inline(always)]
const fn has_line_end(bytes: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_where_it_ends = bytes ^ (ONES * b'\n' as u64);
    zero_where_it_ends.wrapping_sub(ONES) & !zero_where_it_ends & ONES << 7 != 0
}

/// Bytes of the tag of an IMAP command and the blank behind it; none where there is none.
#[inline(always)]
fn tag_len<W: Words>(start: &Start) -> u32 {
    let mut len = 0;
    for at in (1..16).rev() {
        if start.byte(at) == b' ' {
            len = at + 1;
        }
        len = W::forget(len.into()) as u32 & 31;
    }
    len
}

#[cfg(test)]
#[path = "speech_tests.rs"]
mod tests;
