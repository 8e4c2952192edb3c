//! Records (RFC 8446 section 5.1), and what one direction says in them.

use tls_parser::{TlsRecordHeader, TlsRecordType, parse_tls_record_header};

use super::{RECORD_LIMIT, SIDE_LIMIT, handshake};

/// A fatal alert's level (RFC 5246 section 7.2).
const FATAL: u8 = 2;

/// What one direction says in the clear, and how long its first encrypted records are.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// The clear handshake messages, end to end; the last one may be cut.
    pub(super) handshake: Vec<u8>,
    /// The description of the first fatal alert.
    pub(super) alert: Option<u8>,
    /// The lengths of the application data records after `ChangeCipherSpec`, in bytes.
    pub(super) application: Vec<u16>,
}

impl Flight {
    /// Reads the bytes of one direction.
    pub(super) fn read(bytes: &[u8]) -> Self {
        let bytes = bytes.get(..SIDE_LIMIT).unwrap_or(bytes);
        let mut flight = Self::default();
        let (mut clear, mut changed) = (true, false);
        for record in records(bytes) {
            match record.kind {
                TlsRecordType::Handshake if clear => {
                    flight.handshake.extend_from_slice(record.body);
                }
                TlsRecordType::Alert if clear => flight.tell_alert(&record),
                TlsRecordType::ChangeCipherSpec => {
                    changed = true;
                    // A server that retries sends one for old middleboxes, and its ServerHello
                    // after it (RFC 8446 appendix D.4).
                    clear = clear && handshake::is_retry_alone(&flight.handshake);
                }
                TlsRecordType::ApplicationData => {
                    clear = false;
                    if changed {
                        flight.application.push(record.length);
                    }
                }
                _ => {}
            }
        }
        flight
    }

    fn tell_alert(&mut self, record: &Record<'_>) {
        // Any other length is encrypted.
        if let (2, &[FATAL, description]) = (record.length, record.body) {
            self.alert.get_or_insert(description);
        }
    }
}

#[derive(Debug)]
struct Record<'a> {
    kind: TlsRecordType,
    /// What the header says, in bytes.
    length: u16,
    /// What is there of it.
    body: &'a [u8],
}

/// The records up to the end, or to the first bytes that are none.
fn records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let mut rest = bytes;
    let next = move || {
        let (after, header) = parse_tls_record_header(rest).ok()?;
        if !is_plausible(header) {
            return None;
        }
        let (body, after) = after.split_at(usize::from(header.len).min(after.len()));
        rest = after;
        Some(Record {
            kind: header.record_type,
            length: header.len,
            body,
        })
    };
    std::iter::from_fn(next).take(RECORD_LIMIT)
}

fn is_plausible(header: TlsRecordHeader) -> bool {
    // 2^14 and the most that a TLS 1.2 cipher adds (RFC 5246 section 6.2.3).
    const LONGEST: u16 = (1 << 14) + 2048;
    let known = TlsRecordType::ChangeCipherSpec.0..=TlsRecordType::Heartbeat.0;
    known.contains(&header.record_type.0) && header.version.0 >> 8 == 3 && header.len <= LONGEST
}
