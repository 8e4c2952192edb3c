//! Headers that are laid out as nearly all are: at fixed places.

use super::{
    ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Fragment, Frame, IPV4_LEN, IPV6_LEN, Ip,
    IpPacket, Kind, PROTOCOL_TCP, PROTOCOL_UDP, Payload, Tcp, tcp::tcp, udp,
};

/// Reads the headers of nearly every packet there is, sooner than [`super::parse_any`]: whole ones over Ethernet of TCP or UDP, with
/// nothing optional before their ports, so every header is where it always is. Nothing where there
/// is more to find out.
#[inline(always)]
pub fn plain<F: Frame + ?Sized>(frame: &F) -> Option<IpPacket> {
    let ethernet: &[u8; ETHERNET_LEN] = frame.bytes(0)?;
    match u16::from_be_bytes([ethernet[12], ethernet[13]]) {
        ETHERTYPE_IPV4 => plain_transport(frame, plain_ipv4(frame)?, IPV4_LEN),
        ETHERTYPE_IPV6 => plain_transport(frame, plain_ipv6(frame)?, IPV6_LEN),
        _ => None,
    }
}

/// What follows an IP header of this length, which follows Ethernet's.
#[inline(always)]
fn plain_transport<F: Frame + ?Sized>(frame: &F, ip: Ip, header_len: usize) -> Option<IpPacket> {
    let at = Payload {
        offset: ETHERNET_LEN + header_len,
        ..ip.payload
    };
    match at.protocol {
        PROTOCOL_TCP => Some(ip.carrying(Kind::Tcp, tcp(frame, at).ok()?)),
        PROTOCOL_UDP => Some(ip.carrying(udp(frame, at).ok()?, Tcp::NONE)),
        _ => None,
    }
}

#[inline(always)]
fn plain_ipv4<F: Frame + ?Sized>(frame: &F) -> Option<Ip> {
    let header: &[u8; IPV4_LEN] = frame.bytes(ETHERNET_LEN)?;
    let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let fragment = Fragment::from_ipv4(u16::from_be_bytes([header[6], header[7]]));
    let is_plain = header[0] == 0x45 && !fragment.partial;
    if !is_plain || len < IPV4_LEN || ETHERNET_LEN + len > frame.linear_len() {
        return None;
    }
    let mut ip = Ip::v4(header, ETHERNET_LEN, IPV4_LEN, len);
    ip.payload.fragment = Fragment::WHOLE;
    Some(ip)
}

#[inline(always)]
fn plain_ipv6<F: Frame + ?Sized>(frame: &F) -> Option<Ip> {
    let header: &[u8; IPV6_LEN] = frame.bytes(ETHERNET_LEN)?;
    let len = IPV6_LEN + usize::from(u16::from_be_bytes([header[4], header[5]]));
    if header[0] >> 4 != 6 || len == IPV6_LEN || ETHERNET_LEN + len > frame.linear_len() {
        return None;
    }
    Some(Ip::v6(header, ETHERNET_LEN, len))
}
