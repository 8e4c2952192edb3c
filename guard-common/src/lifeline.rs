//! What goes on whatever is refused: the answers of the host's resolvers to what it has asked them,
//! and the SSH connections of those who administer it.
//!
//! Addresses can be forged, so no address is enough: an answer has to fit a question that left the
//! host, and a segment what the host has acknowledged on a connection that it keeps up.

use crate::{
    offence::is_awaited,
    packet::{
        Address, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame, IPV4_LEN, IPV6_LEN, PROTOCOL_UDP,
        ipv6_address, link, local,
    },
    source::{connection, mix},
};

/// Most resolvers of the host.
pub const MAX_RESOLVERS: usize = 4;
/// Most ports at which the host's SSH server listens.
pub const MAX_SSH_PORTS: usize = 4;
/// Most connections of those who administer the host.
pub const MAX_ADMINISTRATORS: u32 = 64;
/// Where resolvers listen (RFC 1035 section 4.2).
pub const DNS_PORT: u16 = 53;

/// Whom the host asks for names, and where those who administer it come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Lifelines {
    /// A bit for each resolver: see [`Lifelines::may_hold`].
    pub filter: u64,
    /// Resolvers' addresses, as 16 bytes each. Zero: none.
    pub resolvers: [[u64; 2]; MAX_RESOLVERS],
    /// TCP ports of the SSH server. Zero: none.
    pub ssh_ports: [u16; MAX_SSH_PORTS],
}

const _: () = assert!(size_of::<Lifelines>() == 80);

impl Lifelines {
    /// None.
    pub const NONE: Self = Self {
        filter: 0,
        resolvers: [[0; 2]; MAX_RESOLVERS],
        ssh_ports: [0; MAX_SSH_PORTS],
    };

    /// These resolvers and ports; of more than there is room for, the first ones.
    pub fn new(
        resolvers: impl IntoIterator<Item = Address>,
        ports: impl IntoIterator<Item = u16>,
    ) -> Self {
        let mut lifelines = Self::NONE;
        for (place, resolver) in lifelines.resolvers.iter_mut().zip(resolvers) {
            *place = resolver.words();
            lifelines.filter |= bit(*place);
        }
        for (place, port) in lifelines.ssh_ports.iter_mut().zip(ports) {
            *place = port;
        }
        lifelines
    }

    /// Whether the address may be a resolver's: of all others, 15 of 16 at least are not.
    #[inline(always)]
    #[must_use]
    pub const fn may_hold(&self, address: [u64; 2]) -> bool {
        self.filter & bit(address) != 0
    }

    /// Whether the address is a resolver's.
    #[inline(always)]
    #[must_use]
    pub fn holds(&self, address: [u64; 2]) -> bool {
        self.resolvers
            .iter()
            .any(|[high, low]| *high == address[0] && *low == address[1])
    }

    /// Whether the SSH server listens at this port, which is not 0.
    #[inline(always)]
    #[must_use]
    pub const fn is_ssh(&self, port: u16) -> bool {
        let [a, b, c, d] = self.ssh_ports;
        port == a || port == b || port == c || port == d
    }
}

#[inline(always)]
const fn bit(address: [u64; 2]) -> u64 {
    1 << (mix(address[1]) >> 58)
}

/// What the host waits for in a connection of somebody who administers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Awaited(pub u64);

impl Awaited {
    /// The host has sent nothing since the connection is known: there is nothing to hold its
    /// segments against. To the first that the stack does not expect it answers, and then there is.
    pub const NOT_KNOWN: Self = Self(0);
    const KNOWN: u64 = 1 << 32;

    /// It has acknowledged all before this sequence number.
    #[inline(always)]
    #[must_use]
    pub const fn from(ack: u32) -> Self {
        Self(Self::KNOWN | ack as u64)
    }

    /// Whether a segment with this sequence number may be of the connection.
    #[inline(always)]
    #[must_use]
    pub const fn admits(self, seq: u32) -> bool {
        self.0 & Self::KNOWN == 0 || is_awaited(seq, self.0 as u32)
    }
}

/// A number for what the host has asked a resolver, and for the answer: as [`connection`], but never
/// the same for a datagram and a TCP segment.
#[inline(always)]
#[must_use]
pub const fn question(
    resolver: Address,
    local: u32,
    ports: u32,
    is_datagram: bool,
    seed: [u64; 2],
) -> u64 {
    let local = if is_datagram { !local } else { local };
    connection(resolver, local, ports, seed)
}

/// A whole UDP datagram that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where it says it comes from, as 16 bytes.
    pub source: [u64; 2],
    /// A number for where it goes to: see [`crate::packet::IpPacket::local`].
    pub local: u32,
    /// The sender's port in the high half, the host's in the low one.
    pub ports: u32,
}

impl Datagram {
    /// Reads a frame whose headers are sound; nothing of one that is anything else, a part of a
    /// datagram, or behind extension headers, which no resolver sends.
    #[inline(always)]
    pub fn read<F: Frame + ?Sized>(frame: &F) -> Option<Self> {
        let (ethertype, offset) = link(frame).ok()?;
        let (source, local, offset) = match ethertype {
            ETHERTYPE_IPV4 => ipv4(frame.bytes(offset)?, offset)?,
            ETHERTYPE_IPV6 => ipv6(frame.bytes(offset)?, offset)?,
            _ => return None,
        };
        let [a, b, c, d]: &[u8; 4] = frame.bytes(frame.settled(offset))?;
        Some(Self {
            source,
            local,
            ports: u32::from_be_bytes([*a, *b, *c, *d]),
        })
    }
}

#[inline(always)]
fn ipv4(header: &[u8; IPV4_LEN], offset: usize) -> Option<([u64; 2], u32, usize)> {
    let is_part = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    if header[9] != PROTOCOL_UDP || is_part {
        return None;
    }
    let source = u32::from_ne_bytes([header[12], header[13], header[14], header[15]]);
    let destination = u32::from_ne_bytes([header[16], header[17], header[18], header[19]]);
    let header_len = usize::from(header[0] & 0x0f) * 4;
    Some((
        Address::V4(source).words(),
        destination,
        offset + header_len,
    ))
}

#[inline(always)]
fn ipv6(header: &[u8; IPV6_LEN], offset: usize) -> Option<([u64; 2], u32, usize)> {
    let is_datagram = header[6] == PROTOCOL_UDP;
    let (source, destination) = (ipv6_address(header, 8), ipv6_address(header, 24));
    is_datagram.then(|| (source, local(destination), offset + IPV6_LEN))
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use etherparse::PacketBuilder;

    use super::*;

    const SEED: [u64; 2] = [3, 5];

    fn v4(octets: [u8; 4]) -> Address {
        Address::V4(u32::from_ne_bytes(octets))
    }

    #[test]
    fn resolvers_and_ports_are_those_it_was_told() {
        let resolver = v4([192, 0, 2, 53]);
        let other = Address::of([1, 2]);
        let lifelines = Lifelines::new([resolver, other], [22, 2222]);
        for known in [resolver.words(), other.words()] {
            assert!(lifelines.may_hold(known) && lifelines.holds(known));
        }
        assert!(lifelines.is_ssh(22) && lifelines.is_ssh(2222) && !lifelines.is_ssh(80));
        let strangers = (0..4096_u32).map(|word| Address::V4(word).words());
        let strangers: Vec<_> = strangers.filter(|one| lifelines.may_hold(*one)).collect();
        assert!(strangers.len() < 4096 / 16, "{}", strangers.len());
        assert!(strangers.iter().all(|stranger| !lifelines.holds(*stranger)));
        assert!(!Lifelines::NONE.may_hold([0; 2]), "nobody is one of none");
    }

    #[test]
    fn of_more_resolvers_than_there_is_room_for_the_first_are_known() {
        let many = (1..=6).map(|host| v4([192, 0, 2, host]));
        let lifelines = Lifelines::new(many, []);
        let known = (1..=6).filter(|host| lifelines.holds(v4([192, 0, 2, *host]).words()));
        assert_eq!(known.collect::<Vec<u8>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn a_segment_is_held_against_what_the_host_acknowledged() {
        assert!(Awaited::NOT_KNOWN.admits(7) && Awaited::NOT_KNOWN.admits(u32::MAX));
        for ack in [0, 1000, u32::MAX] {
            let awaited = Awaited::from(ack);
            assert!(awaited.admits(ack) && awaited.admits(ack.wrapping_add(1000)));
            assert!(!awaited.admits(ack.wrapping_add(1 << 31)));
        }
    }

    #[test]
    fn a_question_is_of_its_ends_and_its_protocol() {
        let of = |resolver, local, ports, is_datagram| {
            question(resolver, local, ports, is_datagram, SEED)
        };
        let asked = of(v4([192, 0, 2, 53]), 1, (53 << 16) + 40_000, true);
        for other in [
            of(v4([192, 0, 2, 54]), 1, (53 << 16) + 40_000, true),
            of(v4([192, 0, 2, 53]), 2, (53 << 16) + 40_000, true),
            of(v4([192, 0, 2, 53]), 1, (53 << 16) + 40_001, true),
            of(v4([192, 0, 2, 53]), 1, (54 << 16) + 40_000, true),
            of(v4([192, 0, 2, 53]), 1, (53 << 16) + 40_000, false),
        ] {
            assert_ne!(asked, other);
        }
    }

    #[test]
    fn a_whole_datagram_of_either_family_is_read() {
        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([192, 0, 2, 53], [10; 4], 64);
        let mut v4_frame = Vec::new();
        let written = builder.udp(53, 40_000).write(&mut v4_frame, b"answer");
        written.expect("writing to memory");
        let datagram = Datagram {
            source: v4([192, 0, 2, 53]).words(),
            local: u32::from_ne_bytes([10; 4]),
            ports: (53 << 16) + 40_000,
        };
        assert_eq!(Datagram::read(&v4_frame[..]), Some(datagram));
        for (at, byte) in [(14 + 6, 0x20), (14 + 7, 1), (14 + 9, 6), (13, 6)] {
            let mut other = v4_frame.clone();
            other[at] = byte;
            assert_eq!(Datagram::read(&other[..]), None, "byte {at}");
        }
        for len in 0..14 + 20 + 4 {
            assert_eq!(Datagram::read(&v4_frame[..len]), None);
        }

        let builder = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([1; 16], [3; 16], 64);
        let mut v6_frame = Vec::new();
        let written = builder.udp(53, 40_000).write(&mut v6_frame, b"answer");
        written.expect("writing to memory");
        let datagram = Datagram {
            source: [0x0101_0101_0101_0101; 2],
            local: local([0x0303_0303_0303_0303; 2]),
            ports: (53 << 16) + 40_000,
        };
        assert_eq!(Datagram::read(&v6_frame[..]), Some(datagram));
    }
}
