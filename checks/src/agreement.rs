//! Our reading of a frame against that of etherparse, which nobody here wrote.
//!
//! What the two read otherwise has to follow from a [`Rule`], and a rule is about frames of a kind
//! that can be told from their own bytes, never about a list of frames.

mod rule;
mod theirs;

use std::fmt::{Debug, Write as _};

use etherparse::{TcpSlice, ip_number};
use guard_common::{
    departure::{Departure, EphemeralPorts, Talk},
    packet::{self, Fragment, IpPacket, Kind, Packet, Payload, Tcp, parse},
};

pub use self::rule::Rule;
use self::{
    rule::{allows_refusal, of_link},
    theirs::{Ip, Theirs},
};

/// Linux's default.
const EPHEMERAL: EphemeralPorts = EphemeralPorts {
    first: 32_768,
    last: 60_999,
};
/// The longest frame whose length its IP header can say.
const MAX_IP_LEN: usize = 65_535;

/// What both make of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// It carries no IP.
    NotIp,
    /// It is refused.
    Refused,
    /// It is an IP packet, with the same addresses, lengths and fragment state, and behind the same
    /// headers the same protocol: one of `tcp`, `udp`, `icmp`, `other`. Ports, sequence number and
    /// payload of a TCP segment are the same too.
    Read(&'static str),
    /// They differ, as this rule says.
    Ruled(Rule),
}

/// Compares the two readings of a frame.
///
/// # Errors
/// They differ, and no rule says why.
pub fn compare(frame: &[u8]) -> Result<Agreement, String> {
    let (ours, theirs) = (parse(frame), Theirs::read(frame));
    let compared = match &ours {
        Ok(Packet::NotIp) => not_ip(frame, &theirs),
        Ok(Packet::Ip(packet)) => accepted(frame, packet, &theirs),
        Err(_) => refused(frame, &theirs),
    };
    compared.map_err(|what| {
        let frame = hex(frame);
        format!("{what}\nours: {ours:?}\ntheirs: {theirs:?}\nframe: {frame}")
    })
}

fn not_ip(frame: &[u8], theirs: &Theirs<'_>) -> Result<Agreement, String> {
    if !theirs.is_ip {
        return Ok(Agreement::NotIp);
    }
    let rule = of_link(frame).ok_or("only they find IP")?;
    Ok(Agreement::Ruled(rule))
}

/// What we refuse, they refuse too; or the kernel does, or it is what a rule refuses.
fn refused(frame: &[u8], theirs: &Theirs<'_>) -> Result<Agreement, String> {
    if theirs.refused.is_some() {
        return Ok(Agreement::Refused);
    }
    let rule = allows_refusal(frame, theirs.ip.as_ref()).ok_or("only we refuse it")?;
    Ok(Agreement::Ruled(rule))
}

fn accepted(frame: &[u8], ours: &IpPacket, theirs: &Theirs<'_>) -> Result<Agreement, String> {
    let ip = theirs.ip.as_ref().ok_or("only we find IP")?;
    same("source", &ours.source(), &ip.source)?;
    same("land", &ours.is_land(), &(ip.source == ip.destination))?;
    if ip.claimed == 0 && frame.len() > MAX_IP_LEN {
        same("length", &(ours.frame_len as usize), &frame.len())?;
        return Ok(Agreement::Ruled(Rule::Merged));
    }
    same("length", &(ours.frame_len as usize), &ip.end())?;
    if let Some(refused) = &theirs.refused {
        let rule = Rule::of_acceptance(ip).ok_or(format!("only they refuse it: {refused}"))?;
        return ruled(ours, rule, ip);
    }
    if let Some(rule) = Rule::of_protocol(ip) {
        return ruled(ours, rule, ip);
    }
    same("fragment", &ours.is_fragment(), &ip.partial)?;
    same("kind", &ours.kind(), &kind(ip))?;
    same_walk(frame, ip)?;
    same_tcp(frame, &ours.tcp, ip)?;
    same_departure(frame, ip)?;
    Ok(Agreement::Read(kind_word(ours.kind())))
}

/// A packet that we read otherwise, but as the rule says.
fn ruled(ours: &IpPacket, rule: Rule, ip: &Ip<'_>) -> Result<Agreement, String> {
    if let Some(kind) = rule.kind(ip) {
        same("fragment", &ours.is_fragment(), &ip.partial)?;
        same("kind", &kind_word(ours.kind()), &kind_word(kind))?;
    }
    Ok(Agreement::Ruled(rule))
}

fn same<T: PartialEq + Debug>(what: &str, ours: &T, theirs: &T) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what}: ours is {ours:?}, theirs {theirs:?}"))
}

/// What the protocol that they find behind the headers makes of a packet.
fn kind(ip: &Ip<'_>) -> Kind {
    if ip.later.is_some() {
        return Kind::Other;
    }
    let from_neighbour = ip.hop_limit == Some(255) && !ip.partial && ip.payload.len() >= 4;
    match ip.protocol {
        ip_number::TCP => Kind::Tcp,
        ip_number::UDP => Kind::Udp,
        ip_number::IPV6_ICMP if from_neighbour && (133..=137).contains(&ip.payload[0]) => {
            Kind::NeighbourDiscovery
        }
        ip_number::ICMP | ip_number::IPV6_ICMP => Kind::Icmp,
        _ => Kind::Other,
    }
}

const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Tcp => "tcp",
        Kind::Udp => "udp",
        Kind::Icmp | Kind::NeighbourDiscovery => "icmp",
        Kind::Other => "other",
    }
}

/// The walk over IPv6 extension headers ends at the same place.
fn same_walk(frame: &[u8], ip: &Ip<'_>) -> Result<(), String> {
    let (Some(hop_limit), None) = (ip.hop_limit, ip.later) else {
        return Ok(());
    };
    let walked = packet::extensions(
        frame,
        Payload {
            protocol: ip.first_protocol,
            hop_limit,
            offset: ip.start + ip.header_len,
            len: ip.claimed,
            fragment: Fragment::WHOLE,
        },
    );
    let walked = walked.map(|found| (found.protocol, found.offset, found.len));
    let theirs = (ip.protocol.0, ip.payload_start, ip.payload.len());
    same("behind the extension headers", &walked, &Ok(theirs))
}

fn same_tcp(frame: &[u8], ours: &Tcp, ip: &Ip<'_>) -> Result<(), String> {
    let theirs = match TcpSlice::from_slice(ip.payload) {
        Ok(theirs) if kind(ip) == Kind::Tcp => Segment {
            ports: (theirs.source_port(), theirs.destination_port()),
            seq: theirs.sequence_number(),
            ack: theirs.acknowledgment_number(),
            flags: theirs.slice()[13],
            opens: theirs.syn() && !theirs.ack(),
            talks: theirs.ack() && !theirs.syn() && !theirs.rst(),
            payload_offset: (theirs.payload().as_ptr().addr() - frame.as_ptr().addr()) as u16,
            payload_len: theirs.payload().len() as u32,
        },
        _ => Segment::default(),
    };
    same("TCP header", &Segment::of(ours), &theirs)
}

/// What is read of a TCP header, taken apart; zero where there is none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Segment {
    ports: (u16, u16),
    seq: u32,
    ack: u32,
    flags: u8,
    opens: bool,
    talks: bool,
    payload_offset: u16,
    payload_len: u32,
}

impl Segment {
    fn of(tcp: &Tcp) -> Self {
        Self {
            ports: (tcp.head.source_port(), tcp.head.port()),
            seq: tcp.head.seq(),
            ack: tcp.head.ack(),
            flags: tcp.head.flags(),
            opens: tcp.head.opens(),
            talks: tcp.head.talks(),
            payload_offset: tcp.payload_offset,
            payload_len: tcp.payload_len,
        }
    }
}

/// Whom a host talks with when it is this frame that leaves: of packets without extension headers.
fn same_departure(frame: &[u8], ip: &Ip<'_>) -> Result<(), String> {
    // The four bytes that matter of a shorter message may be padding.
    if ip.extensions > 0 || ip.later.is_some() || ip.payload.len() < 4 {
        return Ok(());
    }
    let is_ephemeral = |port| (EPHEMERAL.first..=EPHEMERAL.last).contains(&port);
    let port = |at: usize| u16::from_be_bytes([ip.payload[at], ip.payload[at + 1]]);
    let talk = match (ip.protocol, ip.payload[0]) {
        (ip_number::TCP, _) => TcpSlice::from_slice(ip.payload)
            .ok()
            .and_then(|tcp| talk(&tcp)),
        (ip_number::UDP, _) => {
            let ports = u32::from(port(2)) << 16 | u32::from(port(0));
            (is_ephemeral(port(0)) && !is_ephemeral(port(2))).then_some(Talk::Call { ports })
        }
        (ip_number::ICMP, 8) | (ip_number::IPV6_ICMP, 128) => Some(Talk::Call { ports: 0 }),
        _ => None,
    };
    let theirs = talk.map(|talk| (ip.destination, talk));
    let ours = Departure::read(frame).and_then(|departure| {
        let talk = departure.talk(frame, EPHEMERAL)?;
        Some((departure.peer(), talk))
    });
    same("departure", &ours, &theirs)
}

fn talk(tcp: &TcpSlice<'_>) -> Option<Talk> {
    let ports = u32::from(tcp.destination_port()) << 16 | u32::from(tcp.source_port());
    match (tcp.rst(), tcp.syn(), tcp.ack()) {
        (false, true, false) => Some(Talk::Call { ports }),
        (false, false, true) => Some(Talk::Segment {
            ports,
            ack: tcp.acknowledgment_number(),
        }),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
