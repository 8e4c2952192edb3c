//! What the decisions need to know of a packet.
//!
//! The kernel side comes to this from each of the many ways a frame can be laid out. Here they all
//! become one: what tells them apart is a word of [`Shape`], which the kernel side makes unknown to
//! the verifier.

use crate::packet::{Address, IpPacket, Kind};

/// What is known of a packet when its headers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub shape: Shape,
    /// Where it says it comes from, as 16 bytes.
    address: [u64; 2],
    /// TCP only: port it comes from, else 0.
    pub source_port: u16,
    /// TCP only: port it goes to, else 0.
    pub port: u16,
    /// TCP only: its sequence number, else 0.
    pub seq: u32,
    /// TCP only: what it acknowledges, else 0.
    pub ack: u32,
    /// TCP only: its flags, else 0.
    pub flags: u8,
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

    /// Whether it has `flag`.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }
}

impl Facts {
    /// Of a packet at tick `now`.
    #[inline(always)]
    #[must_use]
    pub const fn of(packet: &IpPacket, now: u32) -> Self {
        let kind = match packet.kind {
            Kind::Tcp if packet.tcp.opens => Shape::TCP | Shape::OPENS,
            Kind::Tcp if packet.tcp.talks => Shape::TCP | Shape::TALKS,
            Kind::Tcp => Shape::TCP,
            Kind::Udp => Shape::UDP,
            Kind::Icmp | Kind::NeighbourDiscovery => Shape::ICMP,
            Kind::Other => 0,
        };
        let tcp = &packet.tcp;
        let fragment = if packet.fragment { Shape::FRAGMENT } else { 0 };
        let land = if packet.land { Shape::LAND } else { 0 };
        Self {
            shape: Shape(kind | fragment | land),
            address: packet.address,
            source_port: tcp.source_port,
            port: tcp.port,
            seq: tcp.seq,
            ack: tcp.ack,
            flags: tcp.flags,
            local: packet.local,
            payload_offset: tcp.payload_offset,
            payload_len: tcp.payload_len,
            bytes: packet.frame_len,
            now,
        }
    }

    /// Where it says it comes from.
    #[inline(always)]
    #[must_use]
    pub const fn source(&self) -> Address {
        Address::of(self.address)
    }

    /// Both ports, the source's in the high half.
    #[inline(always)]
    #[must_use]
    pub const fn ports(&self) -> u32 {
        (self.source_port as u32) << 16 | self.port as u32
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
            frame_len: 60,
            fragment: true,
            land: false,
            local: 0,
            kind: Kind::Udp,
            tcp: Tcp::NONE,
        };
        let facts = Facts::of(&packet, 7);
        assert_eq!(facts.source(), packet.source());
        assert_eq!(facts.shape, Shape(Shape::UDP | Shape::FRAGMENT));
        assert_eq!((facts.bytes, facts.now), (60, 7));

        packet.address = Address::V4(u32::MAX).words();
        packet.kind = Kind::Icmp;
        let facts = Facts::of(&packet, 7);
        assert_eq!(facts.source(), packet.source());
        assert_eq!(facts.shape, Shape(Shape::ICMP | Shape::FRAGMENT));
    }
}
