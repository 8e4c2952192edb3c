//! Turns the start of a plaintext payload into words that may go to logs and terminals.
//!
//! The payload is a stranger's: it may be cut anywhere, hold secrets, or escape sequences meant
//! for the reader's terminal. So nothing is shown unless it is known to be harmless: words of our
//! own, numbers, and names that look like words. Of a credential its kind and its place are
//! told, never its value, a part of it or its length.

mod http;
mod key;
mod names;
mod redis;
mod target;

use guard_common::protocol::Protocol;
use serde::Serialize;

pub use self::key::Key;

/// What stands for what is not shown.
const HIDDEN: &str = "***";
/// Credentials that are told of one payload at most.
const CREDENTIALS: usize = 4;

/// Every kind of credential that is told of: `basic`, `bearer`, `digest` and `other` of an
/// `Authorization`, then those that go by the name of a header or parameter.
pub const SCHEMES: [&str; 11] = [
    "basic",
    "bearer",
    "digest",
    "other",
    "cookie",
    "api_key",
    "token",
    "password",
    "secret",
    "signature",
    "session",
];

/// What a payload asks for, in at most 400 printable ASCII characters, its credentials included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Request {
    /// What is asked for: `GET /v1/orders?id=*** (host api.example)`.
    pub summary: String,
    /// Credentials that came with it, each once, four at most.
    pub credentials: Vec<Credential>,
}

/// A credential seen in clear.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Credential {
    /// Its kind, one of [`SCHEMES`].
    pub scheme: &'static str,
    /// Name of the header, parameter or command that held it: at most 32 characters.
    pub place: String,
    /// Tells the same value again: 12 hexadecimal digits of a hash whose key is this
    /// installation's own. Nothing where the value is not all there.
    pub mark: Option<String>,
}

/// What `payload`, which starts with `protocol` and may be cut at its end, asks for. Values of
/// credentials are told apart by `key` alone.
pub fn describe(protocol: Protocol, payload: &[u8], key: &Key) -> Request {
    match protocol {
        Protocol::Http1 | Protocol::Websocket => http::describe(payload, key),
        Protocol::Http2 | Protocol::Grpc => Request::of("HTTP/2 preface"),
        Protocol::Redis => redis::describe(payload, key),
        Protocol::Postgres => Request::of("PostgreSQL start-up message"),
        Protocol::Mysql => Request::of("MySQL log-in"),
        Protocol::Smtp => Request::of("SMTP command"),
        Protocol::Imap => Request::of("IMAP command"),
        Protocol::Pop => Request::of("POP command"),
        Protocol::Ftp => Request::of("FTP command"),
        Protocol::Tls => Request::of("TLS ClientHello"),
        Protocol::Ssh => Request::of("SSH version exchange"),
        Protocol::Unknown => Request::of("unknown payload"),
    }
}

impl Request {
    fn of(summary: &str) -> Self {
        Self {
            summary: summary.to_owned(),
            credentials: Vec::new(),
        }
    }

    fn tell(&mut self, credentials: impl IntoIterator<Item = Credential>) {
        for credential in credentials {
            if self.credentials.len() < CREDENTIALS && !self.credentials.contains(&credential) {
                self.credentials.push(credential);
            }
        }
    }
}

impl Credential {
    /// The credential under the name of a header or parameter, if that is what such a name holds.
    fn named(name: &str, mark: Option<String>) -> Option<Self> {
        names::scheme(name).map(|scheme| Self {
            scheme,
            place: names::shown(name).to_owned(),
            mark,
        })
    }
}

#[cfg(test)]
mod tests;
