//! TCP headers.

use super::{Frame, Payload, Unsound, word};

/// Bytes of a TCP header without options.
pub const TCP_LEN: usize = 20;
/// The sender has nothing more to say.
pub const TCP_FIN: u8 = 0x01;
/// The sender opens its side.
pub const TCP_SYN: u8 = 0x02;
/// The connection is broken off.
pub const TCP_RST: u8 = 0x04;
/// The segment acknowledges something.
pub const TCP_ACK: u8 = 0x10;

/// A TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp {
    /// Ports, numbers and flags.
    pub head: TcpHead,
    /// Payload start, in bytes from the start of the frame.
    pub payload_offset: u16,
    /// Payload bytes by the IP header.
    pub payload_len: u32,
}

/// The first 16 bytes of a TCP header, two words in the host's order: what few decisions ask for is
/// taken out where they ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpHead([u64; 2]);

impl TcpHead {
    /// Of what is no TCP segment: all zero.
    pub const NONE: Self = Self([0; 2]);

    #[inline(always)]
    fn of(header: &[u8; TCP_LEN]) -> Self {
        Self([word(header, 0), word(header, 8)].map(u64::from_be))
    }

    /// Port it comes from.
    #[inline(always)]
    #[must_use]
    pub const fn source_port(self) -> u16 {
        (self.0[0] >> 48) as u16
    }

    /// Port it goes to.
    #[inline(always)]
    #[must_use]
    pub const fn port(self) -> u16 {
        (self.0[0] >> 32) as u16
    }

    /// Both ports, the source's in the high half.
    #[inline(always)]
    #[must_use]
    pub const fn ports(self) -> u32 {
        (self.0[0] >> 32) as u32
    }

    /// Sequence number of the segment.
    #[inline(always)]
    #[must_use]
    pub const fn seq(self) -> u32 {
        self.0[0] as u32
    }

    /// What it acknowledges, if it has ACK.
    #[inline(always)]
    #[must_use]
    pub const fn ack(self) -> u32 {
        (self.0[1] >> 32) as u32
    }

    /// Its flags: [`TCP_FIN`] and so on.
    #[inline(always)]
    #[must_use]
    pub const fn flags(self) -> u8 {
        (self.0[1] >> 16) as u8
    }

    /// SYN is set and ACK is not: the start of a connection.
    #[inline(always)]
    #[must_use]
    pub const fn opens(self) -> bool {
        self.flags() & (TCP_SYN | TCP_ACK) == TCP_SYN
    }

    /// ACK is set, and neither SYN nor RST: what an established connection sends.
    #[inline(always)]
    #[must_use]
    pub const fn talks(self) -> bool {
        self.flags() & (TCP_SYN | TCP_RST | TCP_ACK) == TCP_ACK
    }

    /// Bytes of the whole header, by itself.
    #[inline(always)]
    const fn header_len(self) -> usize {
        (self.0[1] >> 28 & 0x0f) as usize * 4
    }
}

impl Tcp {
    /// No header.
    pub const NONE: Self = Self {
        head: TcpHead::NONE,
        payload_offset: 0,
        payload_len: 0,
    };
}

#[inline(always)]
pub(super) fn tcp<F: Frame + ?Sized>(frame: &F, at: Payload) -> Result<Tcp, Unsound> {
    if at.len < TCP_LEN {
        return Err(at.fragment.cut_short());
    }
    let header: &[u8; TCP_LEN] = frame.bytes(at.offset).ok_or(Unsound::OutOfReach)?;
    let head = TcpHead::of(header);
    let (header_len, flags) = (head.header_len(), head.flags());
    // Scanners send these.
    let is_impossible = flags & (TCP_SYN | TCP_ACK | TCP_RST) == 0
        || (flags & TCP_SYN != 0 && flags & (TCP_FIN | TCP_RST) != 0);
    if header_len < TCP_LEN {
        return Err(Unsound::Malformed);
    }
    if header_len > at.len {
        return Err(at.fragment.cut_short());
    }
    if is_impossible {
        return Err(Unsound::TcpFlags);
    }
    Ok(Tcp {
        head,
        payload_offset: (at.offset + header_len) as u16,
        payload_len: (at.len - header_len) as u32,
    })
}
