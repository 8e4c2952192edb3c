//! What the model is told of a frame: what the parser reads in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guard_common::{
    packet::{self, Address, IpPacket, Kind, parse},
    reason::Reason,
};

/// A frame, read.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) what: What,
    /// Bytes it counts as.
    pub(crate) bytes: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Nobody judges it.
    Passes,
    /// Its headers cannot be read to the end.
    Unsound(Reason),
    /// An IP packet.
    Packet(Packet),
}

/// An IP packet, as far as decisions need it.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) source: IpAddr,
    pub(crate) bytes: u64,
    /// It claims to come from where it goes to.
    pub(crate) land: bool,
    pub(crate) fragment: bool,
    pub(crate) kind: Kind,
    pub(crate) segment: Option<Segment>,
}

/// A TCP segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) port: u16,
    /// SYN without ACK.
    pub(crate) opens: bool,
}

impl Seen {
    pub(crate) fn new(frame: &[u8]) -> Self {
        let whole = frame.len() as u64;
        let (what, bytes) = match parse(frame) {
            Err(unsound) => (What::Unsound(unsound.reason()), whole),
            Ok(packet::Packet::NotIp) => (What::Passes, whole),
            Ok(packet::Packet::Ip(ip)) => {
                let what = if ip.kind() == Kind::NeighbourDiscovery {
                    What::Passes
                } else {
                    What::Packet(Packet::new(&ip))
                };
                (what, u64::from(ip.frame_len))
            }
        };
        Self { what, bytes }
    }
}

impl Packet {
    fn new(ip: &IpPacket) -> Self {
        Self {
            source: address(ip.source()),
            bytes: u64::from(ip.frame_len),
            land: ip.is_land(),
            fragment: ip.is_fragment(),
            kind: ip.kind(),
            segment: (ip.kind() == Kind::Tcp).then(|| Segment::new(ip)),
        }
    }

    /// Whether it opens a TCP connection.
    pub(crate) fn opens(&self) -> bool {
        self.segment.as_ref().is_some_and(|segment| segment.opens)
    }
}

impl Segment {
    fn new(ip: &IpPacket) -> Self {
        Self {
            port: ip.tcp.head.port(),
            opens: ip.tcp.head.opens(),
        }
    }
}

fn address(address: Address) -> IpAddr {
    match address {
        Address::V4(word) => Ipv4Addr::from(word.to_ne_bytes()).into(),
        Address::V6([high, low]) => {
            let mut octets = [0; 16];
            octets[..8].copy_from_slice(&high.to_ne_bytes());
            octets[8..].copy_from_slice(&low.to_ne_bytes());
            Ipv6Addr::from(octets).into()
        }
    }
}
