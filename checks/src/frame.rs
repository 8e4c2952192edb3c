//! Frames, of which every byte can be read.

use guard_common::{
    facts::{Facts, Shape},
    packet::{IpPacket, Kind, Packet, parse},
    source,
};

use crate::agreement;

/// Prefixes of a frame that are tried, from the longest on.
const PREFIXES: usize = 128;
/// The longest frame whose length its IP header can say: longer ones may leave it unsaid.
const MAX_IP_LEN: usize = 65_535;

/// The frame itself is the input.
pub fn check(frame: &[u8]) {
    if let Err(difference) = agreement::compare(frame) {
        panic!("{difference}");
    }
    let Ok(Packet::Ip(packet)) = parse(frame) else {
        return;
    };
    lies_within(frame, &packet);
    says_its_facts(&packet);
    if frame.len() < MAX_IP_LEN {
        ends_where_it_says(frame, &packet);
    }
}

fn lies_within(frame: &[u8], packet: &IpPacket) {
    let end = packet.frame_len as usize;
    assert!(end <= frame.len(), "{packet:?}");
    if packet.kind() == Kind::Tcp {
        let start = usize::from(packet.tcp.payload_offset);
        assert_eq!(start + packet.tcp.payload_len as usize, end, "{packet:?}");
        // Ethernet, IPv4 and TCP without anything optional.
        assert!(start >= 14 + 20 + 20, "{packet:?}");
    }
}

fn says_its_facts(packet: &IpPacket) {
    let facts = Facts::of(packet, 7, [1, 2]);
    assert_eq!(facts.source(), packet.source());
    assert_eq!(facts.shape.has(Shape::TCP), packet.kind() == Kind::Tcp);
    assert_eq!(facts.shape.has(Shape::FRAGMENT), packet.is_fragment());
    assert_eq!(facts.shape.has(Shape::LAND), packet.is_land());
    assert_eq!(facts.hash, source::address(packet.source(), [1, 2]));
    assert_eq!((facts.bytes, facts.now), (packet.frame_len, 7));
}

/// Nothing behind the packet changes it, and nothing of it can be missing.
fn ends_where_it_says(frame: &[u8], packet: &IpPacket) {
    let end = packet.frame_len as usize;
    let whole = Ok(Packet::Ip(*packet));
    assert_eq!(parse(&frame[..end]), whole, "without padding");
    let padded = [&frame[..end], &[0xff]].concat();
    assert_eq!(parse(padded.as_slice()), whole, "with other padding");
    for len in (0..end).rev().take(PREFIXES) {
        let cut = parse(&frame[..len]);
        assert!(cut.is_err(), "{len} of {end} bytes: {cut:?}");
    }
}
