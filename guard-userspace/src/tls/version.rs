//! Version numbers (RFC 8446 section 4.2.1) and their words.

/// TLS 1.2.
pub(super) const TLS12: u16 = 0x0303;
/// TLS 1.3.
pub(super) const TLS13: u16 = 0x0304;

/// The word of a version that was ever final.
pub(super) fn word(version: u16) -> Option<&'static str> {
    match version {
        0x0300 => Some("ssl3"),
        0x0301 => Some("tls1.0"),
        0x0302 => Some("tls1.1"),
        TLS12 => Some("tls1.2"),
        TLS13 => Some("tls1.3"),
        _ => None,
    }
}

/// Whether a word names a version below TLS 1.2.
pub(super) fn is_old(word: &str) -> bool {
    matches!(word, "ssl3" | "tls1.0" | "tls1.1")
}

/// Whether this version sends certificates, and requests for them, in the clear.
pub(super) fn has_clear_certificates(version: u16) -> bool {
    version <= TLS12 && word(version).is_some()
}

/// Whether a number is one of those that clients send to be ignored (RFC 8701 section 2).
pub(super) fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::VERSIONS;

    #[test]
    fn every_word_is_among_those_that_are_counted() {
        let words: Vec<_> = (0..=u16::MAX).filter_map(word).collect();
        assert_eq!(words, VERSIONS[..words.len()]);
        assert_eq!(VERSIONS[words.len()..], ["unknown"]);
    }
}
