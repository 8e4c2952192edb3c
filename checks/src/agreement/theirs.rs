//! What etherparse reads.

use etherparse::{
    IpNumber, LaxIpv4Slice, LaxIpv6Slice, LaxNetSlice, LaxSlicedPacket, SlicedPacket,
    err::packet::SliceError, ether_type, ip_number,
};
use guard_common::packet::Address;

/// Its reading of a frame.
#[derive(Debug)]
pub(super) struct Theirs<'a> {
    /// Whether it finds an IP ethertype.
    pub(super) is_ip: bool,
    /// The IP packet, as far as it can be read.
    pub(super) ip: Option<Ip<'a>>,
    /// Why it is refused, where lengths and headers have to be right.
    pub(super) refused: Option<SliceError>,
}

/// An IP packet.
#[derive(Debug)]
pub(super) struct Ip<'a> {
    pub(super) source: Address,
    pub(super) destination: Address,
    /// Where its header starts in the frame.
    pub(super) start: usize,
    /// Bytes of that header, without extension headers.
    pub(super) header_len: usize,
    /// What its length field says: IPv4's counts the header, IPv6's does not.
    pub(super) claimed: usize,
    /// Of IPv6 only.
    pub(super) hop_limit: Option<u8>,
    /// What the header says that follows.
    pub(super) first_protocol: u8,
    /// What follows the extension headers.
    pub(super) protocol: IpNumber,
    /// The bytes behind the extension headers.
    pub(super) payload: &'a [u8],
    /// Where they start in the frame.
    pub(super) payload_start: usize,
    /// Extension headers, of a later fragment up to what says that; of IPv4 there is at most one, for
    /// authentication.
    pub(super) extensions: usize,
    /// It is a part of a packet.
    pub(super) partial: bool,
    /// Of a fragment that does not start its packet: its place in units of 8 bytes, and the
    /// protocol it says it belongs to.
    pub(super) later: Option<(u16, IpNumber)>,
}

impl<'a> Theirs<'a> {
    pub(super) fn read(frame: &'a [u8]) -> Self {
        let refused = SlicedPacket::from_ethernet(frame).err();
        let Ok(lax) = LaxSlicedPacket::from_ethernet(frame) else {
            return Self {
                is_ip: false,
                ip: None,
                refused,
            };
        };
        let ethertype = lax.ether_payload().map(|payload| payload.ether_type);
        let is_ip = ethertype
            .is_some_and(|ethertype| [ether_type::IPV4, ether_type::IPV6].contains(&ethertype));
        let ip = match &lax.net {
            Some(LaxNetSlice::Ipv4(ip)) => Some(Ip::v4(frame, ip)),
            Some(LaxNetSlice::Ipv6(ip)) => Some(Ip::v6(frame, ip)),
            _ => None,
        };
        Self { is_ip, ip, refused }
    }
}

impl<'a> Ip<'a> {
    /// Where the packet ends in the frame, by its header.
    pub(super) fn end(&self) -> usize {
        let counted = self.hop_limit.map_or(0, |_| self.header_len);
        self.start + counted + self.claimed
    }

    fn v4(frame: &[u8], ip: &LaxIpv4Slice<'a>) -> Self {
        let (header, payload) = (ip.header(), ip.payload());
        let offset = header.fragments_offset().value();
        Self {
            source: Address::V4(u32::from_ne_bytes(header.source())),
            destination: Address::V4(u32::from_ne_bytes(header.destination())),
            start: offset_in(frame, header.slice()),
            header_len: header.slice().len(),
            claimed: header.total_len().into(),
            hop_limit: None,
            first_protocol: header.protocol().0,
            protocol: payload.ip_number,
            payload: payload.payload,
            payload_start: offset_in(frame, payload.payload),
            extensions: ip.extensions().auth.iter().count(),
            partial: header.is_fragmenting_payload(),
            later: (offset != 0).then_some((offset, header.protocol())),
        }
    }

    fn v6(frame: &[u8], ip: &LaxIpv6Slice<'a>) -> Self {
        let (header, payload) = (ip.header(), ip.payload());
        let (extensions, later) = chain(header.next_header(), ip.extensions().slice());
        Self {
            source: address(header.source()),
            destination: address(header.destination()),
            start: offset_in(frame, header.slice()),
            header_len: header.slice().len(),
            claimed: header.payload_length().into(),
            hop_limit: Some(header.hop_limit()),
            first_protocol: header.next_header().0,
            protocol: payload.ip_number,
            payload: payload.payload,
            payload_start: offset_in(frame, payload.payload),
            extensions,
            partial: ip.is_payload_fragmented(),
            later,
        }
    }
}

/// How many extension headers there are in what was read as such, up to a fragment header that
/// starts no packet, and what that one says. (etherparse's own iterator reads beyond a chain that is
/// cut.)
fn chain(first: IpNumber, mut headers: &[u8]) -> (usize, Option<(u16, IpNumber)>) {
    let (mut protocol, mut count) = (first, 0);
    while let [next, units, high, low, ..] = headers {
        count += 1;
        let (next, units) = (IpNumber(*next), usize::from(*units));
        let len = match protocol {
            ip_number::IPV6_FRAG => {
                let offset = u16::from_be_bytes([*high, *low]) >> 3;
                if offset != 0 {
                    return (count, Some((offset, next)));
                }
                8
            }
            ip_number::AUTH => 8 + units * 4,
            _ => 8 + units * 8,
        };
        headers = headers.get(len..).unwrap_or_default();
        protocol = next;
    }
    (count, None)
}

fn offset_in(frame: &[u8], part: &[u8]) -> usize {
    part.as_ptr().addr() - frame.as_ptr().addr()
}

fn address(bytes: [u8; 16]) -> Address {
    let word = |at: usize| {
        bytes[at..]
            .first_chunk()
            .map_or(0, |word| u64::from_ne_bytes(*word))
    };
    Address::of([word(0), word(8)])
}
