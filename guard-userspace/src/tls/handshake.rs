//! Handshake messages (RFC 8446 section 4), already joined over records.

use tls_parser::TlsHandshakeType;

use super::{MESSAGE_LIMIT, hello::ServerHello};

/// One message, whose end may be missing.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// Its type.
    pub(super) kind: TlsHandshakeType,
    /// What is there of it, after its header.
    pub(super) body: &'a [u8],
    /// Whether all of it is there.
    pub(super) is_whole: bool,
}

/// The messages in `bytes`. Only the last may lack its end.
pub(super) fn messages(bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = bytes;
    let next = move || {
        let (&[kind, high, middle, low], after) = rest.split_first_chunk()?;
        let length = u32::from_be_bytes([0, high, middle, low]) as usize;
        let (body, after) = after.split_at(length.min(after.len()));
        rest = after;
        Some(Message {
            kind: TlsHandshakeType(kind),
            body,
            is_whole: body.len() == length,
        })
    };
    std::iter::from_fn(next).take(MESSAGE_LIMIT)
}

/// Whether `bytes` are one `HelloRetryRequest` and nothing else.
pub(super) fn is_retry_alone(bytes: &[u8]) -> bool {
    let mut messages = messages(bytes);
    let retry = messages
        .next()
        .and_then(|message| ServerHello::read(&message))
        .is_some_and(|hello| hello.is_retry());
    retry && messages.next().is_none()
}
