//! What servers say: greetings, and answers to what a client has said.

use super::{Speech, Trial, both, ssh, tls};
use crate::{
    connection::head::{Match, Start},
    protocol::Protocol,
};

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

/// `15 03 00-03 00 02`, its level, and a description below 128 (RFC 8446 section 6).
#[inline(always)]
const fn alert(start: &Start, level: u8) -> Match {
    start.word_is(
        0x1503_0000_0200_0000 | (level as u64) << 16,
        0xffff_fcff_ffff_8000,
    )
}

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
