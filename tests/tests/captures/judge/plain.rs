//! Protocols in the clear, told by fields that only their own words make.

use super::packet::Packet;

const SMTP: [&str; 16] = [
    "HELO", "EHLO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "AUTH", "STAR", "STARTTLS", "QUIT",
    "RSET", "NOOP", "VRFY", "EXPN", "HELP",
];
const IMAP: [&str; 16] = [
    "CAPABILITY",
    "LOGIN",
    "AUTHENTICATE",
    "STARTTLS",
    "SELECT",
    "EXAMINE",
    "LIST",
    "LSUB",
    "STATUS",
    "NOOP",
    "LOGOUT",
    "FETCH",
    "UID",
    "ID",
    "NAMESPACE",
    "IDLE",
];
const POP: [&str; 14] = [
    "USER", "PASS", "APOP", "AUTH", "CAPA", "STLS", "STAT", "LIST", "RETR", "DELE", "NOOP", "TOP",
    "UIDL", "QUIT",
];
const FTP: [&str; 24] = [
    "USER", "PASS", "ACCT", "AUTH", "PBSZ", "PROT", "FEAT", "SYST", "OPTS", "CWD", "PWD", "XPWD",
    "TYPE", "PASV", "EPSV", "PORT", "EPRT", "LIST", "NLST", "RETR", "STOR", "SIZE", "NOOP", "QUIT",
];
/// What PostgreSQL's client says inside a connection: query, parse, password, terminate.
const PGSQL: [&str; 4] = ["81", "80", "112", "88"];

/// A protocol in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Plain {
    /// HTTP/1.
    Http,
    /// HTTP/2 with prior knowledge.
    Http2,
    /// Redis: RESP.
    Redis,
    /// PostgreSQL.
    Pgsql,
    /// `MySQL` and its kin.
    Mysql,
    /// SMTP, LMTP and submission.
    Smtp,
    /// IMAP.
    Imap,
    /// POP3.
    Pop,
    /// FTP's control connection.
    Ftp,
}

impl Plain {
    /// What a packet asks for, where a client sent it.
    pub(super) fn request(packet: &Packet) -> Option<Self> {
        // A capture may lack the end of a long request line.
        let is_version = |version: &String| {
            version.starts_with("HTTP/") || packet.is_cut && "HTTP/".starts_with(version)
        };
        let found = [
            (
                packet.all("http.request.version").iter().any(is_version),
                Self::Http,
            ),
            (packet.has("http2.magic"), Self::Http2),
            (packet.has("resp.array.length"), Self::Redis),
            (
                packet.has("pgsql.version_major") || is_pgsql_request(packet),
                Self::Pgsql,
            ),
            (
                packet.has("mysql.login_request") || packet.has("mysql.command"),
                Self::Mysql,
            ),
            (packet.is_any("smtp.req.command", &SMTP), Self::Smtp),
            (packet.is_any("imap.request.command", &IMAP), Self::Imap),
            (packet.is_any("pop.request.command", &POP), Self::Pop),
            (packet.is_any("ftp.request.command", &FTP), Self::Ftp),
        ];
        told(packet, found)
    }

    /// What a packet answers, where a server sent it; a greeting is no different from an answer.
    pub(super) fn answer(packet: &Packet) -> Option<Self> {
        let resp = [
            "resp.string",
            "resp.error",
            "resp.integer",
            "resp.bulk_string.length",
        ];
        let found = [
            (packet.has("http.response.code"), Self::Http),
            (packet.has("http2.type"), Self::Http2),
            (
                packet.has("resp.array.length") || resp.iter().any(|name| packet.has(name)),
                Self::Redis,
            ),
            (packet.has("pgsql.type"), Self::Pgsql),
            (
                packet.has("mysql.response_code") || packet.has("mysql.server_greeting"),
                Self::Mysql,
            ),
            (packet.has("smtp.response.code"), Self::Smtp),
            (
                packet.is_any(
                    "imap.response.status",
                    &["OK", "NO", "BAD", "BYE", "PREAUTH"],
                ),
                Self::Imap,
            ),
            (
                packet.is_any("pop.response.indicator", &["+OK", "-ERR"]),
                Self::Pop,
            ),
            (packet.has("ftp.response.code"), Self::Ftp),
        ];
        told(packet, found)
    }
}

fn is_pgsql_request(packet: &Packet) -> bool {
    packet
        .all("pgsql.type")
        .iter()
        .any(|kind| PGSQL.contains(&kind.as_str()))
}

/// The first that is so; nothing in the clear is inside TLS.
fn told<const N: usize>(packet: &Packet, found: [(bool, Plain); N]) -> Option<Plain> {
    if packet.is_in_tls() {
        return None;
    }
    found
        .into_iter()
        .find_map(|(is_so, plain)| is_so.then_some(plain))
}
