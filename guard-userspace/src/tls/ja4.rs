//! The JA4 fingerprint of a TLS client over TCP, after its specification by `FoxIO`
//! (`technical_details/JA4.md` of github.com/FoxIO-LLC/ja4, BSD 3-Clause). The other members of
//! JA4+ have another licence and are not here.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use tls_parser::TlsExtensionType;

use super::{hello::ClientHello, version::is_grease};

const SERVER_NAME: u16 = TlsExtensionType::ServerName.0;
const ALPN: u16 = TlsExtensionType::ApplicationLayerProtocolNegotiation.0;
/// The highest count that two digits hold.
const MOST: usize = 99;

/// The fingerprint of a whole ClientHello, 36 characters.
pub(super) fn fingerprint(hello: &ClientHello<'_>) -> Option<String> {
    if !hello.is_whole {
        return None;
    }
    let ciphers = without_grease(hello.ciphers.iter().copied());
    let extensions = without_grease(hello.extensions.kinds());
    let algorithms = without_grease(hello.signature_algorithms());

    let version = version_code(hello);
    let destination = if extensions.contains(&SERVER_NAME) {
        'd'
    } else {
        'i'
    };
    let (cipher_count, extension_count) = (ciphers.len().min(MOST), extensions.len().min(MOST));
    let protocol = protocol_code(hello.protocols().first().copied().unwrap_or_default());
    let cipher_hash = hash(&sorted_list(ciphers));
    let extension_hash = extension_hash(extensions, &algorithms);
    Some(format!(
        "t{version}{destination}{cipher_count:02}{extension_count:02}{protocol}_{cipher_hash}_{extension_hash}"
    ))
}

fn without_grease(values: impl IntoIterator<Item = u16>) -> Vec<u16> {
    let real = values.into_iter().filter(|value| !is_grease(*value));
    real.collect()
}

fn version_code(hello: &ClientHello<'_>) -> &'static str {
    let version = match hello.versions() {
        Some(versions) => versions.max(),
        None => Some(hello.legacy_version),
    };
    match version {
        Some(0x0304) => "13",
        Some(0x0303) => "12",
        Some(0x0302) => "11",
        Some(0x0301) => "10",
        Some(0x0300) => "s3",
        Some(0x0002) => "s2",
        _ => "00",
    }
}

/// The ends of the first protocol: as characters when both are letters or digits, else as the ends
/// of its hex form.
fn protocol_code(protocol: &[u8]) -> String {
    match (protocol.first(), protocol.last()) {
        (Some(first), Some(last))
            if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() =>
        {
            [char::from(*first), char::from(*last)].iter().collect()
        }
        (Some(first), Some(last)) => format!("{:x}{:x}", first >> 4, last & 0xf),
        _ => "00".to_owned(),
    }
}

fn extension_hash(mut extensions: Vec<u16>, algorithms: &[u16]) -> String {
    extensions.retain(|kind| ![SERVER_NAME, ALPN].contains(kind));
    let mut text = sorted_list(extensions);
    if !text.is_empty() && !algorithms.is_empty() {
        text.push('_');
        text.push_str(&list(algorithms));
    }
    hash(&text)
}

fn sorted_list(mut values: Vec<u16>) -> String {
    values.sort_unstable();
    list(&values)
}

fn list(values: &[u16]) -> String {
    let hex: Vec<String> = values.iter().map(|value| format!("{value:04x}")).collect();
    hex.join(",")
}

/// The first 12 hex digits of the SHA-256 hash, or zeros for nothing.
fn hash(text: &str) -> String {
    if text.is_empty() {
        return "000000000000".to_owned();
    }
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().take(6).fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's "ALPN Extension Value".
    #[test]
    fn protocol_codes_of_the_specification() {
        let cases: [(&[u8], &str); 10] = [
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"", "00"),
            (b"x", "xx"),
            (&[0xab], "ab"),
            (&[0xab, 0xcd], "ad"),
            (&[0x30, 0xab], "3b"),
            (&[0x30, 0x31, 0xab, 0xcd], "3d"),
            (&[0x30, 0xab, 0xcd, 0x31], "01"),
            (b" ", "20"),
        ];
        for (protocol, code) in cases {
            assert_eq!(protocol_code(protocol), code, "{protocol:02x?}");
        }
    }

    /// The specification's "Extension hash".
    #[test]
    fn extension_hashes_of_the_specification() {
        let extensions = vec![
            0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012,
            0x002b, 0xff01, 0x000b, 0x000a, 0x0015,
        ];
        assert_eq!(extension_hash(extensions, &[]), "6d807ffa2a79");
        assert_eq!(extension_hash(vec![SERVER_NAME, ALPN], &[]), "000000000000");
    }
}
