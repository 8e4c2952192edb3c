//! From frame to packet: Ethernet, up to two VLAN tags, IPv4, IPv6, TCP, UDP and ICMP.
//!
//! The same code runs in the kernel program and on the host, over anything that is a [`Frame`].
//! Lengths follow the IP header, never the frame: Ethernet padding is not payload.

mod address;
mod payload;
mod plain;
mod tcp;

pub use address::Address;
pub(crate) use address::{ipv6_address, local};
use payload::is_extension;
pub use payload::{Fragment, MAX_HEADERS_LEN, Payload, Walk, extensions};
pub use plain::plain;
use tcp::tcp;
pub use tcp::{TCP_ACK, TCP_FIN, TCP_LEN, TCP_RST, TCP_SYN, Tcp, TcpHead};

use crate::{facts::Shape, reason::Reason};

/// Bytes of a frame. What a network card received may lie in several buffers, of which only the
/// first can be read directly; on some cards that one is empty.
pub trait Frame {
    /// Bytes that can be read directly, counted from the Ethernet header.
    fn linear_len(&self) -> usize;
    /// Bytes of the whole frame, those beyond the directly readable ones included.
    fn total_len(&self) -> usize;
    /// `N` bytes from `offset` on, if all of them are within reach.
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;
    /// The same offset. In the kernel: one about whose history the verifier has forgotten all.
    fn settled(&self, offset: usize) -> usize {
        offset
    }
    /// What follows the extension headers that start at `at`: [`extensions`], called out of line
    /// in the kernel, where it is rare and long.
    fn beyond_extensions(&self, at: Payload) -> Result<Payload, Unsound> {
        extensions(self, at)
    }
}

impl Frame for [u8] {
    fn linear_len(&self) -> usize {
        self.len()
    }

    fn total_len(&self) -> usize {
        self.len()
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.get(offset..)?.first_chunk()
    }
}

/// What the frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet {
    /// Neither IPv4 nor IPv6: ARP and everything else that is not ours to judge.
    NotIp,
    /// An IP packet.
    Ip(IpPacket),
}

/// An IP packet whose headers are sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpPacket {
    /// Where it says it comes from, as 16 bytes: see [`IpPacket::source`].
    pub address: [u64; 2],
    /// What it is.
    pub shape: Shape,
    /// Link-layer header and IP packet in bytes, without Ethernet padding.
    pub frame_len: u32,
    /// A number for where it goes to: see `local`.
    pub local: u32,
    /// The TCP header; [`Tcp::NONE`] where there is none. See [`IpPacket::transport`].
    pub tcp: Tcp,
}

/// What a packet carries, by its number in a [`Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A TCP segment with its whole header.
    Tcp = Shape::TCP,
    /// A UDP datagram with its whole header.
    Udp = Shape::UDP,
    /// ICMPv6 neighbour discovery (RFC 4861), sent by a neighbour: hop limit 255.
    NeighbourDiscovery = Shape::ICMP | Shape::NEIGHBOUR,
    /// Any other ICMP or ICMPv6 message.
    Icmp = Shape::ICMP,
    /// Any other protocol, and fragments that do not start a packet.
    Other = 0,
}

impl IpPacket {
    /// Where it says it comes from.
    #[inline(always)]
    #[must_use]
    pub fn source(&self) -> Address {
        Address::known(self.address, self.shape.has(Shape::IPV4))
    }

    /// What follows the IP headers.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.shape.kind()
    }

    /// Whether it is a part of a packet, the first one or a later one.
    #[must_use]
    pub const fn is_fragment(&self) -> bool {
        self.shape.has(Shape::FRAGMENT)
    }

    /// Whether it claims to come from where it goes to.
    #[must_use]
    pub const fn is_land(&self) -> bool {
        self.shape.has(Shape::LAND)
    }

    /// What follows the IP headers, with the TCP header where there is one. The packet path does
    /// without: the verifier minds values that only some packets have.
    #[must_use]
    pub const fn transport(&self) -> Transport {
        match self.kind() {
            Kind::Tcp => Transport::Tcp(self.tcp),
            Kind::Udp => Transport::Udp,
            Kind::NeighbourDiscovery => Transport::NeighbourDiscovery,
            Kind::Icmp => Transport::Icmp,
            Kind::Other => Transport::Other,
        }
    }
}

/// The transport header, as far as decisions need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A TCP segment with its whole header.
    Tcp(Tcp),
    /// A UDP datagram with its whole header.
    Udp,
    /// ICMPv6 neighbour discovery (RFC 4861), sent by a neighbour: hop limit 255.
    NeighbourDiscovery,
    /// Any other ICMP or ICMPv6 message.
    Icmp,
    /// Any other protocol, and fragments that do not start a packet.
    Other,
}

/// Why a frame is not a packet any stack would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsound {
    /// The frame ends before a header does, or the header is in a part that [`Frame::bytes`] does
    /// not reach.
    OutOfReach,
    /// A header is cut short or contradicts itself.
    Malformed,
    /// A first fragment without its whole transport header, or one that would overwrite it
    /// (RFC 1858 section 3, RFC 3128).
    Fragment,
    /// TCP flags that no state of a connection takes (RFC 9293 section 3.10.7).
    TcpFlags,
    /// More IPv6 extension headers than any honest sender has, or one for every hop behind others
    /// (RFC 8200 section 4.1).
    ExtensionHeaders,
    /// More than two VLAN tags.
    VlanTags,
}

impl Unsound {
    /// The one with this number, by its place among them.
    #[inline(always)]
    #[must_use]
    pub const fn numbered(number: u64) -> Self {
        const OUT_OF_REACH: u64 = Unsound::OutOfReach as u64;
        const FRAGMENT: u64 = Unsound::Fragment as u64;
        const TCP_FLAGS: u64 = Unsound::TcpFlags as u64;
        const EXTENSION_HEADERS: u64 = Unsound::ExtensionHeaders as u64;
        const VLAN_TAGS: u64 = Unsound::VlanTags as u64;

        match number {
            OUT_OF_REACH => Self::OutOfReach,
            FRAGMENT => Self::Fragment,
            TCP_FLAGS => Self::TcpFlags,
            EXTENSION_HEADERS => Self::ExtensionHeaders,
            VLAN_TAGS => Self::VlanTags,
            _ => Self::Malformed,
        }
    }

    /// What the packet is refused for.
    #[inline(always)]
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::OutOfReach | Self::Malformed => Reason::Malformed,
            Self::Fragment => Reason::Fragment,
            Self::TcpFlags => Reason::TcpFlags,
            Self::ExtensionHeaders => Reason::ExtensionHeaders,
            Self::VlanTags => Reason::VlanTags,
        }
    }
}

/// An IP header, and what follows it.
struct Ip {
    address: [u64; 2],
    is_ipv4: bool,
    land: bool,
    local: u32,
    payload: Payload,
}

impl Ip {
    /// Of the IPv4 header at `offset`, which is as long as it says, of a packet of `len` bytes.
    #[inline(always)]
    fn v4(header: &[u8; IPV4_LEN], offset: usize, header_len: usize, len: usize) -> Self {
        let source = u32::from_ne_bytes([header[12], header[13], header[14], header[15]]);
        let destination = u32::from_ne_bytes([header[16], header[17], header[18], header[19]]);
        Self {
            address: Address::V4(source).words(),
            is_ipv4: true,
            land: source == destination,
            local: destination,
            payload: Payload {
                protocol: header[9],
                hop_limit: 0,
                offset: offset + header_len,
                len: len - header_len,
                fragment: Fragment::from_ipv4(u16::from_be_bytes([header[6], header[7]])),
            },
        }
    }

    /// Of the IPv6 header at `offset`, of a packet of `len` bytes.
    #[inline(always)]
    fn v6(header: &[u8; IPV6_LEN], offset: usize, len: usize) -> Self {
        let (source, destination) = (ipv6_address(header, 8), ipv6_address(header, 24));
        Self {
            address: source,
            is_ipv4: matches!(Address::of(source), Address::V4(_)),
            land: source == destination,
            local: local(destination),
            payload: Payload {
                protocol: header[6],
                hop_limit: header[7],
                offset: offset + IPV6_LEN,
                len: len - IPV6_LEN,
                fragment: Fragment::WHOLE,
            },
        }
    }

    /// The packet, by what was found behind the header.
    #[inline(always)]
    fn carrying(self, kind: Kind, tcp: Tcp) -> IpPacket {
        let flags = [
            (self.payload.fragment.partial, Shape::FRAGMENT),
            (tcp.head.opens(), Shape::OPENS),
            (tcp.head.talks(), Shape::TALKS),
            (self.land, Shape::LAND),
            (self.is_ipv4, Shape::IPV4),
        ];
        let mut shape = kind as u32;
        for (is_so, flag) in flags {
            shape |= u32::from(is_so) * flag;
        }
        IpPacket {
            address: self.address,
            shape: Shape(shape),
            frame_len: (self.payload.offset + self.payload.len) as u32,
            local: self.local,
            tcp,
        }
    }
}

/// Number of IPv4 among the protocols over Ethernet.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Number of IPv6 among them.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
const ETHERTYPE_VLAN: u16 = 0x8100;
const ETHERTYPE_QINQ: u16 = 0x88a8;
const PROTOCOL_HOP_BY_HOP: u8 = 0;
pub(crate) const PROTOCOL_ICMP: u8 = 1;
/// Number of TCP among the transport protocols.
pub const PROTOCOL_TCP: u8 = 6;
pub(crate) const PROTOCOL_UDP: u8 = 17;
const PROTOCOL_ROUTING: u8 = 43;
const PROTOCOL_FRAGMENT: u8 = 44;
const PROTOCOL_AUTHENTICATION: u8 = 51;
pub(crate) const PROTOCOL_ICMPV6: u8 = 58;
const PROTOCOL_DESTINATION: u8 = 60;
const PROTOCOL_MOBILITY: u8 = 135;

const ETHERNET_LEN: usize = 14;
const VLAN_LEN: usize = 4;
const MAX_VLAN_TAGS: usize = 2;
/// Bytes of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Bytes of an IPv6 header without extensions.
pub const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;
const ICMPV6_LEN: usize = 4;
/// Only frames longer than an IP length field can say may say nothing (BIG TCP, generic mode).
const MAX_IP_LEN: usize = 65_535;

/// Reads the headers of `frame`.
///
/// Unknown ethertypes and transport protocols are packets too; what is refused is what the
/// network stack itself would drop, so refusing it cannot cut anybody off.
#[inline(always)]
pub fn parse<F: Frame + ?Sized>(frame: &F) -> Result<Packet, Unsound> {
    match plain(frame) {
        Some(packet) => Ok(Packet::Ip(packet)),
        None => parse_any(frame),
    }
}

/// The same for every way in which headers can be laid out.
#[inline(always)]
pub fn parse_any<F: Frame + ?Sized>(frame: &F) -> Result<Packet, Unsound> {
    let (ethertype, offset) = link(frame)?;
    let ip = match ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, offset)?,
        ETHERTYPE_IPV6 => ipv6(frame, offset)?,
        _ => return Ok(Packet::NotIp),
    };
    let at = Payload {
        offset: frame.settled(ip.payload.offset),
        ..ip.payload
    };
    let (kind, tcp) = transport(frame, at)?;
    Ok(Packet::Ip(ip.carrying(kind, tcp)))
}

/// Ethernet and up to two VLAN tags: the ethertype and where its header starts.
#[inline(always)]
pub fn link<F: Frame + ?Sized>(frame: &F) -> Result<(u16, usize), Unsound> {
    let header: &[u8; ETHERNET_LEN] = frame.bytes(0).ok_or(Unsound::OutOfReach)?;
    let mut ethertype = u16::from_be_bytes([header[12], header[13]]);
    let mut offset = ETHERNET_LEN;
    for _ in 0..MAX_VLAN_TAGS {
        if !is_vlan(ethertype) {
            break;
        }
        let tag: &[u8; VLAN_LEN] = frame.bytes(offset).ok_or(Unsound::OutOfReach)?;
        ethertype = u16::from_be_bytes([tag[2], tag[3]]);
        offset += VLAN_LEN;
    }
    // The stack takes off any number of tags that name no VLAN, and would find what we did not.
    if is_vlan(ethertype) {
        return Err(Unsound::VlanTags);
    }
    Ok((ethertype, offset))
}

#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_QINQ)
}

#[inline(always)]
fn ipv4<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Ip, Unsound> {
    let header: &[u8; IPV4_LEN] = frame.bytes(offset).ok_or(Unsound::OutOfReach)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let claimed = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let len = ip_len(frame, offset, claimed)?;
    if header[0] >> 4 != 4 || header_len < IPV4_LEN || len < header_len {
        return Err(Unsound::Malformed);
    }
    Ok(Ip::v4(header, offset, header_len, len))
}

#[inline(always)]
fn ipv6<F: Frame + ?Sized>(frame: &F, offset: usize) -> Result<Ip, Unsound> {
    let header: &[u8; IPV6_LEN] = frame.bytes(offset).ok_or(Unsound::OutOfReach)?;
    let len = match usize::from(u16::from_be_bytes([header[4], header[5]])) {
        // A packet may end with its header: "no next header" (RFC 8200 section 4.7).
        0 if frame.total_len() <= MAX_IP_LEN => IPV6_LEN,
        0 => ip_len(frame, offset, 0)?,
        payload_len => ip_len(frame, offset, IPV6_LEN + payload_len)?,
    };
    if header[0] >> 4 != 6 || len < IPV6_LEN {
        return Err(Unsound::Malformed);
    }
    let mut ip = Ip::v6(header, offset, len);
    if is_extension(ip.payload.protocol) {
        ip.payload = frame.beyond_extensions(ip.payload)?;
    }
    Ok(ip)
}

/// Bytes of the IP packet at `offset`: what its header claims, if the frame holds that much.
#[inline(always)]
fn ip_len<F: Frame + ?Sized>(frame: &F, offset: usize, claimed: usize) -> Result<usize, Unsound> {
    if claimed != 0 && offset + claimed <= frame.linear_len() {
        return Ok(claimed);
    }
    match frame.total_len() {
        total_len if claimed == 0 && total_len > MAX_IP_LEN => Ok(total_len - offset),
        total_len if offset + claimed <= total_len => Ok(claimed),
        _ => Err(Unsound::Malformed),
    }
}

/// Eight bytes as they stand on the wire.
#[inline(always)]
fn word<const N: usize>(header: &[u8; N], at: usize) -> u64 {
    u64::from_ne_bytes([
        header[at],
        header[at + 1],
        header[at + 2],
        header[at + 3],
        header[at + 4],
        header[at + 5],
        header[at + 6],
        header[at + 7],
    ])
}

#[inline(always)]
fn transport<F: Frame + ?Sized>(frame: &F, at: Payload) -> Result<(Kind, Tcp), Unsound> {
    if at.fragment.offset != 0 {
        // One unit into the packet lie the TCP flags (RFC 3128).
        let hides = at.fragment.offset == 1 && at.protocol == PROTOCOL_TCP;
        return if hides {
            Err(Unsound::Fragment)
        } else {
            Ok((Kind::Other, Tcp::NONE))
        };
    }
    let kind = match at.protocol {
        PROTOCOL_TCP => return Ok((Kind::Tcp, tcp(frame, at)?)),
        PROTOCOL_UDP => udp(frame, at)?,
        PROTOCOL_ICMPV6 => icmpv6(frame, at)?,
        PROTOCOL_ICMP => Kind::Icmp,
        _ => Kind::Other,
    };
    Ok((kind, Tcp::NONE))
}

#[inline(always)]
fn udp<F: Frame + ?Sized>(frame: &F, at: Payload) -> Result<Kind, Unsound> {
    if at.len < UDP_LEN {
        return Err(at.fragment.cut_short());
    }
    let header: &[u8; UDP_LEN] = frame.bytes(at.offset).ok_or(Unsound::OutOfReach)?;
    let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    // Nothing said is a jumbogram to IPv6 (RFC 2675 section 4); IPv4's stack drops it itself.
    let unsound = len != 0 && (len < UDP_LEN || (len > at.len && !at.fragment.partial));
    if unsound {
        Err(Unsound::Malformed)
    } else {
        Ok(Kind::Udp)
    }
}

/// Neighbour discovery comes from a neighbour, so no router has lowered its hop limit, and it is
/// never fragmented (RFC 4861 section 7.1, RFC 6980).
#[inline(always)]
fn icmpv6<F: Frame + ?Sized>(frame: &F, at: Payload) -> Result<Kind, Unsound> {
    let from_neighbour = at.hop_limit == 255 && !at.fragment.partial && at.len >= ICMPV6_LEN;
    if !from_neighbour {
        return Ok(Kind::Icmp);
    }
    match frame.bytes::<ICMPV6_LEN>(at.offset) {
        Some([133..=137, ..]) => Ok(Kind::NeighbourDiscovery),
        Some(_) => Ok(Kind::Icmp),
        None => Err(Unsound::OutOfReach),
    }
}

#[cfg(test)]
#[path = "packet_tests.rs"]
mod tests;
