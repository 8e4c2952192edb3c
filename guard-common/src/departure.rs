//! Whom the host talks with, read off what its own stack sends.
//!
//! What leaves cannot be forged from outside. It says that the host talks with somebody when it is
//! a TCP segment that only an established connection has, or when the host speaks first.

use crate::packet::{
    Address, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Frame, IPV4_LEN, IPV6_LEN, PROTOCOL_ICMP,
    PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, TCP_ACK, TCP_RST, TCP_SYN, ipv6_address, link,
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

/// A packet of the host's own stack that shows whom it talks with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Whom.
    pub peer: Address,
    /// How it shows that.
    pub talk: Talk,
}

/// What shows that the host talks with somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// The host calls: a SYN, a ping, or a UDP datagram from an ephemeral port to one that is not.
    Call,
    /// A TCP segment that is neither SYN nor RST, as a connection sends it. So does a half-open one,
    /// whose peer may be forged: only the sending socket tells.
    Segment {
        /// The peer's port in the high half, the host's in the low one.
        ports: u32,
        /// The sequence number that the host waits for.
        ack: u32,
    },
}

impl Departure {
    /// Reads a frame of the host's own stack.
    #[inline(always)]
    pub fn read<F: Frame + ?Sized>(frame: &F, ephemeral: EphemeralPorts) -> Option<Self> {
        let (ethertype, offset) = link(frame).ok()?;
        let (protocol, destination, offset) = match ethertype {
            ETHERTYPE_IPV4 => ipv4(frame, offset)?,
            ETHERTYPE_IPV6 => ipv6(frame, offset)?,
            _ => return None,
        };
        let offset = frame.settled(offset);
        let talk = match protocol {
            PROTOCOL_TCP => tcp(frame.bytes(offset)?)?,
            PROTOCOL_UDP => {
                let [a, b, c, d]: &[u8; 4] = frame.bytes(offset)?;
                let (local, remote) = (u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]));
                let calls = ephemeral.hold(local) && !ephemeral.hold(remote);
                calls.then_some(Talk::Call)?
            }
            PROTOCOL_ICMP => echo(frame.bytes(offset)?, ECHO_REQUEST)?,
            PROTOCOL_ICMPV6 => echo(frame.bytes(offset)?, ECHO_REQUEST_V6)?,
            _ => return None,
        };
        let peer = Address::of(destination);
        Some(Self { peer, talk })
    }
}

#[inline(always)]
fn tcp(header: &[u8; 14]) -> Option<Talk> {
    match header[13] & (TCP_SYN | TCP_ACK | TCP_RST) {
        TCP_SYN => Some(Talk::Call),
        TCP_ACK => Some(Talk::Segment {
            ports: u32::from_be_bytes([header[2], header[3], header[0], header[1]]),
            ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        }),
        _ => None,
    }
}

#[inline(always)]
fn echo(header: &[u8; 4], request: u8) -> Option<Talk> {
    (header[0] == request).then_some(Talk::Call)
}

/// Protocol, destination and where the payload starts, of a packet that is whole or starts one.
#[inline(always)]
fn ipv4<F: Frame + ?Sized>(frame: &F, offset: usize) -> Option<(u8, [u64; 2], usize)> {
    let header: &[u8; IPV4_LEN] = frame.bytes(offset)?;
    if u16::from_be_bytes([header[6], header[7]]) & 0x1fff != 0 {
        return None;
    }
    let destination = u32::from_ne_bytes([header[16], header[17], header[18], header[19]]);
    let header_len = usize::from(header[0] & 0x0f) * 4;
    Some((
        header[9],
        Address::V4(destination).words(),
        offset + header_len,
    ))
}

/// The same of a packet without extension headers, which our own stack hardly ever sends.
#[inline(always)]
fn ipv6<F: Frame + ?Sized>(frame: &F, offset: usize) -> Option<(u8, [u64; 2], usize)> {
    let header: &[u8; IPV6_LEN] = frame.bytes(offset)?;
    Some((header[6], ipv6_address(header, 24), offset + IPV6_LEN))
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
        Departure::read(frame, PORTS).map(|departure| departure.peer)
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
        let departure = Departure::read(&acknowledging[..], PORTS).expect("talk");
        let ports = (40_000 << 16) + 443;
        let ack = 0x0102_0304;
        assert_eq!(departure.talk, Talk::Segment { ports, ack });
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
