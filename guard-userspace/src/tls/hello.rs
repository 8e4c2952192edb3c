//! The two hellos (RFC 8446 sections 4.1.2 and 4.1.3).

use tls_parser::{
    SNIType, TlsExtension, TlsExtensionType, TlsHandshakeType, parse_tls_extension_alpn_content,
    parse_tls_extension_signature_algorithms_content, parse_tls_extension_sni_content,
    parse_tls_extension_unknown, parse_tls_handshake_client_hello,
    parse_tls_handshake_server_hello,
};

use super::{
    handshake::Message,
    version::{self, TLS12, is_grease},
};

/// The random of a `HelloRetryRequest` (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A ClientHello, which may lack its last extensions.
#[derive(Debug)]
pub(super) struct ClientHello<'a> {
    /// The version field, which TLS 1.3 leaves at TLS 1.2.
    pub(super) legacy_version: u16,
    /// The cipher suites, as offered.
    pub(super) ciphers: Vec<u16>,
    /// The extensions that are whole, as sent.
    pub(super) extensions: Extensions<'a>,
    /// Whether all of the message is there and well formed.
    pub(super) is_whole: bool,
}

impl<'a> ClientHello<'a> {
    /// Reads a message, whose end may be missing after the cipher suites and compressions.
    pub(super) fn read(message: &Message<'a>) -> Option<Self> {
        if message.kind != TlsHandshakeType::ClientHello {
            return None;
        }
        let (rest, hello) = parse_tls_handshake_client_hello(message.body).ok()?;
        // The parser leaves extensions that are cut, after their length.
        let block = hello.ext.or(rest.get(2..)).unwrap_or_default();
        let (extensions, all_read) = Extensions::read(block);
        let no_extensions = hello.ext.is_none() && rest.is_empty();
        Some(Self {
            legacy_version: hello.version.0,
            ciphers: hello.ciphers.iter().map(|cipher| cipher.0).collect(),
            extensions,
            is_whole: message.is_whole && all_read && (hello.ext.is_some() || no_extensions),
        })
    }

    /// The word of the highest version offered.
    pub(super) fn offered_version(&self) -> Option<&'static str> {
        match self.versions() {
            Some(versions) => {
                let known = versions.filter(|version| version::word(*version).is_some());
                known.max().and_then(version::word)
            }
            // Without that extension, no server may choose more than TLS 1.2 (section 4.2.1).
            None if self.is_whole => version::word(self.legacy_version.min(TLS12)),
            None => None,
        }
    }

    /// The supported versions without GREASE, when the extension is there.
    pub(super) fn versions(&self) -> Option<impl Iterator<Item = u16>> {
        let list = self.extensions.of(TlsExtensionType::SupportedVersions)?;
        Some(numbers(list.get(1..).unwrap_or_default()).filter(|version| !is_grease(*version)))
    }

    /// The first host name asked for, as sent.
    pub(super) fn server_name(&self) -> Option<&'a [u8]> {
        let content = self.extensions.of(TlsExtensionType::ServerName)?;
        let Ok((_, TlsExtension::SNI(names))) = parse_tls_extension_sni_content(content) else {
            return None;
        };
        let mut hosts = names
            .into_iter()
            .filter(|(kind, _)| *kind == SNIType::HostName);
        hosts.next().map(|(_, host)| host)
    }

    /// The application protocols offered, as sent.
    pub(super) fn protocols(&self) -> Vec<&'a [u8]> {
        self.extensions.protocols()
    }

    /// The signature algorithms offered, as sent.
    pub(super) fn signature_algorithms(&self) -> Vec<u16> {
        let kind = TlsExtensionType::SignatureAlgorithms;
        let content = self.extensions.of(kind).unwrap_or_default();
        match parse_tls_extension_signature_algorithms_content(content) {
            Ok((_, TlsExtension::SignatureAlgorithms(algorithms))) => algorithms,
            _ => Vec::new(),
        }
    }

    /// Whether the client's first encrypted records belong to the handshake for sure.
    pub(super) fn sends_no_early_data(&self) -> bool {
        self.is_whole && self.extensions.of(TlsExtensionType::EarlyData).is_none()
    }
}

/// A whole `ServerHello` or `HelloRetryRequest`.
#[derive(Debug)]
pub(super) struct ServerHello<'a> {
    /// The version chosen.
    pub(super) version: u16,
    /// The cipher suite chosen.
    pub(super) cipher: u16,
    random: &'a [u8],
    extensions: Extensions<'a>,
}

impl<'a> ServerHello<'a> {
    /// Reads a message.
    pub(super) fn read(message: &Message<'a>) -> Option<Self> {
        if message.kind != TlsHandshakeType::ServerHello || !message.is_whole {
            return None;
        }
        let (_, hello) = parse_tls_handshake_server_hello(message.body).ok()?;
        let (extensions, _) = Extensions::read(hello.ext.unwrap_or_default());
        let chosen = extensions.of(TlsExtensionType::SupportedVersions);
        let chosen = chosen.and_then(|content| numbers(content).next());
        Some(Self {
            version: chosen.unwrap_or(hello.version.0),
            cipher: hello.cipher.0,
            random: hello.random,
            extensions,
        })
    }

    /// Whether it asks for another ClientHello.
    pub(super) fn is_retry(&self) -> bool {
        self.random == RETRY
    }

    /// The application protocol chosen, as sent.
    pub(super) fn protocol(&self) -> Option<&'a [u8]> {
        self.extensions.protocols().first().copied()
    }
}

/// Extensions in the order sent, each with its content.
#[derive(Debug)]
pub(super) struct Extensions<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Extensions<'a> {
    /// Reads the whole extensions in `block`, and whether that was all of it.
    fn read(mut block: &'a [u8]) -> (Self, bool) {
        let mut extensions = Vec::new();
        while let Ok((rest, TlsExtension::Unknown(kind, content))) =
            parse_tls_extension_unknown(block)
        {
            extensions.push((kind.0, content));
            block = rest;
        }
        (Self(extensions), block.is_empty())
    }

    /// The types, as sent.
    pub(super) fn kinds(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|(kind, _)| *kind)
    }

    /// The content of the first of that type.
    pub(super) fn of(&self, kind: TlsExtensionType) -> Option<&'a [u8]> {
        let mut found = self.0.iter().filter(|(other, _)| *other == kind.0);
        found.next().map(|(_, content)| *content)
    }

    fn protocols(&self) -> Vec<&'a [u8]> {
        let kind = TlsExtensionType::ApplicationLayerProtocolNegotiation;
        match parse_tls_extension_alpn_content(self.of(kind).unwrap_or_default()) {
            Ok((_, TlsExtension::ALPN(protocols))) => protocols,
            _ => Vec::new(),
        }
    }
}

/// Big-endian 16-bit numbers, without a last odd byte.
fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let (pairs, _) = bytes.as_chunks();
    pairs.iter().map(|pair| u16::from_be_bytes(*pair))
}
