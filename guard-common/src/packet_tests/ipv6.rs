//! IPv6: its addresses, its chains of extension headers, and neighbour discovery.

use std::vec;

use etherparse::{IpFragOffset, Ipv6FragmentHeader, ip_number};

use super::*;

#[test]
fn mapped_ipv4_is_ipv4() {
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 7];
    let frame = with(ipv6(17, 64, &[&[0, 1, 0, 1, 0, 8, 0, 0]]), IP + 8, &mapped);
    assert_eq!(ip(&frame).source(), ip(&udp_v4(b"")).source());
    // What only looks alike is not.
    for (byte, value) in [(18, 0), (19, 0xfe), (17, 1), (15, 1), (8, 0x20)] {
        let other = with(frame.clone(), IP + byte, &[value]);
        assert!(matches!(ip(&other).source(), Address::V6(_)), "byte {byte}");
    }
}

#[test]
fn neighbour_discovery_comes_from_a_neighbour() {
    const ICMPV6: u8 = PROTOCOL_ICMPV6;
    let transport = |hops, kind| ip(&ipv6(ICMPV6, hops, &[&[kind, 0, 0, 0]])).transport();
    for kind in 133..=137 {
        assert_eq!(
            transport(255, kind),
            Transport::NeighbourDiscovery,
            "type {kind}"
        );
        assert_eq!(
            transport(254, kind),
            Transport::Icmp,
            "type {kind} through a router"
        );
    }
    assert_eq!(transport(255, 132), Transport::Icmp);
    assert_eq!(transport(255, 138), Transport::Icmp);
    assert_eq!(transport(255, 128), Transport::Icmp, "an echo request");
    let short = ipv6(ICMPV6, 255, &[&[135, 0, 0]]);
    assert_eq!(ip(&short).transport(), Transport::Icmp);
    let first = Ipv6FragmentHeader::new(ip_number::IPV6_ICMP, IpFragOffset::ZERO, true, 1);
    let fragment = ipv6(
        PROTOCOL_FRAGMENT,
        255,
        &[&first.to_bytes(), &[135, 0, 0, 0]],
    );
    assert_eq!(ip(&fragment).transport(), Transport::Icmp, "RFC 6980");
    let v4 = with(with(tcp_v4(b""), IP + 8, &[255, ICMPV6]), L4_V4, &[135]);
    assert_eq!(
        ip(&v4).transport(),
        Transport::Icmp,
        "IPv4 has no neighbour discovery"
    );
}

/// A chain of `count` destination options of 8 bytes before TCP.
fn chain(count: usize) -> Vec<u8> {
    let mut headers = vec![[PROTOCOL_DESTINATION, 0, 1, 4, 0, 0, 0, 0]; count];
    if let Some(last) = headers.last_mut() {
        last[0] = PROTOCOL_TCP;
    }
    let first = if count == 0 {
        PROTOCOL_TCP
    } else {
        PROTOCOL_DESTINATION
    };
    ipv6(first, 64, &[headers.as_flattened(), &tcp_header(5)])
}

#[test]
fn six_extension_headers_are_followed_and_more_are_refused() {
    for count in 0..=6 {
        let tcp = tcp_of(&chain(count));
        assert_eq!(usize::from(tcp.payload_offset), L4_V6 + 8 * count + TCP_LEN);
    }
    for count in [7, 8, 30] {
        assert_eq!(
            read(&chain(count)),
            Err(Unsound::ExtensionHeaders),
            "{count}"
        );
    }
}

#[test]
fn options_for_every_hop_come_first_or_not_at_all() {
    let options = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    let first = [options(PROTOCOL_DESTINATION), options(PROTOCOL_TCP)];
    let frame = ipv6(
        PROTOCOL_HOP_BY_HOP,
        64,
        &[first.as_flattened(), &tcp_header(5)],
    );
    assert_eq!(usize::from(tcp_of(&frame).payload_offset), frame.len());
    let second = [options(PROTOCOL_HOP_BY_HOP), options(PROTOCOL_TCP)];
    for start in [PROTOCOL_DESTINATION, PROTOCOL_HOP_BY_HOP] {
        let frame = ipv6(start, 64, &[second.as_flattened(), &tcp_header(5)]);
        assert_eq!(read(&frame), Err(Unsound::ExtensionHeaders), "{start}");
    }
}

#[test]
fn each_extension_header_counts_its_length_its_own_way() {
    let routing = [
        PROTOCOL_AUTHENTICATION,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let authentication = [PROTOCOL_MOBILITY, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mobility = [PROTOCOL_TCP, 0, 0, 0, 0, 0, 0, 0];
    let headers: [&[u8]; 4] = [&routing, &authentication, &mobility, &tcp_header(5)];
    let frame = ipv6(PROTOCOL_ROUTING, 64, &headers);
    assert_eq!(usize::from(tcp_of(&frame).payload_offset), frame.len());
}

#[test]
fn a_chain_cut_short_is_refused() {
    use Unsound::{Fragment, Malformed};
    let [one, atomic] = [
        [PROTOCOL_TCP, 0, 0, 0, 0, 0, 0, 0],
        [PROTOCOL_DESTINATION, 0, 0, 0, 0, 0, 0, 0],
    ];
    let first = [PROTOCOL_DESTINATION, 0, 0, 1, 0, 0, 0, 9];
    let long = [PROTOCOL_TCP, 2, 0, 0, 0, 0, 0, 0];
    let chains: [Lie; 8] = [
        ("no byte of it", ipv6(PROTOCOL_ROUTING, 64, &[]), Malformed),
        (
            "half of it",
            ipv6(PROTOCOL_ROUTING, 64, &[&one[..4]]),
            Malformed,
        ),
        (
            "longer than the packet",
            ipv6(PROTOCOL_HOP_BY_HOP, 64, &[&long, &[0; 8]]),
            Malformed,
        ),
        (
            "no TCP behind it",
            ipv6(PROTOCOL_DESTINATION, 64, &[&one]),
            Malformed,
        ),
        (
            "an atomic fragment",
            ipv6(PROTOCOL_FRAGMENT, 64, &[&atomic, &long, &[0; 8]]),
            Malformed,
        ),
        (
            "a first fragment",
            ipv6(PROTOCOL_FRAGMENT, 64, &[&first, &long, &[0; 8]]),
            Fragment,
        ),
        (
            "a first fragment, no chain",
            ipv6(PROTOCOL_FRAGMENT, 64, &[&first]),
            Fragment,
        ),
        (
            "a first fragment, no TCP",
            ipv6(PROTOCOL_FRAGMENT, 64, &[&first, &one]),
            Fragment,
        ),
    ];
    for (name, frame, expected) in chains {
        assert_eq!(read(&frame), Err(expected), "{name}");
        // Padding does not fill a header up.
        let padded = [frame, vec![0; 64]].concat();
        assert_eq!(read(&padded), Err(expected), "{name}, padded");
    }
}

#[test]
fn later_ipv6_fragments_have_no_header_to_read() {
    let later = |field: u16| {
        let [high, low] = field.to_be_bytes();
        ipv6(
            PROTOCOL_FRAGMENT,
            64,
            &[&[PROTOCOL_TCP, 0, high, low, 0, 0, 0, 9], &[0; 24]],
        )
    };
    assert_eq!(ip(&later(2 << 3)).transport(), Transport::Other);
    assert_eq!(
        read(&later(1 << 3)),
        Err(Unsound::Fragment),
        "over the TCP flags"
    );
    assert_eq!(
        read(&later(0)),
        Err(Unsound::Malformed),
        "an atomic one, whose TCP is broken"
    );
}

#[test]
fn a_second_fragment_header_does_not_make_a_part_whole() {
    let part = [PROTOCOL_FRAGMENT, 0, 0, 1, 0, 0, 0, 9];
    let atomic = [PROTOCOL_TCP, 0, 0, 0, 0, 0, 0, 9];
    let packet = ip(&ipv6(
        PROTOCOL_FRAGMENT,
        64,
        &[&part, &atomic, &tcp_header(5)],
    ));
    assert!(packet.is_fragment());
    assert!(matches!(packet.transport(), Transport::Tcp(_)));
}

#[test]
fn an_ipv6_packet_may_end_with_its_header() {
    let packet = ip(&ipv6(59, 64, &[]));
    assert_eq!(
        (packet.transport(), packet.frame_len),
        (Transport::Other, 54)
    );
    assert_eq!(read(&ipv6(PROTOCOL_TCP, 64, &[])), Err(Unsound::Malformed));
    let short = &ipv6(59, 64, &[])[..53];
    assert_eq!(read(short), Err(Unsound::OutOfReach));
    assert_eq!(
        read(&with(ipv6(59, 64, &[]), IP, &[0x50])),
        Err(Unsound::Malformed)
    );
    assert_eq!(
        read(&with(ipv6(59, 64, &[]), IP + 5, &[1])),
        Err(Unsound::Malformed)
    );
}
