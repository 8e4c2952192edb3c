//! A segment, as the state machine takes it.

use crate::connection::End;

/// Bytes of a payload's start that are at hand.
pub const TEXT_LEN: u32 = 4096;

/// A TCP segment of a service's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// A number for the connection, never zero.
    pub hash: u64,
    /// The peer's address, as 16 bytes.
    pub peer: [u64; 2],
    /// The peer's port in the high half, the host's in the low one.
    pub ports: u32,
    /// Sequence number of the payload's first byte.
    pub seq: u32,
    /// What it acknowledges.
    pub ack: u32,
    /// Bytes of payload.
    pub payload_len: u32,
    /// How many of them are at hand: [`TEXT_LEN`] at most.
    pub text_len: u32,
    /// The running tick.
    pub now: u32,
    /// Position of the service plus one.
    pub service_plus_one: u16,
    /// TCP flags.
    pub flags: u8,
    /// Not zero: the client sends it.
    pub by_client: u8,
    /// Not zero: the host sends it.
    pub by_host: u8,
    /// Position of the interface.
    pub interface: u8,
    /// Bits of [`crate::wire::ServicePort`].
    pub service_flags: u16,
}

impl Segment {
    /// Who sends it.
    #[inline(always)]
    #[must_use]
    pub const fn end(&self) -> End {
        if self.by_client != 0 {
            End::Client
        } else {
            End::Server
        }
    }

    /// The number behind its payload.
    #[inline(always)]
    pub(super) const fn behind(&self) -> u32 {
        self.seq.wrapping_add(self.payload_len)
    }
}
