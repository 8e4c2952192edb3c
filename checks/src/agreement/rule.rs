//! Where we and etherparse differ by intention.

use etherparse::{TcpSlice, UdpHeaderSlice, ip_number};
use guard_common::packet::Kind;

use super::{Ip, kind};

/// IP protocol number of the mobility header.
const MOBILITY: u8 = 135;
/// Extension headers that we follow.
const MAX_EXTENSIONS: usize = 6;

/// A kind of frames that the two read otherwise, and by which right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// They take 0x9100 for a tag and look into `MACsec`. To the kernel neither is one on an
    /// interface that is not told so (IEEE 802.1Q table 9-1, IEEE 802.1AE clause 9): not IP.
    OtherTag,
    /// They follow three tags, or stop before a fourth; we refuse a third. IEEE 802.1Q has two,
    /// and the kernel takes off any number of priority tags, to what nobody judged.
    ThirdTag,
    /// They follow any number of extension headers, we six (RFC 8504 section 5.3 allows a limit).
    Extensions,
    /// A payload length of zero: they take the rest of the frame for the packet, the kernel and we
    /// take it for padding (RFC 8200 section 3), unless it announces a jumbogram, which needs more
    /// than 65,535 bytes (RFC 2675 section 3).
    EmptyPayload,
    /// A frame beyond 64 KiB whose length is left unsaid, as merging leaves it.
    Merged,
    /// They stop before a mobility header, we go on behind it (RFC 6275 section 6.1.1).
    Mobility,
    /// They look into IPv4's authentication header, to us and the kernel it is a protocol like
    /// others (RFC 4302 section 3.1.1).
    Ipv4Authentication,
    /// They refuse an authentication header of 8 bytes, which says nothing (RFC 4302 section 2.2).
    /// The kernel goes by the length alone, and so do we.
    ShortAuthentication,
    /// They read headers in a fragment that starts none (RFC 8200 section 4.5).
    LaterFragment,
    /// They refuse ICMP and IGMP messages that are shorter than their headers (RFC 792, RFC 4443
    /// section 2.1, RFC 3376 section 4). We read none of it but a type.
    ShortControl,
    /// A first fragment without its whole transport header (RFC 1858 section 3, RFC 7112 section 5).
    FirstFragment,
    /// A fragment that would overwrite the TCP flags (RFC 3128).
    OverFlags,
    /// TCP flags that no connection takes (RFC 9293 section 3.10.7).
    TcpFlags,
}

impl Rule {
    /// Why we may accept what they refuse.
    pub(super) fn of_acceptance(ip: &Ip<'_>) -> Option<Self> {
        let is_control = [ip_number::ICMP, ip_number::IPV6_ICMP, ip_number::IGMP];
        if ip.hop_limit.is_some() && ip.later.is_some() {
            return Some(Self::LaterFragment);
        }
        if let Some(rule) = Self::of_protocol(ip) {
            return Some(rule);
        }
        if ip.protocol == ip_number::AUTH && ip.payload.get(1) == Some(&0) {
            return Some(Self::ShortAuthentication);
        }
        is_control
            .contains(&ip.protocol)
            .then_some(Self::ShortControl)
    }

    /// Why we may find another protocol than they do.
    pub(super) fn of_protocol(ip: &Ip<'_>) -> Option<Self> {
        let is_v6 = ip.hop_limit.is_some();
        if !is_v6 && ip.first_protocol == ip_number::AUTH.0 {
            return Some(Self::Ipv4Authentication);
        }
        let reads_padding = !ip.payload.is_empty() || ip.extensions > 0;
        if is_v6 && ip.claimed == 0 && reads_padding {
            return Some(Self::EmptyPayload);
        }
        let is_mobility = is_v6 && ip.later.is_none() && ip.protocol.0 == MOBILITY;
        is_mobility.then_some(Self::Mobility)
    }

    /// What we take such a packet for; nothing where we alone read on.
    pub(super) fn kind(self, ip: &Ip<'_>) -> Option<Kind> {
        match self {
            Self::Mobility | Self::ShortAuthentication => None,
            // Of the protocol that they go by, where it needs no header.
            Self::EmptyPayload | Self::ShortControl if kind(ip) != Kind::Other => Some(Kind::Icmp),
            _ => Some(Kind::Other),
        }
    }
}

/// Why we may find no IP where they do.
pub(super) fn of_link(frame: &[u8]) -> Option<Rule> {
    let (_, ethertype) = tags(frame);
    matches!(ethertype, Some([0x91, 0x00] | [0x88, 0xe5])).then_some(Rule::OtherTag)
}

/// Tags in a row from the first on, and the ethertype behind the last one, if it is in the frame.
fn tags(frame: &[u8]) -> (usize, Option<[u8; 2]>) {
    let mut count = 0;
    loop {
        let at = 12 + 4 * count;
        match frame.get(at..at + 2) {
            Some([0x81, 0x00] | [0x88, 0xa8]) => count += 1,
            Some([high, low]) => return (count, Some([*high, *low])),
            _ => return (count, None),
        }
    }
}

/// Why we may refuse what they accept.
pub(super) fn allows_refusal(frame: &[u8], ip: Option<&Ip<'_>>) -> Option<Rule> {
    if tags(frame).0 > 2 {
        return Some(Rule::ThirdTag);
    }
    let ip = ip?;
    match Rule::of_protocol(ip) {
        // There we read no header that could be wrong.
        Some(Rule::Ipv4Authentication) | None => {}
        Some(rule) => return Some(rule),
    }
    if ip.hop_limit.is_some() && ip.extensions > MAX_EXTENSIONS {
        return Some(Rule::Extensions);
    }
    if let Some((offset, protocol)) = ip.later {
        let is_over = offset == 1 && protocol == ip_number::TCP;
        return is_over.then_some(Rule::OverFlags);
    }
    match ip.protocol {
        ip_number::TCP => match TcpSlice::from_slice(ip.payload) {
            Err(_) => ip.partial.then_some(Rule::FirstFragment),
            Ok(tcp) => {
                let starts_nothing = !tcp.syn() && !tcp.ack() && !tcp.rst();
                let contradicts = tcp.syn() && (tcp.fin() || tcp.rst());
                (starts_nothing || contradicts).then_some(Rule::TcpFlags)
            }
        },
        ip_number::UDP => {
            let header = UdpHeaderSlice::from_slice(ip.payload);
            let is_whole = header.is_ok_and(|udp| udp.length() == 0 || udp.length() >= 8);
            (ip.partial && !is_whole).then_some(Rule::FirstFragment)
        }
        _ => None,
    }
}
