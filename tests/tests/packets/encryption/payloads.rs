//! What clients and servers say, as real ones do.

pub(super) const CLIENT_HELLO: &[u8] =
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02\x51\x5a\x00\x11\x22\x33\x44\x55";
pub(super) const SERVER_HELLO: &[u8] =
    b"\x16\x03\x03\0\x7a\x02\0\0\x76\x03\x03\x9a\x1f\x40\x77\x02\x51\x5a\x00\x11\x22\x33\x44\x55";
pub(super) const OLD_HELLO: &[u8] =
    b"\x80\x2e\x01\x03\x01\0\x15\0\0\0\x10\0\0\x2f\0\0\x33\0\0\x32\0\0\x0a\0";
pub(super) const RECORD: &[u8] = b"\x17\x03\x03\0\x04abcd";
pub(super) const RECORDS: &[u8] = b"\x17\x03\x03\0\x04abcd\x17\x03\x03\0\x04abcd";
pub(super) const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.2p1\r\n";
pub(super) const GET: &[u8] = b"GET /v1/orders HTTP/1.1\r\nHost: api\r\n\r\n";
pub(super) const CONNECT: &[u8] = b"CONNECT api:443 HTTP/1.1\r\n\r\n";
pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
pub(super) const WANTS_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n<center>The plain HTTP request was sent to HTTPS port</center>\r\n";
pub(super) const TO_HTTPS: &[u8] =
    b"HTTP/1.1 301 Moved Permanently\r\nServer: a\r\nLocation: https://a/\r\n\r\n";
pub(super) const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
pub(super) const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x80";
pub(super) const GRPC: &[u8] =
    b"\0\0\x10\x01\x04\0\0\0\x01\x5f\x8b\x1d\x75\xd0\x62\x0d\x26\x3d\x4c\x4d\x65\x64";
pub(super) const PG_STARTUP: &[u8] = b"\0\0\0\x11\0\x03\0\0user\0bob\0\0";
pub(super) const PG_TLS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
pub(super) const PG_AUTH: &[u8] = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0";
pub(super) const MYSQL: &[u8] = b"\x5b\0\0\0\x0a8.0.33\0\x01\0\0\0abcdefgh\0\xff\xff";
pub(super) const MYSQL_LOGIN: &[u8] = b"\x55\0\0\x01\x05\xa6\x0f\0\0\0\0\x01\x21bob";
pub(super) const MYSQL_TLS: &[u8] =
    b"\x20\0\0\x01\x05\xae\x0f\0\0\0\0\x01\x21\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
pub(super) const SMTP: &[u8] = b"220 mail.example ESMTP\r\n";
pub(super) const IMAP: &[u8] = b"* OK IMAP4rev1 ready\r\n";
pub(super) const PROXY1_TLS: &[u8] = b"PROXY TCP4 192.0.2.9 192.0.2.8 4711 443\r\n\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77";
pub(super) const PROXY2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc0\0\x02\x08\x12\x67\x01\xbb";
