//! Whether connections are encrypted: each row of the table in `docs/ENCRYPTION.md`, put into segments
//! in many ways.

use std::{collections::BTreeMap, time::Duration};

use guard_common::reason::Reason::{LimitPackets, Pass, Plaintext};
use lab::frames::{
    Extension::{Destination, HopByHop},
    Packet, tcp,
};

use crate::{
    case::{ack, case, check, drops, from, passes, udp},
    conversation::{
        Conversation,
        Does::{self, C, ClientReset, Close, S, ServerFin, ServerReset, Wait},
        Opens, WAYS, Way,
    },
    rig::{Counts, MANUAL, Rig},
};

const A: &str = "203.0.113.1";
const A_V6: &str = "2001:db8:a::1";

/// The services, named after what they do with plaintext, and their ports.
const SERVICES: &str = r#"
    [[service]]
    name = "drops"
    ports = [8443, "9000-9002"]
    on_plaintext = "drop"
    [[service]]
    name = "flags"
    ports = [8080]
    [[service]]
    name = "resets"
    ports = [8444]
    on_plaintext = "reset"
    [[service]]
    name = "strict"
    ports = [8445]
    on_plaintext = "drop"
    strict = true
    [[service]]
    name = "ignores"
    ports = [8001]
    encryption = "off"
    on_plaintext = "drop"
    [[service]]
    name = "calls"
    direction = "outbound"
    ports = [8080]
"#;

const FLAGS: u16 = 8080;

const CLIENT_HELLO: &[u8] =
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02\x51\x5a\x00\x11\x22\x33\x44\x55";
const SERVER_HELLO: &[u8] =
    b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03\x9a\x1f\x40\x77\x02\x51\x5a\x00\x11\x22\x33\x44\x55";
const OLD_HELLO: &[u8] = b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10\0\0\x2f\0\0\x33\0\0\x32\0\0\x0a\0";
const RECORD: &[u8] = b"\x17\x03\x03\0\x04abcd";
const RECORDS: &[u8] = b"\x17\x03\x03\0\x04abcd\x17\x03\x03\0\x04abcd";
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.2p1\r\n";
const GET: &[u8] = b"GET /v1/orders HTTP/1.1\r\nHost: api\r\n\r\n";
const CONNECT: &[u8] = b"CONNECT api:443 HTTP/1.1\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const WANTS_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n<center>The plain HTTP request was sent to HTTPS port</center>\r\n";
const TO_HTTPS: &[u8] =
    b"HTTP/1.1 301 Moved Permanently\r\nServer: a\r\nLocation: https://a/\r\n\r\n";
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x80";
const GRPC: &[u8] =
    b"\0\0\x10\x01\x04\0\0\0\x01\x5f\x8b\x1d\x75\xd0\x62\x0d\x26\x3d\x4c\x4d\x65\x64";
const PG_STARTUP: &[u8] = b"\0\0\0\x11\0\x03\0\0user\0bob\0\0";
const PG_TLS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const PG_AUTH: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
const MYSQL: &[u8] = b"\x5b\0\0\0\x0a8.0.33\0\x01\0\0\0abcdefgh\0\xff\xff";
const MYSQL_LOGIN: &[u8] = b"\x55\0\0\x01\x05\xa6\x0f\0\0\0\0\x01\x21bob";
const MYSQL_TLS: &[u8] =
    b"\x20\0\0\x01\x05\xae\x0f\0\0\0\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const SMTP: &[u8] = b"220 mail.example ESMTP\r\n";
const IMAP: &[u8] = b"* OK IMAP4rev1 ready\r\n";
const PROXY1_TLS: &[u8] = b"PROXY TCP4 192.0.2.9 192.0.2.8 4711 443\r\n\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77";
const PROXY2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc0\0\x02\x08\x12\x67\x01\xbb";

/// A row of the table.
struct Row {
    name: &'static str,
    does: &'static [Does],
    verdict: &'static str,
    protocol: &'static str,
}

impl Row {
    /// Whether more of it matters than how each side begins.
    fn needs_text(&self) -> bool {
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

const ROWS: &[Row] = &[
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
const UNSEEN: &[Row] = &[
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

/// Every conversation once, each between ports of its own.
struct Stage {
    rig: Rig,
    now: Duration,
    port: u16,
    failures: String,
}

impl Stage {
    fn new(configuration: &str) -> Self {
        Self {
            rig: Rig::load(configuration, MANUAL),
            now: Duration::from_secs(1),
            port: 10_000,
            failures: String::new(),
        }
    }

    fn conversation(&mut self, way: Way, outbound: bool, port: u16) -> Conversation<'_> {
        self.port += 1;
        let ports = [self.port, port];
        Conversation::new(&mut self.rig, &mut self.now, way, outbound, ports)
    }

    fn check(&mut self, row: &Row, opens: Opens, way: Way, outbound: bool) {
        let service = if outbound { "calls" } else { "flags" };
        let conversation = self.conversation(way, outbound, FLAGS);
        let (counts, passed) = conversation.run(opens, row.does);
        let name = format!("connections {service}/{}/{}", row.verdict, row.protocol);
        if counts != BTreeMap::from([(name, 1)]) || passed.contains(&false) {
            let Row {
                name,
                verdict,
                protocol,
                ..
            } = row;
            let line = format!(
                "{name} ({opens:?}, {way:?}, outbound {outbound}): {counts:?}, not {verdict} {protocol}\n"
            );
            self.failures.push_str(&line);
        }
    }

    fn end(self) {
        assert!(self.failures.is_empty(), "\n{}", self.failures);
    }
}

#[test]
fn the_table_is_the_one_in_the_documents() {
    let page = include_str!("../../../docs/ENCRYPTION.md");
    let table = page.split("## What follows").nth(1).expect("the table");
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let (name, verdict) = (cells.next()?, cells.next()?.strip_prefix('`')?);
        let protocol = cells.next()?.strip_prefix('`')?;
        let word = |cell: &str| cell.split('`').next().map(str::to_owned);
        Some((name.to_owned(), word(verdict)?, word(protocol)?))
    });
    let ours = ROWS.iter().chain(UNSEEN).map(|row| {
        let [name, verdict, protocol] = [row.name, row.verdict, row.protocol].map(str::to_owned);
        (name, verdict, protocol)
    });
    assert_eq!(rows.collect::<Vec<_>>(), ours.collect::<Vec<_>>());
}

#[test]
fn each_row_holds_however_it_is_put_into_segments() {
    let mut stage = Stage::new(SERVICES);
    for row in ROWS {
        // Text is only followed in its order.
        let is_fit = |way: &Way| *way != Way::Swapped || !row.needs_text();
        for way in WAYS.into_iter().filter(is_fit) {
            stage.check(row, Opens::Shakes, way, false);
        }
    }
    stage.end();
}

#[test]
fn each_row_holds_for_what_the_host_calls() {
    let mut stage = Stage::new(SERVICES);
    for row in ROWS {
        for way in [Way::Whole, Way::Bytes, Way::Ipv6] {
            stage.check(row, Opens::Shakes, way, true);
        }
    }
    stage.end();
}

#[test]
fn data_in_the_syn_counts() {
    let mut stage = Stage::new(SERVICES);
    let by_client = |row: &&Row| matches!(row.does.first(), Some(C(_)));
    for row in ROWS.iter().filter(by_client) {
        stage.check(row, Opens::Fast, Way::Whole, false);
    }
    stage.end();
}

#[test]
fn what_nobody_saw_begin_is_told_by_strong_signs_only() {
    let mut stage = Stage::new(SERVICES);
    for row in UNSEEN {
        for way in [Way::Whole, Way::Ipv6, Way::Vlan] {
            stage.check(row, Opens::Unseen, way, false);
        }
        stage.check(row, Opens::Unseen, Way::Whole, true);
    }
    stage.end();
}

/// Off the path, an attacker knows neither number: he has to guess both.
#[test]
fn forged_segments_cut_no_connection() {
    const DATA: u8 = tcp::ACK | tcp::PSH;
    const RESETS: u16 = 8444;
    let mut stage = Stage::new(SERVICES);
    let forged: [(&str, u8, [u32; 2], &[u8]); 6] = [
        ("a request, wrong acknowledgement", DATA, [0, 1 << 24], GET),
        ("a request, wrong sequence", DATA, [1 << 20, 0], GET),
        ("a reset, wrong sequence", tcp::RST, [1, 0], b""),
        ("a SYN", tcp::SYN, [77, 0], b""),
        ("a SYN with a request", tcp::SYN, [77, 0], GET),
        ("a FIN far ahead", tcp::FIN | tcp::ACK, [1 << 22, 0], b""),
    ];
    for (name, flags, [seq, ack], payload) in forged {
        let mut talk = stage.conversation(Way::Whole, false, RESETS);
        let before = talk.rig.counts();
        talk.segment(0, tcp::SYN, b"", 0);
        talk.next[0] = talk.next[0].wrapping_add(1);
        talk.segment(1, tcp::SYN | tcp::ACK, b"", 0);
        talk.next[1] = talk.next[1].wrapping_add(1);
        talk.segment(0, tcp::ACK, b"", 0);
        let [client, server] = talk.next;
        let numbers = [client.wrapping_add(seq), server.wrapping_add(ack)];
        talk.send(0, flags, numbers, payload);
        talk.segment(0, DATA, CLIENT_HELLO, 0);
        talk.send(0, flags, numbers, payload);
        talk.next[0] = client.wrapping_add(CLIENT_HELLO.len() as u32);
        talk.segment(1, DATA, SERVER_HELLO, 0);
        talk.next[1] = server.wrapping_add(SERVER_HELLO.len() as u32);
        talk.send(0, flags, numbers, payload);
        // And once more, with a SYN behind it: whatever was forgotten would be begun anew.
        talk.send(0, tcp::SYN, [client.wrapping_add(1 << 30), 0], b"");
        talk.segment(0, DATA, b"\x17\x03\x03\0\x01x", 0);
        talk.segment(1, DATA, b"\x17\x03\x03\0\x01x", 0);
        talk.pass(Duration::from_secs(90));
        talk.rig.kernel.sweep().expect("a sweep");
        let of = |verdict: &str| format!("connections resets/{verdict}/tls");
        let counts = talk.rig.counts();
        let count = |name: &str| {
            let count = |counts: &Counts| counts.get(name).copied().unwrap_or(0);
            count(&counts) - count(&before)
        };
        assert_eq!(count(&of("encrypted")), 1, "{name}: {counts:?}");
        let all = |counts: &Counts| -> u64 {
            let of_connections = counts
                .iter()
                .filter(|(name, _)| name.starts_with("connections"));
            of_connections.map(|(_, count)| count).sum()
        };
        assert_eq!(all(&counts) - all(&before), 1, "{name}: {counts:?}");
        assert_eq!(count("reset/plaintext packets"), 0, "{name}: {counts:?}");
    }
}

/// A segment: flags, numbers behind those of the handshake, and a payload.
type Sent = (u8, [u32; 2], &'static [u8]);

/// What a client may do to have its request in clear taken for something else.
#[test]
fn no_trick_gets_a_request_past_a_service_that_drops_it() {
    const DATA: u8 = tcp::ACK | tcp::PSH;
    let mut stage = Stage::new(SERVICES);
    let tricks: [(&str, &[Sent]); 6] = [
        (
            "a second SYN",
            &[
                (tcp::SYN, [1 << 30, 0], b""),
                (tcp::ACK, [0, 0], b""),
                (DATA, [0, 0], GET.split_at(1).0),
                (DATA, [1, 0], GET.split_at(1).1),
            ],
        ),
        (
            "a hello that the stack does not take, then the request from its second byte on",
            &[
                (DATA, [0, 0], CLIENT_HELLO),
                (DATA, [1, 0], GET.split_at(1).1),
                (DATA, [0, 0], GET.split_at(1).0),
            ],
        ),
        (
            "a reset that the stack does not take, and a SYN",
            &[
                (DATA, [0, 0], GET),
                (tcp::RST, [GET.len() as u32, 0], b""),
                (tcp::SYN, [1 << 30, 0], b""),
                (DATA, [0, 0], GET.split_at(1).0),
                (DATA, [1, 0], GET.split_at(1).1),
            ],
        ),
        ("a tunnel first", &[(DATA, [0, 0], CONNECT)]),
        (
            "a line break first",
            &[(DATA, [0, 0], b"\r\nGET / HTTP/1.1\r\n\r\n")],
        ),
        (
            "many blanks",
            &[(DATA, [0, 0], b"GET      / HTTP/1.1\r\n\r\n")],
        ),
    ];
    for (name, sent) in tricks {
        let mut talk = stage.conversation(Way::Whole, false, 8443);
        talk.segment(0, tcp::SYN, b"", 0);
        talk.next[0] = talk.next[0].wrapping_add(1);
        talk.segment(1, tcp::SYN | tcp::ACK, b"", 0);
        talk.next[1] = talk.next[1].wrapping_add(1);
        if name != "a second SYN" {
            talk.segment(0, tcp::ACK, b"", 0);
        }
        let [client, server] = talk.next;
        for (flags, [seq, ack], payload) in sent {
            let numbers = [client.wrapping_add(*seq), server.wrapping_add(*ack)];
            talk.send(0, *flags, numbers, payload);
        }
        assert_eq!(talk.passed.last(), Some(&false), "{name}");
    }
}

/// Who is on the path and sends a request in clear to a service that resets is reset at once; what
/// comes after goes the same way.
#[test]
fn a_request_in_clear_is_reset_and_so_is_what_follows() {
    let mut stage = Stage::new(SERVICES);
    for way in [Way::Whole, Way::Bytes, Way::Twice, Way::Ipv6, Way::Vlan] {
        let talk = stage.conversation(way, false, 8444);
        let (counts, _) = talk.run(Opens::Shakes, &[C(GET), C(b"more of it")]);
        let name = "connections resets/rejected/http1".to_owned();
        assert_eq!(counts, BTreeMap::from([(name, 1)]), "{way:?}");
    }
}

#[test]
fn strict_services_refuse_what_matches_nothing() {
    let mut stage = Stage::new(SERVICES);
    let unknown = b"\x01\x02\x03\x04 what is this, and who asks";
    for (port, text, passes) in [
        (8445, &unknown[..], false),
        (8445, CLIENT_HELLO, true),
        // Nothing that is known starts like that.
        (8445, &unknown[..2], false),
        (8445, &CLIENT_HELLO[..2], true),
        (8443, &unknown[..], true),
        (8443, GET, false),
    ] {
        let mut talk = stage.conversation(Way::Whole, false, port);
        talk.segment(0, tcp::SYN, b"", 0);
        talk.next[0] = talk.next[0].wrapping_add(1);
        talk.segment(1, tcp::SYN | tcp::ACK, b"", 0);
        talk.next[1] = talk.next[1].wrapping_add(1);
        talk.segment(0, tcp::ACK, text, 0);
        let last = talk.passed.last().copied();
        assert_eq!(last, Some(passes), "{port}: {}", text.escape_ascii());
    }
}

/// Two copies of the first bytes that differ: the server took one of them.
#[test]
fn a_contradiction_is_never_encrypted_and_plaintext_in_it_is_refused() {
    let mut stage = Stage::new(SERVICES);
    for (first, second, refused) in [
        (CLIENT_HELLO, GET, [false, true]),
        (GET, CLIENT_HELLO, [true, true]),
    ] {
        let mut talk = stage.conversation(Way::Whole, false, 8443);
        let before = talk.rig.counts();
        talk.segment(0, tcp::SYN, b"", 0);
        talk.next[0] = talk.next[0].wrapping_add(1);
        talk.segment(1, tcp::SYN | tcp::ACK, b"", 0);
        talk.next[1] = talk.next[1].wrapping_add(1);
        talk.passed.clear();
        talk.segment(0, tcp::ACK, first, 0);
        talk.segment(0, tcp::ACK, second, 0);
        assert_eq!(talk.passed, refused.map(|refused| !refused));
        talk.next[0] = talk.next[0].wrapping_add(first.len() as u32);
        talk.segment(1, tcp::ACK, SERVER_HELLO, 0);
        let after = talk.rig.counts();
        let encrypted = "connections drops/encrypted/tls";
        assert_eq!(after.get(encrypted), before.get(encrypted), "{after:?}");
    }
}

/// Who is quiet for so long that it counts may yet go on, and counts once more.
#[test]
fn a_long_silence_hides_nothing() {
    let mut stage = Stage::new(SERVICES);
    let silences: [(&[Does], [&str; 2]); 3] = [
        (
            &[Wait(75), C(GET), S(OK), Close],
            ["empty/unknown", "plaintext_served/http1"],
        ),
        (
            &[C(GET), Wait(12), S(OK), Close],
            ["plaintext_attempt/http1", "plaintext_served/http1"],
        ),
        (
            &[C(&GET[..2]), Wait(75), C(&GET[2..]), S(OK), Close],
            ["unknown/unknown", "plaintext_served/http1"],
        ),
    ];
    for (does, words) in silences {
        let conversation = stage.conversation(Way::Whole, false, FLAGS);
        let (counts, _) = conversation.run(Opens::Shakes, does);
        let expected = words.map(|words| (format!("connections flags/{words}"), 1));
        assert_eq!(counts, BTreeMap::from(expected), "{does:?}");
    }
    let refused = stage.conversation(Way::Whole, false, 8443);
    let does = [C(&GET[..2]), Wait(75), C(&GET[2..])];
    let (_, passed) = refused.run(Opens::Shakes, &does);
    assert_eq!(passed, [true, true, true, false]);
}

/// A segment of an established connection.
fn segment(port: u16, payload: impl AsRef<[u8]>) -> Packet {
    ack(A, port).flags(tcp::ACK | tcp::PSH).payload(payload)
}

#[test]
fn where_nobody_looks_nothing_is_found() {
    let to = |port| [passes(segment(port, GET), Pass)];
    check(
        SERVICES,
        [
            case("encryption is off", to(8001)),
            case("not a service's port", to(8442)),
            case("below a range", to(8999)),
            case("above a range", to(9003)),
            case("UDP", [passes(from(A).udp(1, 8443).payload(GET), Pass)]),
            case(
                "from a service's port",
                [passes(from(A).tcp(8443, 40_000).payload(GET), Pass)],
            ),
            case("no payload", [passes(ack(A, 8443), Pass)]),
            case(
                "padding is no payload",
                [passes(ack(A, 8443).build().pad(60), Pass).counted_as(54)],
            ),
            case(
                "a request in the padding",
                [passes([&ack(A, 8443).build()[..], GET].concat(), Pass).counted_as(54)],
            ),
            case(
                "a later fragment",
                [passes(
                    from(A).fragment(1, 4, false).tcp(1, 8443).payload(GET),
                    Pass,
                )],
            ),
        ],
    );
}

#[test]
fn plaintext_is_found_wherever_the_payload_starts() {
    let found =
        |name: &'static str, packet: Packet| case(name, [drops(packet.payload(GET), Plaintext)]);
    let to = |packet: Packet| packet.tcp(40_000, 8443).flags(tcp::ACK | tcp::PSH);
    check(
        SERVICES,
        [
            found("IPv4", to(from(A))),
            found("IPv6", to(from(A_V6))),
            found("one VLAN tag", to(from(A).vlan(5))),
            found("two VLAN tags", to(from(A_V6).service_vlan(5).vlan(6))),
            found("IPv4 options", to(from(A).options(&[1; 40]))),
            found("TCP options", to(from(A)).tcp_options(&[1; 40])),
            found(
                "extensions",
                to(from(A_V6)
                    .extension(HopByHop(3))
                    .extension(Destination(200))),
            ),
            found("a first fragment", to(from(A).fragment(1, 0, true))),
            found("the first port of a range", from(A).tcp(40_000, 9000)),
            found("the last port of a range", from(A).tcp(40_000, 9002)),
            found("with FIN", to(from(A)).flags(tcp::FIN | tcp::ACK)),
        ],
    );
}

#[test]
fn what_a_limit_refuses_is_not_looked_at() {
    let request = || segment(8443, GET);
    check(
        &format!("limits = {{ packets = \"3/s\" }}\n{SERVICES}"),
        [case(
            "over the limit",
            [
                // A dropped request has been charged.
                drops(request(), Plaintext).times(3),
                drops(request(), LimitPackets).times(3),
                drops(udp(A), LimitPackets),
            ],
        )],
    );
}
