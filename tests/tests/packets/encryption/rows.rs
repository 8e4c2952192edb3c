//! The rows of the table in `docs/ENCRYPTION.md`.

use super::payloads::*;
use crate::conversation::Does::{self, C, ClientReset, Close, S, ServerFin, ServerReset, Wait};

/// A row of the table.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) does: &'static [Does],
    pub(super) verdict: &'static str,
    pub(super) protocol: &'static str,
}

impl Row {
    /// Whether more of it matters than how each side begins.
    pub(super) fn needs_text(&self) -> bool {
        let is_told = ["rejected", "redirected"].contains(&self.verdict);
        let told = is_told && !self.name.contains("answered by") && self.protocol == "http1";
        told || ["websocket", "grpc"].contains(&self.protocol)
            || self.name.contains("PROXY 1")
            || self.name.contains("line break")
    }
}

const fn row(
    name: &'static str,
    does: &'static [Does],
    verdict: &'static str,
    protocol: &'static str,
) -> Row {
    Row {
        name,
        does,
        verdict,
        protocol,
    }
}

pub(super) const ROWS: &[Row] = &[
    row(
        "tls",
        &[C(CLIENT_HELLO), S(SERVER_HELLO), Close],
        "encrypted",
        "tls",
    ),
    row(
        "tls, refused by a fatal alert",
        &[C(CLIENT_HELLO), S(b"\x15\x03\x03\0\x02\x02\x28"), Close],
        "encrypted",
        "tls",
    ),
    row(
        "tls, warned first",
        &[
            C(CLIENT_HELLO),
            S(b"\x15\x03\x03\0\x02\x01\x70"),
            S(SERVER_HELLO),
            Close,
        ],
        "encrypted",
        "tls",
    ),
    row(
        "tls offered in an SSL 2 hello",
        &[C(OLD_HELLO), S(SERVER_HELLO), Close],
        "encrypted",
        "tls",
    ),
    row(
        "tls, never answered",
        &[C(CLIENT_HELLO), Close],
        "unknown",
        "tls",
    ),
    row(
        "tls, answered in HTTP",
        &[
            C(CLIENT_HELLO),
            S(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            Close,
        ],
        "unknown",
        "tls",
    ),
    row(
        "ssh, server first",
        &[S(SSH), C(SSH), Close],
        "encrypted",
        "ssh",
    ),
    row(
        "ssh, client first",
        &[C(SSH), S(SSH), Close],
        "encrypted",
        "ssh",
    ),
    row("ssh, one side alone", &[S(SSH), Close], "unknown", "ssh"),
    row(
        "http served",
        &[C(GET), S(OK), Close],
        "plaintext_served",
        "http1",
    ),
    row(
        "http refused, but in clear",
        &[C(GET), S(b"HTTP/1.1 404 Not Found\r\n\r\n"), Close],
        "plaintext_served",
        "http1",
    ),
    row(
        "http, a bad request",
        &[
            C(GET),
            S(b"HTTP/1.1 400 Bad Request\r\n\r\nno such id"),
            Close,
        ],
        "plaintext_served",
        "http1",
    ),
    row(
        "http on an HTTPS port",
        &[C(GET), S(WANTS_HTTPS), Close],
        "rejected",
        "http1",
    ),
    row(
        "http, answered by an alert",
        &[C(GET), S(b"\x15\x03\x03\0\x02\x02\x28"), Close],
        "rejected",
        "http1",
    ),
    row(
        "http, answered by RST",
        &[C(GET), ServerReset],
        "rejected",
        "http1",
    ),
    row(
        "http, sent on to HTTPS",
        &[C(GET), S(TO_HTTPS), Close],
        "redirected",
        "http1",
    ),
    row(
        "http, sent on elsewhere",
        &[
            C(GET),
            S(b"HTTP/1.1 301 Moved\r\nLocation: /b\r\n\r\n"),
            Close,
        ],
        "plaintext_served",
        "http1",
    ),
    row(
        "http, never answered",
        &[C(GET), Close],
        "plaintext_attempt",
        "http1",
    ),
    row(
        "http behind a line break",
        &[C(b"\r\nGET / HTTP/1.1\r\n\r\n"), S(OK), Close],
        "plaintext_served",
        "http1",
    ),
    row(
        "http, not answered in time",
        &[C(GET), Wait(12), Close],
        "plaintext_attempt",
        "http1",
    ),
    row(
        "http, closed without a word",
        &[C(GET), ServerFin],
        "plaintext_attempt",
        "http1",
    ),
    row(
        "http to a server that greets otherwise",
        &[S(SSH), C(GET), Close],
        "plaintext_attempt",
        "http1",
    ),
    row(
        "http, answered in another protocol",
        &[C(GET), S(b"-ERR unknown command\r\n"), Close],
        "plaintext_attempt",
        "http1",
    ),
    row(
        "websocket",
        &[
            C(GET),
            S(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
            Close,
        ],
        "plaintext_served",
        "websocket",
    ),
    row(
        "tunnel, then TLS",
        &[C(CONNECT), S(OK), C(CLIENT_HELLO), S(SERVER_HELLO), Close],
        "encrypted",
        "http1",
    ),
    row(
        "tunnel, then plaintext",
        &[C(CONNECT), S(OK), C(GET), S(OK), Close],
        "plaintext_served",
        "http1",
    ),
    row(
        "tunnel refused",
        &[
            C(CONNECT),
            S(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"),
            Close,
        ],
        "plaintext_served",
        "http1",
    ),
    row(
        "http2 with prior knowledge",
        &[C(HTTP2), S(SETTINGS), Close],
        "plaintext_served",
        "http2",
    ),
    row(
        "http2, server first",
        &[S(SETTINGS), C(HTTP2), Close],
        "plaintext_served",
        "http2",
    ),
    row(
        "http to a server of http2",
        &[S(SETTINGS), C(GET), Close],
        "plaintext_attempt",
        "http1",
    ),
    row(
        "grpc",
        &[C(HTTP2), S(SETTINGS), C(GRPC), S(&[1; 200]), Close],
        "plaintext_served",
        "grpc",
    ),
    row(
        "redis",
        &[C(b"*1\r\n$4\r\nPING\r\n"), S(b"+PONG\r\n"), Close],
        "plaintext_served",
        "redis",
    ),
    row(
        "redis, refused in clear",
        &[
            C(b"*1\r\n$4\r\nPING\r\n"),
            S(b"-NOAUTH Authentication required.\r\n"),
            Close,
        ],
        "plaintext_served",
        "redis",
    ),
    row(
        "redis on a TLS port",
        &[
            C(b"*1\r\n$4\r\nPING\r\n"),
            S(b"\x15\x03\x03\0\x02\x02\x46"),
            Close,
        ],
        "rejected",
        "redis",
    ),
    row(
        "postgres",
        &[C(PG_STARTUP), S(PG_AUTH), Close],
        "plaintext_served",
        "postgres",
    ),
    row(
        "postgres that wants TLS",
        &[
            C(PG_STARTUP),
            S(b"E\0\0\0\x50SFATAL\0VFATAL\0C28000\0"),
            Close,
        ],
        "rejected",
        "postgres",
    ),
    row(
        "postgres, TLS accepted",
        &[C(PG_TLS), S(b"S"), C(CLIENT_HELLO), S(SERVER_HELLO), Close],
        "encrypted",
        "postgres",
    ),
    row(
        "postgres, TLS refused",
        &[C(PG_TLS), S(b"N"), C(PG_STARTUP), S(PG_AUTH), Close],
        "plaintext_served",
        "postgres",
    ),
    row(
        "postgres, TLS refused, and left",
        &[C(PG_TLS), S(b"N"), Close],
        "unknown",
        "postgres",
    ),
    row(
        "mysql",
        &[
            S(MYSQL),
            C(MYSQL_LOGIN),
            S(b"\x07\0\0\x02\0\0\0\x02\0\0\0"),
            Close,
        ],
        "plaintext_served",
        "mysql",
    ),
    row(
        "mysql that wants TLS",
        &[
            S(MYSQL),
            C(MYSQL_LOGIN),
            S(b"\x48\0\0\x02\xff\x57\x0c#HY000"),
            Close,
        ],
        "rejected",
        "mysql",
    ),
    row(
        "mysql with TLS",
        &[
            S(MYSQL),
            C(MYSQL_TLS),
            C(CLIENT_HELLO),
            S(SERVER_HELLO),
            Close,
        ],
        "encrypted",
        "mysql",
    ),
    row(
        "mysql, greeting alone",
        &[S(MYSQL), Close],
        "unknown",
        "mysql",
    ),
    row(
        "smtp with STARTTLS",
        &[
            S(SMTP),
            C(b"EHLO a\r\n"),
            S(b"250-b\r\n250 STARTTLS\r\n"),
            C(b"STARTTLS\r\n"),
            S(b"220 go\r\n"),
            C(CLIENT_HELLO),
            S(SERVER_HELLO),
            Close,
        ],
        "encrypted",
        "smtp",
    ),
    row(
        "smtp, STARTTLS refused",
        &[
            S(SMTP),
            C(b"EHLO a\r\n"),
            S(b"250 b\r\n"),
            C(b"STARTTLS\r\n"),
            S(b"454 no\r\n"),
            C(b"MAIL FROM:<a@b>\r\n"),
            S(b"250 ok\r\n"),
            Close,
        ],
        "plaintext_served",
        "smtp",
    ),
    row(
        "smtp in clear",
        &[
            S(SMTP),
            C(b"HELO a\r\n"),
            S(b"250 b\r\n"),
            C(b"MAIL FROM:<a@b>\r\n"),
            S(b"250 ok\r\n"),
            Close,
        ],
        "plaintext_served",
        "smtp",
    ),
    row(
        "smtp, a few words",
        &[
            S(SMTP),
            C(b"EHLO a\r\n"),
            S(b"250 b\r\n"),
            C(b"QUIT\r\n"),
            S(b"221 bye\r\n"),
            Close,
        ],
        "plaintext_served",
        "smtp",
    ),
    row("smtp, greeting alone", &[S(SMTP), Close], "unknown", "smtp"),
    row(
        "imap with STARTTLS",
        &[
            S(IMAP),
            C(b"a1 CAPABILITY\r\n"),
            S(b"* CAPABILITY\r\na1 OK\r\n"),
            C(b"a2 STARTTLS\r\n"),
            S(b"a2 OK go\r\n"),
            C(CLIENT_HELLO),
            S(SERVER_HELLO),
            Close,
        ],
        "encrypted",
        "imap",
    ),
    row(
        "imap in clear",
        &[
            S(IMAP),
            C(b"a1 LOGIN bob secret\r\n"),
            S(b"a1 OK\r\n"),
            Close,
        ],
        "plaintext_served",
        "imap",
    ),
    row(
        "pop with STLS",
        &[
            S(b"+OK ready\r\n"),
            C(b"STLS\r\n"),
            S(b"+OK go\r\n"),
            C(CLIENT_HELLO),
            S(SERVER_HELLO),
            Close,
        ],
        "encrypted",
        "pop",
    ),
    row(
        "pop in clear",
        &[
            S(b"+OK ready\r\n"),
            C(b"USER bob\r\n"),
            S(b"+OK\r\n"),
            Close,
        ],
        "plaintext_served",
        "pop",
    ),
    row(
        "ftp with AUTH TLS",
        &[
            S(b"220 FTP\r\n"),
            C(b"AUTH TLS\r\n"),
            S(b"234 go\r\n"),
            C(CLIENT_HELLO),
            S(SERVER_HELLO),
            Close,
        ],
        "encrypted",
        "ftp",
    ),
    row(
        "ftp in clear",
        &[
            S(b"220 FTP\r\n"),
            C(b"USER bob\r\n"),
            S(b"331 password\r\n"),
            Close,
        ],
        "plaintext_served",
        "ftp",
    ),
    row(
        "PROXY 1 before TLS",
        &[C(PROXY1_TLS), S(SERVER_HELLO), Close],
        "encrypted",
        "tls",
    ),
    row(
        "PROXY 1 before plaintext",
        &[
            C(b"PROXY TCP4 192.0.2.9 192.0.2.8 4711 80\r\n"),
            C(GET),
            S(OK),
            Close,
        ],
        "plaintext_served",
        "http1",
    ),
    row(
        "PROXY 2 before TLS",
        &[C(PROXY2), C(CLIENT_HELLO), S(SERVER_HELLO), Close],
        "encrypted",
        "tls",
    ),
    row(
        "PROXY 2 before plaintext",
        &[C(PROXY2), C(GET), S(OK), Close],
        "plaintext_served",
        "http1",
    ),
    row(
        "unknown bytes",
        &[
            C(b"\x01\x02\x03\x04 what is this, and who asks"),
            S(b"\x05\x06\x07 nobody knows, or cares to"),
            Close,
        ],
        "unknown",
        "unknown",
    ),
    row(
        "a few unknown bytes",
        &[C(b"\x01\x02"), Close],
        "unknown",
        "unknown",
    ),
    row("nothing", &[Close], "empty", "unknown"),
    row("nothing, broken off", &[ClientReset], "empty", "unknown"),
];

/// Those of connections that nobody has seen begin.
pub(super) const UNSEEN: &[Row] = &[
    row(
        "met in its middle, TLS records both ways",
        &[C(RECORDS), S(RECORD), Close],
        "encrypted",
        "tls",
    ),
    row(
        "met in its middle, records of one side",
        &[C(RECORDS), Close],
        "blind",
        "unknown",
    ),
    row(
        "met in its middle, a request and a status line",
        &[C(GET), S(OK), Close],
        "plaintext_served",
        "http1",
    ),
    row(
        "met in its middle, a request alone",
        &[C(GET), Close],
        "blind",
        "unknown",
    ),
    row(
        "met in its middle, anything else",
        &[C(b"0123456789abcdef"), S(b"0123456789abcdef"), Close],
        "blind",
        "unknown",
    ),
];
