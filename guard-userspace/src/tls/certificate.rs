//! The dates of a server's certificate.

use serde::Serialize;
use x509_parser::{certificate::X509CertificateParser, nom::Parser as _};

/// When a certificate is valid (RFC 5280 section 4.1.2.5), both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Certificate {
    /// The first second, since 1970.
    pub not_before: i64,
    /// The last second, since 1970.
    pub not_after: i64,
}

/// How a moment lies to a certificate's dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    /// Between them.
    Valid,
    /// After the last.
    Expired,
    /// Before the first.
    NotYetValid,
}

impl Certificate {
    /// How `now`, in seconds since 1970, lies to the dates.
    pub fn validity(&self, now: i64) -> Validity {
        if now > self.not_after {
            Validity::Expired
        } else if now < self.not_before {
            Validity::NotYetValid
        } else {
            Validity::Valid
        }
    }
}

/// The first certificate in a Certificate message up to TLS 1.2 (RFC 5246 section 7.4.2), when
/// that one is whole.
pub(super) fn first(body: &[u8]) -> Option<Certificate> {
    let (_, rest) = body.split_first_chunk::<3>()?;
    let (&[high, middle, low], rest) = rest.split_first_chunk()?;
    let length = u32::from_be_bytes([0, high, middle, low]) as usize;
    let mut parser = X509CertificateParser::new().with_deep_parse_extensions(false);
    let (_, certificate) = parser.parse(rest.get(..length)?).ok()?;
    let validity = certificate.validity();
    Some(Certificate {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_valid() {
        let certificate = Certificate {
            not_before: 10,
            not_after: 20,
        };
        let told = [9, 10, 20, 21].map(|now| certificate.validity(now));
        let expected = [
            Validity::NotYetValid,
            Validity::Valid,
            Validity::Valid,
            Validity::Expired,
        ];
        assert_eq!(told, expected);
    }
}
