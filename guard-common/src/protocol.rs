//! What is spoken on a connection, as far as its first bytes tell.

/// A protocol.
///
/// To add one: a variant here and its word, then its signatures in `connection/speech/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// Nothing we know, or too few bytes.
    Unknown = 0,
    /// TLS from the first byte on.
    Tls = 1,
    /// SSH: encrypted by itself.
    Ssh = 2,
    /// HTTP/1.
    Http1 = 3,
    /// HTTP/2 with prior knowledge.
    Http2 = 4,
    /// gRPC over that, where it could be told.
    Grpc = 5,
    /// WebSocket, after an upgrade of HTTP/1.
    Websocket = 6,
    /// Redis.
    Redis = 7,
    /// PostgreSQL.
    Postgres = 8,
    /// MySQL, and what speaks as it does.
    Mysql = 9,
    /// SMTP and LMTP.
    Smtp = 10,
    /// IMAP.
    Imap = 11,
    /// POP3.
    Pop = 12,
    /// FTP's control connection.
    Ftp = 13,
}

impl Protocol {
    /// Every protocol, in the order of its number.
    pub const ALL: [Self; 14] = [
        Self::Unknown,
        Self::Tls,
        Self::Ssh,
        Self::Http1,
        Self::Http2,
        Self::Grpc,
        Self::Websocket,
        Self::Redis,
        Self::Postgres,
        Self::Mysql,
        Self::Smtp,
        Self::Imap,
        Self::Pop,
        Self::Ftp,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The stable word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Tls => "tls",
            Self::Ssh => "ssh",
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Grpc => "grpc",
            Self::Websocket => "websocket",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Pop => "pop",
            Self::Ftp => "ftp",
        }
    }

    /// The protocol with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The protocol with this number; [`Protocol::Unknown`] where there is none.
    #[inline(always)]
    #[must_use]
    pub const fn numbered(number: u32) -> Self {
        // A table would need a bound that some verifiers do not follow.
        macro_rules! numbered {
            ($($protocol:ident)+) => {
                $(if number == Self::$protocol as u32 { return Self::$protocol; })+
            };
        }
        numbered!(Tls Ssh Http1 Http2 Grpc Websocket Redis Postgres Mysql Smtp Imap Pop Ftp);
        Self::Unknown
    }

    /// Lines of commands, which a greeting of the server precedes.
    #[inline(always)]
    #[must_use]
    pub const fn is_mail(self) -> bool {
        matches!(self, Self::Smtp | Self::Imap | Self::Pop | Self::Ftp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back() {
        for (number, protocol) in (0..).zip(Protocol::ALL) {
            assert_eq!(protocol as u32, number);
            assert_eq!(Protocol::numbered(number), protocol);
        }
        assert_eq!(Protocol::numbered(99), Protocol::Unknown);
    }
}
