//! Turns the start of a plaintext payload into words that may be logged.

use guard_common::protocol::Protocol;

/// What a payload asks for, without its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// What is asked for.
    pub(crate) summary: String,
    /// Credentials that came with it.
    pub(crate) credentials: Vec<Credential>,
}

/// A credential seen in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Credential {
    /// What sort it is of.
    pub(crate) scheme: &'static str,
    /// Where it was.
    pub(crate) place: String,
}

pub(crate) fn describe(protocol: Protocol, _payload: &[u8]) -> Request {
    Request { summary: protocol.name().to_owned(), credentials: Vec::new() }
}
