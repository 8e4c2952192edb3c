//! Whether a server asks its clients for a certificate.

use serde::Serialize;

/// An empty Certificate message, encrypted: header 4, context 1, list 3, type 1, tag 16.
const EMPTY_CERTIFICATE: u16 = 0x19;
/// A record from this length on holds a certificate, in bytes.
const CERTIFICATE: u16 = 300;

/// Whether the server asked for a client certificate. Up to TLS 1.2 the request is in the clear;
/// in TLS 1.3 only the lengths of the client's records tell, and a resumed session needs no
/// request, though its first one may have had it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificate {
    /// The bytes do not tell.
    #[default]
    Unknown,
    /// The server asked.
    Requested,
    /// The server did not ask.
    NotRequested,
    /// TLS 1.3: the server asked, and the client sent none.
    InferredRequested,
    /// TLS 1.3: the server did not ask.
    InferredNotRequested,
    /// TLS 1.3: the client sent one.
    InferredSent,
}

impl ClientCertificate {
    /// A stable word for logs and metric labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Requested => "requested",
            Self::NotRequested => "not_requested",
            Self::InferredRequested => "inferred_requested",
            Self::InferredNotRequested => "inferred_not_requested",
            Self::InferredSent => "inferred_sent",
        }
    }
}

/// Infers from the lengths of the client's first encrypted records in TLS 1.3, none of which may
/// be early data.
pub(super) fn infer(cipher: u16, records: &[u16]) -> ClientCertificate {
    let Some(finished) = finished_length(cipher) else {
        return ClientCertificate::Unknown;
    };
    match *records {
        [first, ..] if first == finished => ClientCertificate::InferredNotRequested,
        [EMPTY_CERTIFICATE, second, ..] if second == finished => {
            ClientCertificate::InferredRequested
        }
        [first, _, ..] if first >= CERTIFICATE => ClientCertificate::InferredSent,
        _ => ClientCertificate::Unknown,
    }
}

/// The length of an encrypted Finished message: header 4, hash, type 1, tag 16.
fn finished_length(cipher: u16) -> Option<u16> {
    match cipher {
        // TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256, TLS_AES_128_CCM_SHA256.
        0x1301 | 0x1303 | 0x1304 => Some(0x35),
        // TLS_AES_256_GCM_SHA384.
        0x1302 => Some(0x45),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_lengths_tell() {
        use ClientCertificate::{InferredNotRequested, InferredRequested, InferredSent, Unknown};
        let cases: [(u16, &[u16], ClientCertificate); 12] = [
            (0x1301, &[0x35], InferredNotRequested),
            (0x1303, &[0x35, 90], InferredNotRequested),
            (0x1302, &[0x45, 90], InferredNotRequested),
            (0x1302, &[0x35, 90], Unknown),
            (0x1301, &[0x19, 0x35], InferredRequested),
            (0x1302, &[0x19, 0x45, 90], InferredRequested),
            (0x1301, &[0x19], Unknown),
            (0x1301, &[300, 0x35], InferredSent),
            (0x1301, &[300], Unknown),
            (0x1301, &[299, 0x35], Unknown),
            (0x1301, &[], Unknown),
            (0x1305, &[0x35], Unknown),
        ];
        for (cipher, records, told) in cases {
            assert_eq!(infer(cipher, records), told, "{cipher:#06x} {records:?}");
        }
    }
}
