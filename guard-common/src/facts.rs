//! What the decisions need to know of a packet.
//!
//! The kernel side comes to this from each of the many ways a frame can be laid out. Here they all
//! become one: what tells them apart is a word of [`Shape`], which the kernel side makes unknown to
//! the verifier.

use crate::{
    packet::{Address, IpPacket, Kind, TcpHead},
    source,
};

/// What is known of a packet when its headers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub shape: Shape,
    /// Where it says it comes from, as 16 bytes.
    address: [u64; 2],
    /// A number for that address: [`source::address`].
    pub hash: u64,
    /// TCP only: ports, numbers and flags, else zero.
    pub tcp: TcpHead,
    /// A number for where it goes to.
    pub local: u32,
    /// TCP only: where its payload starts, in bytes from the start of the frame, else 0.
    pub payload_offset: u16,
    /// TCP only: bytes of its payload, else 0.
    pub payload_len: u32,
    /// Link-layer header and IP packet, without padding.
    pub bytes: u32,
    /// The running tick.
    pub now: u32,
}

/// A packet's kind in one small number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape(pub u32);

impl Shape {
    /// A TCP segment with its header.
    pub const TCP: u32 = 1;
    /// A UDP datagram with its header.
    pub const UDP: u32 = 2;
    /// ICMP or ICMPv6.
    pub const ICMP: u32 = 4;
    /// It is a part of a packet.
    pub const FRAGMENT: u32 = 8;
    /// It opens a TCP connection.
    pub const OPENS: u32 = 16;
    /// It is what an established TCP connection sends.
    pub const TALKS: u32 = 32;
    /// It claims to come from where it goes to.
    pub const LAND: u32 = 64;
    /// It comes from an IPv4 address.
    pub const IPV4: u32 = 128;
    /// It is neighbour discovery.
    pub const NEIGHBOUR: u32 = 256;

    /// Whether it has `flag`.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// What it carries.
    #[must_use]
    pub const fn kind(self) -> Kind {
        if self.has(Self::TCP) {
            Kind::Tcp
        } else if self.has(Self::UDP) {
            Kind::Udp
        } else if self.has(Self::NEIGHBOUR) {
            Kind::NeighbourDiscovery
        } else if self.has(Self::ICMP) {
            Kind::Icmp
        } else {
            Kind::Other
        }
    }
}

impl Facts {
    /// Of a packet at tick `now`, where addresses are hashed with this seed.
    #[inline(always)]
    #[must_use]
    pub fn of(packet: &IpPacket, now: u32, seed: [u64; 2]) -> Self {
        Self {
            shape: packet.shape,
            address: packet.address,
            hash: source::address(packet.source(), seed),
            tcp: packet.tcp.head,
            local: packet.local,
            payload_offset: packet.tcp.payload_offset,
            payload_len: packet.tcp.payload_len,
            bytes: packet.frame_len,
            now,
        }
    }

    /// Where it says it comes from.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> Address {
        Address::known(self.address, self.shape.has(Shape::IPV4))
    }

    /// A number for the TCP connection it is of: [`source::connection`].
    #[inline(always)]
    #[must_use]
    pub const fn connection(&self) -> u64 {
        source::connection_of(self.hash, self.local, self.tcp.ports())
    }

    /// The 16 bytes of that, as two words.
    #[inline(always)]
    #[must_use]
    pub const fn address(&self) -> [u64; 2] {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Tcp;

    #[test]
    fn a_packet_is_what_its_facts_say() {
        let mut packet = IpPacket {
            address: [1, 2],
            shape: Shape(Shape::UDP | Shape::FRAGMENT),
            frame_len: 60,
            local: 0,
            tcp: Tcp::NONE,
        };
        let facts = Facts::of(&packet, 7, [1, 2]);
        assert_eq!(facts.source(), Address::V6([1, 2]));
        assert_eq!(facts.shape.kind(), Kind::Udp);
        assert_eq!((facts.bytes, facts.now), (60, 7));

        packet.address = Address::V4(u32::MAX).words();
        packet.shape = Shape(Shape::ICMP | Shape::IPV4);
        let facts = Facts::of(&packet, 7, [1, 2]);
        assert_eq!(facts.source(), Address::V4(u32::MAX));
        assert_eq!(facts.shape.kind(), Kind::Icmp);
    }

    #[test]
    fn a_shape_says_what_it_carries() {
        for kind in [
            Kind::Tcp,
            Kind::Udp,
            Kind::NeighbourDiscovery,
            Kind::Icmp,
            Kind::Other,
        ] {
            let all = Shape::FRAGMENT | Shape::OPENS | Shape::TALKS | Shape::LAND | Shape::IPV4;
            assert_eq!(Shape(kind as u32 | all).kind(), kind);
        }
    }
}
