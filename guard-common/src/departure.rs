//! Whom the host talks with, read off what its own stack sends.
//!
//! What leaves cannot be forged from outside. It says that the host talks with somebody when it is
//! a TCP segment that only an established connection has, or when the host speaks first.

use crate::packet::{
    Address, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame, IPV4_LEN, IPV6_LEN, PROTOCOL_ICMP,
    PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, TCP_ACK, TCP_RST, TCP_SYN, ipv6_address, link,
    local,
};

const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;

/// The host's ephemeral ports, which the kernel gives to those who call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EphemeralPorts {
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
}

impl EphemeralPorts {
    #[inline(always)]
    const fn hold(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

/// What shows that the host talks with somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// The host calls: a SYN, a ping, or a UDP datagram from an ephemeral port to one that is not.
    Call {
        /// The peer's port in the high half, the host's in the low one; 0 of a ping.
        ports: u32,
    },
    /// A TCP segment that is neither SYN nor RST, as a connection sends it. So does a half-open one,
    /// whose peer may be forged: only the sending socket tells.
    Segment {
        /// The peer's port in the high half, the host's in the low one.
        ports: u32,
        /// The sequence number that the host waits for.
        ack: u32,
    },
}

/// A packet that leaves the host, whole or the first part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Where it goes to, as 16 bytes.
    pub peer: [u64; 2],
    /// A number for where it comes from: see [`crate::packet::IpPacket::local`].
    pub local: u32,
    /// Number of its transport protocol.
    protocol: u8,
    /// Where that starts.
    offset: usize,
    /// Its bytes, by the IP header.
    len: usize,
}

/// A TCP segment that leaves the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The peer's port in the high half, the host's in the low one.
    pub ports: u32,
    /// Its sequence number.
    pub seq: u32,
    /// What it acknowledges.
    pub ack: u32,
    /// Its flags.
    pub flags: u8,
    /// Where its payload starts.
    pub payload_offset: u16,
    /// Bytes of its payload.
    pub payload_len: u32,
}

impl Departure {
    /// Reads a frame that leaves.
    #[inline(always)]
    pub fn read<F: Frame + ?Sized>(frame: &F) -> Option<Self> {
        let (ethertype, offset) = link(frame).ok()?;
        let departure = match ethertype {
            ETHERTYPE_IPV4 => ipv4(frame, offset)?,
            ETHERTYPE_IPV6 => ipv6(frame, offset)?,
            _ => return None,
        };
        Some(Self {
            offset: frame.settled(departure.offset),
            ..departure
        })
    }

    /// Whom it goes to.
    #[inline(always)]
    #[must_use]
    pub const fn peer(&self) -> Address {
        Address::of(self.peer)
    }

    /// Whether it is a UDP datagram.
    #[inline(always)]
    #[must_use]
    pub const fn is_datagram(&self) -> bool {
        self.protocol == PROTOCOL_UDP
    }

    /// Whether it shows that the host talks with its peer.
    #[inline(always)]
    pub fn talk<F: Frame + ?Sized>(&self, frame: &F, ephemeral: EphemeralPorts) -> Option<Talk> {
        match self.protocol {
            PROTOCOL_TCP => tcp(frame.bytes(self.offset)?),
            PROTOCOL_UDP => {
                let [a, b, c, d]: &[u8; 4] = frame.bytes(self.offset)?;
                let (local, remote) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                let calls = ephemeral.hold(local) && !ephemeral.hold(remote);
                calls.then_some(Talk::Call {
                    ports: u32::from(remote) << 16 | u32::from(local),
                })
            }
            PROTOCOL_ICMP => echo(frame.bytes(self.offset)?, ECHO_REQUEST),
            PROTOCOL_ICMPV6 => echo(frame.bytes(self.offset)?, ECHO_REQUEST_V6),
            _ => None,
        }
    }

    /// The TCP segment that it is.
    #[inline(always)]
    pub fn segment<F: Frame + ?Sized>(&self, frame: &F) -> Option<Outgoing> {
        if self.protocol != PROTOCOL_TCP {
            return None;
        }
        let header: &[u8; 20] = frame.bytes(self.offset)?;
        let header_len = usize::from(header[12] >> 4) * 4;
        Some(Outgoing {
            ports: u32::from_be_bytes([header[2], header[3], header[0], header[1]]),
            seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
            flags: header[13],
            payload_offset: (self.offset + header_len) as u16,
            payload_len: self.len.saturating_sub(header_len) as u32,
        })
    }
}

#[inline(always)]
fn tcp(header: &[u8; 14]) -> Option<Talk> {
    let ports = u32::from_be_bytes([header[2], header[3], header[0], header[1]]);
    match header[13] & (TCP_SYN | TCP_ACK | TCP_RST) {
        TCP_SYN => Some(Talk::Call { ports }),
        TCP_ACK => Some(Talk::Segment {
            ports,
            ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        }),
        _ => None,
    }
}

#[inline(always)]
fn echo(header: &[u8; 4], request: u8) -> Option<Talk> {
    (header[0] == request).then_some(Talk::Call { ports: 0 })
}

#[inline(always)]
fn ipv4<F: Frame + ?Sized>(frame: &F, offset: usize) -> Option<Departure> {
    let header: &[u8; IPV4_LEN] = frame.bytes(offset)?;
    if u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0 {
        return None;
    }
    let source = u32::from_ne_bytes([header[12], header[13], header[14], header[15]]);
    let destination = u32::from_ne_bytes([header[16], header[17], header[18], header[19]]);
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let claimed = usize::from(u16::from_be_bytes([header[2], header[3]]));
    Some(Departure {
        peer: Address::V4(destination).words(),
        local: source,
        protocol: header[9],
        offset: offset + header_len,
        len: len(frame, offset, claimed).saturating_sub(header_len),
    })
}

/// The same of a packet without extension headers, which our own stack hardly ever sends.
#[inline(always)]
fn ipv6<F: Frame + ?Sized>(frame: &F, offset: usize) -> Option<Departure> {
    let header: &[u8; IPV6_LEN] = frame.bytes(offset)?;
    let claimed = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let offset = offset + IPV6_LEN;
    Some(Departure {
        peer: ipv6_address(header, 24),
        local: local(ipv6_address(header, 8)),
        protocol: header[6],
        offset,
        len: len(frame, offset, claimed),
    })
}

/// Where a packet comes from, as 16 bytes, and a number for where it goes to: of one that arrives.
#[inline(always)]
pub fn arrival<F: Frame + ?Sized>(frame: &F) -> Option<([u64; 2], u32)> {
    let (ethertype, offset) = link(frame).ok()?;
    match ethertype {
        ETHERTYPE_IPV4 => {
            let header: &[u8; IPV4_LEN] = frame.bytes(offset)?;
            let source = u32::from_ne_bytes([header[12], header[13], header[14], header[15]]);
            let destination = u32::from_ne_bytes([header[16], header[17], header[18], header[19]]);
            Some((Address::V4(source).words(), destination))
        }
        ETHERTYPE_IPV6 => {
            let header: &[u8; IPV6_LEN] = frame.bytes(offset)?;
            Some((ipv6_address(header, 8), local(ipv6_address(header, 24))))
        }
        _ => None,
    }
}

/// The length that an IP header claims; where it claims none, since it could not (BIG TCP), all
/// there is.
#[inline(always)]
fn len<F: Frame + ?Sized>(frame: &F, offset: usize, claimed: usize) -> usize {
    if claimed == 0 {
        frame.total_len().saturating_sub(offset)
    } else {
        claimed
    }
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use etherparse::PacketBuilder;

    use super::*;

    const PORTS: EphemeralPorts = EphemeralPorts {
        first: 32_768,
        last: 60_999,
    };
    const PEER: [u8; 4] = [192, 0, 2, 9];

    fn talks(frame: &[u8]) -> Option<Address> {
        let departure = Departure::read(frame)?;
        let talk = departure.talk(frame, PORTS);
        talk.map(|_| departure.peer())
    }

    fn tcp(flags: u8) -> Vec<u8> {
        let packet = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv4([10, 0, 0, 1], PEER, 64);
        let mut frame = vec![];
        let packet = packet.tcp(443, 40_000, 7, 64_240);
        packet.write(&mut frame, b"x").expect("writing to memory");
        frame[14 + 20 + 13] = flags;
        frame
    }

    fn udp(local: u16, remote: u16) -> Vec<u8> {
        let packet = PacketBuilder::ethernet2([2; 6], [4; 6]).ipv6([1; 16], [3; 16], 64);
        let mut frame = vec![];
        let packet = packet.udp(local, remote);
        packet.write(&mut frame, b"x").expect("writing to memory");
        frame
    }

    #[test]
    fn an_established_connection_and_a_call_are_talk() {
        let known = Some(Address::V4(u32::from_ne_bytes(PEER)));
        assert_eq!(talks(&tcp(TCP_ACK)), known);
        assert_eq!(talks(&tcp(TCP_ACK | 0x08)), known, "data");
        assert_eq!(talks(&tcp(TCP_ACK | 0x01)), known, "FIN");
        assert_eq!(talks(&tcp(TCP_SYN)), known, "our own call");
    }

    #[test]
    fn a_segment_tells_its_connection() {
        let frame = tcp(TCP_ACK);
        let mut acknowledging = frame;
        acknowledging[14 + 20 + 8..][..4].copy_from_slice(&[1, 2, 3, 4]);
        let departure = Departure::read(&acknowledging[..]).expect("a packet");
        let ports = (40_000 << 16) + 443;
        let ack = 0x0102_0304;
        let talk = departure.talk(&acknowledging[..], PORTS);
        assert_eq!(talk, Some(Talk::Segment { ports, ack }));
        let segment = Outgoing {
            ports,
            seq: 7,
            ack,
            flags: TCP_ACK,
            payload_offset: 54,
            payload_len: 1,
        };
        assert_eq!(departure.segment(&acknowledging[..]), Some(segment));
    }

    #[test]
    fn what_answers_anybody_is_none() {
        assert_eq!(talks(&tcp(TCP_SYN | TCP_ACK)), None);
        assert_eq!(talks(&tcp(TCP_RST)), None);
        assert_eq!(talks(&tcp(TCP_RST | TCP_ACK)), None);
        assert_eq!(talks(&udp(53, 40_000)), None, "an answer");
        assert_eq!(
            talks(&udp(40_000, 50_000)),
            None,
            "who called cannot be told"
        );
    }

    #[test]
    fn a_datagram_from_an_ephemeral_port_is_a_call() {
        assert_eq!(
            talks(&udp(40_000, 53)),
            Some(Address::of([0x0303_0303_0303_0303; 2]))
        );
    }

    #[test]
    fn pings_are_calls_and_their_answers_are_none() {
        let ping = |kind: u8| {
            let mut frame = tcp(0);
            frame[14 + 9] = PROTOCOL_ICMP;
            frame[14 + 20] = kind;
            frame
        };
        assert!(talks(&ping(8)).is_some());
        assert_eq!(talks(&ping(0)), None);
    }

    #[test]
    fn parts_and_stumps_say_nothing() {
        let mut part = tcp(TCP_ACK);
        part[14 + 7] = 1;
        assert_eq!(talks(&part), None);
        let whole = tcp(TCP_ACK);
        for len in 0..14 + 20 + 14 {
            assert_eq!(talks(&whole[..len]), None);
        }
    }
}
