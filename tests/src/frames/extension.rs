//! The extension headers of IPv6 (RFC 8200, section 4).

/// Next-header numbers of the IPv6 extension headers (RFC 8200, section 4).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// An IPv6 extension header.
#[derive(Clone, Debug)]
pub enum Extension {
    /// Hop-by-hop options, padded to this many units of 8 bytes beyond the first.
    HopByHop(u8),
    /// A routing header without segments, of this many units of 8 bytes beyond the first.
    Routing(u8),
    /// Destination options, padded to this many units of 8 bytes beyond the first.
    Destination(u8),
    /// A fragment header.
    Fragment {
        /// Of the fragment, in units of 8 bytes.
        offset: u16,
        /// Whether more fragments follow.
        more: bool,
        /// What the fragments of a packet have in common.
        id: u32,
    },
    /// An authentication header of 24 bytes.
    Authentication,
}

impl Extension {
    /// The next-header number that announces it.
    pub(super) fn number(&self) -> u8 {
        match self {
            Self::HopByHop(_) => HOP_BY_HOP,
            Self::Routing(_) => ROUTING,
            Self::Destination(_) => DESTINATION,
            Self::Fragment { .. } => FRAGMENT,
            Self::Authentication => AUTHENTICATION,
        }
    }

    /// The header, announcing `next`.
    pub(super) fn bytes(&self, next: u8) -> Vec<u8> {
        match self {
            Self::HopByHop(units) | Self::Destination(units) => {
                let length = 8 * (usize::from(*units) + 1);
                // One PadN option after another: none may be longer than 255 bytes.
                let mut bytes = vec![next, *units];
                while bytes.len() < length {
                    let padding = (length - bytes.len()).min(256);
                    bytes.extend([1, (padding - 2) as u8]);
                    bytes.resize(bytes.len() + padding - 2, 0);
                }
                bytes
            }
            Self::Routing(units) => {
                let mut bytes = vec![next, *units];
                bytes.resize(8 * (usize::from(*units) + 1), 0);
                bytes
            }
            Self::Fragment { offset, more, id } => {
                let mut bytes = vec![next, 0];
                bytes.extend((offset << 3 | u16::from(*more)).to_be_bytes());
                bytes.extend(id.to_be_bytes());
                bytes
            }
            Self::Authentication => {
                // Its length counts words of 4 bytes minus 2 (RFC 4302, section 2.2).
                let mut bytes = vec![next, 4];
                bytes.resize(24, 0);
                bytes
            }
        }
    }
}
