//! Facts about one TLS connection, from the first bytes of each direction.
//!
//! The bytes are sampled from traffic: they may be cut anywhere and may be hostile. Only what they
//! show beyond doubt becomes a fact, so fewer bytes give fewer facts and never other ones. Nothing
//! is decrypted. Each side is read up to [`SIDE_LIMIT`], [`RECORD_LIMIT`] records and
//! [`MESSAGE_LIMIT`] messages.

mod assembly;
mod certificate;
mod client_certificate;
mod handshake;
mod hello;
mod hellos;
mod ja4;
mod name;
mod record;
mod version;

use serde::Serialize;
use tls_parser::{TlsCipherSuite, TlsHandshakeType};

pub use self::{
    assembly::Assembly,
    certificate::{Certificate, Validity},
    client_certificate::ClientCertificate,
    hellos::{CONNECTION_LIMIT, Hellos, LIFETIME_MS},
};
use self::{
    hello::{ClientHello, ServerHello},
    record::Flight,
};

/// The bytes of one direction that are read, at most: 16 KiB.
pub const SIDE_LIMIT: usize = 16 * 1024;
/// The records of one direction that are read, at most.
pub const RECORD_LIMIT: usize = 64;
/// The handshake messages of one direction that are read, at most.
pub const MESSAGE_LIMIT: usize = 64;

/// Every version a sampled handshake can be counted under: those that were ever final, and `unknown`
/// where the server did not answer or chose something else.
pub const VERSIONS: [&str; 6] = ["ssl3", "tls1.0", "tls1.1", "tls1.2", "tls1.3", "unknown"];

/// What a handshake shows in the clear. Every text is safe to log: printable ASCII only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TlsFacts {
    /// The highest version the client offers: `ssl3`, `tls1.0`, `tls1.1`, `tls1.2` or `tls1.3`.
    pub offered_version: Option<&'static str>,
    /// The version the server chose, in the same words.
    pub version: Option<&'static str>,
    /// The IANA name of the cipher suite the server chose, or `0x` and four hex digits.
    pub cipher: Option<String>,
    /// The host name the client asked for (RFC 6066 section 3), in lower case, at most 253 bytes.
    pub sni: Option<String>,
    /// The protocol the server chose (RFC 7301), at most 32 characters. TLS 1.3 hides it.
    pub alpn: Option<String>,
    /// The protocols the client offered, at most 8 of at most 32 characters.
    pub alpn_offered: Vec<String>,
    /// The JA4 fingerprint of a whole ClientHello.
    pub ja4: Option<String>,
    /// Whether the server asked for a client certificate.
    pub client_certificate: ClientCertificate,
    /// The server's own certificate. TLS 1.3 hides it.
    pub certificate: Option<Certificate>,
    /// The number of the fatal alert the server answered with in the clear (RFC 8446 section 6).
    pub alert: Option<u8>,
}

/// A reason to look at a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It speaks a version below TLS 1.2, which RFC 8996 deprecates.
    OldVersion,
    /// Its certificate has expired.
    ExpiredCertificate,
    /// Its certificate is not valid yet.
    NotYetValidCertificate,
}

impl Finding {
    /// Every reason.
    pub const ALL: [Self; 3] = [
        Self::OldVersion,
        Self::ExpiredCertificate,
        Self::NotYetValidCertificate,
    ];

    /// A stable word for logs and metric labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::OldVersion => "old_version",
            Self::ExpiredCertificate => "expired_certificate",
            Self::NotYetValidCertificate => "not_yet_valid_certificate",
        }
    }
}

impl TlsFacts {
    /// Reads the bytes of both directions, each from the start of TLS and without a gap. What lies
    /// past [`SIDE_LIMIT`] is ignored.
    pub fn read(client: &[u8], server: &[u8]) -> Self {
        let client = Flight::read(client);
        let server = Flight::read(server);
        let mut facts = Self {
            alert: server.alert,
            ..Self::default()
        };
        let hello = handshake::messages(&client.handshake)
            .next()
            .and_then(|message| ClientHello::read(&message));
        if let Some(hello) = &hello {
            facts.tell_offer(hello);
        }
        let answer = facts.tell_answer(&server);
        if let (Some(hello), Some(answer)) = (hello, answer)
            && answer.version == version::TLS13
            && hello.sends_no_early_data()
        {
            facts.client_certificate =
                client_certificate::infer(answer.cipher, &client.application);
        }
        facts
    }

    /// What gives a reason to look at the server, `now` in seconds since 1970.
    pub fn findings(&self, now: i64) -> Vec<Finding> {
        let old = self
            .version
            .is_some_and(version::is_old)
            .then_some(Finding::OldVersion);
        let date = match self
            .certificate
            .map(|certificate| certificate.validity(now))
        {
            Some(Validity::Expired) => Some(Finding::ExpiredCertificate),
            Some(Validity::NotYetValid) => Some(Finding::NotYetValidCertificate),
            Some(Validity::Valid) | None => None,
        };
        old.into_iter().chain(date).collect()
    }

    fn tell_offer(&mut self, hello: &ClientHello<'_>) {
        self.offered_version = hello.offered_version();
        self.sni = hello.server_name().and_then(name::host);
        let protocols = hello.protocols();
        self.alpn_offered = name::protocols(&protocols);
        self.ja4 = ja4::fingerprint(hello);
    }

    /// Tells the server's clear messages, and returns the `ServerHello` that settles the connection.
    fn tell_answer<'a>(&mut self, server: &'a Flight) -> Option<ServerHello<'a>> {
        let mut messages = handshake::messages(&server.handshake);
        let mut answer = ServerHello::read(&messages.next()?)?;
        self.version = version::word(answer.version);
        if answer.is_retry() {
            answer = ServerHello::read(&messages.next()?)?;
            if answer.is_retry() {
                return None;
            }
            self.version = version::word(answer.version);
        }
        self.cipher = Some(cipher_name(answer.cipher));
        if version::has_clear_certificates(answer.version) {
            self.alpn = answer.protocol().and_then(name::protocol);
            self.tell_clear_flight(messages);
        }
        Some(answer)
    }

    /// The rest of the server's flight up to TLS 1.2 (RFC 5246 section 7.3).
    fn tell_clear_flight<'a>(&mut self, messages: impl Iterator<Item = handshake::Message<'a>>) {
        let mut requested = false;
        for message in messages {
            match message.kind {
                TlsHandshakeType::Certificate if self.certificate.is_none() => {
                    self.certificate = certificate::first(message.body);
                }
                TlsHandshakeType::CertificateRequest => requested = true,
                TlsHandshakeType::ServerDone if !requested => {
                    self.client_certificate = ClientCertificate::NotRequested;
                }
                _ => {}
            }
            if message.kind == TlsHandshakeType::ServerDone {
                break;
            }
        }
        if requested {
            self.client_certificate = ClientCertificate::Requested;
        }
    }
}

fn cipher_name(id: u16) -> String {
    TlsCipherSuite::from_id(id).map_or_else(|| format!("0x{id:04x}"), |suite| suite.name.to_owned())
}
