//! What lies behind an IP header: which part of its packet, and behind which extension headers.

use super::{
    Frame, PROTOCOL_AUTHENTICATION, PROTOCOL_DESTINATION, PROTOCOL_FRAGMENT, PROTOCOL_HOP_BY_HOP,
    PROTOCOL_MOBILITY, PROTOCOL_ROUTING, Unsound,
};

/// Extension headers a packet may have.
const MAX_EXTENSIONS: usize = 6;
/// All headers we follow end before this offset.
pub const MAX_HEADERS_LEN: usize = 1 << 14;
const _: () = assert!(22 + 40 + MAX_EXTENSIONS * 2048 + 60 < MAX_HEADERS_LEN);

/// What follows the IP header or an extension header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    /// Protocol number of what follows.
    pub protocol: u8,
    /// Hop limit; 0 in IPv4, which has no neighbour discovery.
    pub hop_limit: u8,
    /// Where it starts in the frame.
    pub offset: usize,
    /// Its bytes by the IP header.
    pub len: usize,
    /// Which part of its packet it is.
    pub fragment: Fragment,
}

/// Which part of a packet a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Where it starts in its packet, in units of 8 bytes.
    pub offset: u16,
    /// It is not the whole packet.
    pub partial: bool,
}

impl Fragment {
    /// An unfragmented packet.
    pub const WHOLE: Self = Self {
        offset: 0,
        partial: false,
    };

    /// From the IPv4 flags and offset field (RFC 791 section 3.1).
    #[inline(always)]
    pub(super) const fn from_ipv4(field: u16) -> Self {
        Self {
            offset: field & 0x1fff,
            partial: field & 0x3fff != 0,
        }
    }

    /// From the offset field of an IPv6 fragment header (RFC 8200 section 4.5).
    #[inline(always)]
    const fn from_ipv6(field: u16) -> Self {
        Self {
            offset: field >> 3,
            partial: field & 0xfff9 != 0,
        }
    }

    /// Of a fragment header behind others: a part of a part is a part, whatever it says.
    #[inline(always)]
    const fn within(self, outer: Self) -> Self {
        Self {
            offset: self.offset,
            partial: self.partial | outer.partial,
        }
    }

    /// What a header that is not all there means.
    #[inline(always)]
    pub(super) const fn cut_short(self) -> Unsound {
        if self.partial {
            Unsound::Fragment
        } else {
            Unsound::Malformed
        }
    }
}

#[inline(always)]
pub(super) const fn is_extension(protocol: u8) -> bool {
    matches!(
        protocol,
        PROTOCOL_HOP_BY_HOP
            | PROTOCOL_ROUTING
            | PROTOCOL_FRAGMENT
            | PROTOCOL_AUTHENTICATION
            | PROTOCOL_DESTINATION
            | PROTOCOL_MOBILITY
    )
}

/// Follows the IPv6 extension headers (RFC 8200 section 4) to what they precede. More than six of
/// them are refused: the stack would follow them to a transport header that nobody judged.
#[inline(always)]
pub fn extensions<F: Frame + ?Sized>(frame: &F, mut at: Payload) -> Result<Payload, Unsound> {
    for position in 0..MAX_EXTENSIONS {
        if !is_extension(at.protocol) || at.fragment.offset != 0 {
            break;
        }
        if at.len < 8 {
            return Err(at.fragment.cut_short());
        }
        // Only the first may be one for every hop; no stack looks for it elsewhere.
        if position > 0 && at.protocol == PROTOCOL_HOP_BY_HOP {
            return Err(Unsound::ExtensionHeaders);
        }
        let header: &[u8; 8] = frame.bytes(at.offset).ok_or(Unsound::OutOfReach)?;
        let len = match at.protocol {
            PROTOCOL_FRAGMENT => {
                let field = u16::from_be_bytes([header[2], header[3]]);
                at.fragment = Fragment::from_ipv6(field).within(at.fragment);
                8
            }
            // Counted in units of 4 bytes, less 2 (RFC 4302 section 2.2).
            PROTOCOL_AUTHENTICATION => 8 + usize::from(header[1]) * 4,
            _ => 8 + usize::from(header[1]) * 8,
        };
        if len > at.len {
            return Err(at.fragment.cut_short());
        }
        at.protocol = header[0];
        at.offset = frame.settled(at.offset + len);
        at.len -= len;
    }
    if is_extension(at.protocol) && at.fragment.offset == 0 {
        return Err(Unsound::ExtensionHeaders);
    }
    Ok(at)
}

/// The outcome of [`extensions`] in one word, as it comes back from a call in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk(pub u64);

impl Walk {
    /// Why the walk ended, in the topmost bits; zero when it reached its end.
    const ENDED: u32 = 56;

    /// Packs what [`extensions`] found.
    #[inline(always)]
    #[must_use]
    pub fn pack(found: Result<Payload, Unsound>) -> Self {
        Self(match found {
            Ok(at) => {
                let fragment = u64::from(at.fragment.offset) << 1 | u64::from(at.fragment.partial);
                fragment << 32 | (at.offset as u64 & 0xffff) << 8 | u64::from(at.protocol)
            }
            Err(unsound) => (unsound as u64 + 1) << Self::ENDED,
        })
    }

    /// Unpacks it again. `from` is where the walk started.
    #[inline(always)]
    pub fn unpack(self, from: Payload) -> Result<Payload, Unsound> {
        let Self(word) = self;
        if word >> Self::ENDED != 0 {
            return Err(Unsound::numbered((word >> Self::ENDED) - 1));
        }
        let offset = (word >> 8) as usize % MAX_HEADERS_LEN;
        let fragment = (word >> 32) as u16;
        Ok(Payload {
            protocol: word as u8,
            hop_limit: from.hop_limit,
            offset,
            len: from.len - (offset - from.offset),
            fragment: Fragment {
                offset: fragment >> 1,
                partial: fragment & 1 != 0,
            },
        })
    }
}
