//! What a head is: signatures of what clients and servers say first.
//!
//! Only exact signatures match, and none on fewer than four bytes unless both sides' bytes have to
//! fit together. What matches nothing is [`Speech::Unknown`], never plaintext by elimination.
//!
//! To add a protocol: its word in [`Protocol`], its signatures in `speech/`, its rows in
//! [`super::course`].

use super::head::{Match, Start};
use crate::protocol::Protocol;

mod lines;
mod replies;
mod requests;

pub use lines::{is_ftp, mail};
pub use replies::server;
pub use requests::{MYSQL_TLS_LEN, client, greeting, joined, proxy2_len, request};

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

/// `SSH-1.` or `SSH-2.`.
#[inline(always)]
const fn ssh(start: &Start) -> Match {
    match start.starts_with(b"SSH-2.") {
        Match::No => start.starts_with(b"SSH-1."),
        found => found,
    }
}

#[cfg(test)]
mod tests;
