//! Records of the ring buffer.

use bytes::Bytes;
use guard::{events::Record, redact};
use guard_common::wire::EXCERPT_LEN;

use crate::redaction;

/// The record itself is the input.
pub fn check(input: &[u8]) {
    let Some(record) = Record::read(Bytes::copy_from_slice(input)) else {
        return;
    };
    assert!(record.excerpt.len() <= EXCERPT_LEN);
    assert!(
        input
            .windows(record.excerpt.len().max(1))
            .any(|place| place == record.excerpt)
            || record.excerpt.is_empty()
    );
    redaction::assert_harmless(&redact::describe(
        record.protocol,
        &record.excerpt,
        &redaction::KEY,
    ));
}
