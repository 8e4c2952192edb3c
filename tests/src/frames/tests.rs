//! The frames as an independent parser, etherparse, reads them.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

use super::*;

fn parse(frame: &Frame) -> SlicedPacket<'_> {
    SlicedPacket::from_ethernet(frame).expect("a well-formed frame")
}

fn assert_tcp_checksum(frame: &Frame) {
    let packet = parse(frame);
    let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
        panic!("no TCP")
    };
    let header = tcp.to_header();
    let expected = match packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            header.calc_checksum_ipv4(&ip.header().to_header(), tcp.payload())
        }
        Some(NetSlice::Ipv6(ip)) => {
            header.calc_checksum_ipv6(&ip.header().to_header(), tcp.payload())
        }
        _ => panic!("no IP"),
    };
    assert_eq!(tcp.checksum(), expected.expect("a short payload"));
}

#[test]
fn an_ipv4_syn_is_what_it_says() {
    let frame = Packet::ipv4("198.51.100.7", "10.0.0.1")
        .options(&[1, 1, 1])
        .ttl(9)
        .tcp(40_000, 443)
        .flags(tcp::SYN)
        .sequence(7, 0)
        .tcp_options(&[2, 4, 5, 180])
        .build();
    let packet = parse(&frame);
    let Some(NetSlice::Ipv4(ip)) = &packet.net else {
        panic!("no IPv4")
    };
    assert_eq!(
        ip.header().header_checksum(),
        ip.header().to_header().calc_header_checksum()
    );
    assert_eq!((ip.header().ttl(), ip.header().ihl()), (9, 6));
    assert_eq!(ip.header().source(), [198, 51, 100, 7]);
    let Some(TransportSlice::Tcp(tcp)) = &packet.transport else {
        panic!("no TCP")
    };
    assert!(tcp.syn() && !tcp.ack());
    assert_eq!((tcp.source_port(), tcp.destination_port()), (40_000, 443));
    assert_eq!((tcp.sequence_number(), tcp.data_offset()), (7, 6));
    assert_tcp_checksum(&frame);
    assert_eq!((frame.network_offset(), frame.transport_offset()), (14, 38));
}

#[test]
fn checksums_hold_over_odd_payloads_and_both_families() {
    for payload in ["", "x", "GET / HTTP/1.1\r\n\r\n"] {
        assert_tcp_checksum(
            &Packet::ipv4("1.2.3.4", "5.6.7.8")
                .tcp(1, 2)
                .payload(payload)
                .build(),
        );
        assert_tcp_checksum(
            &Packet::ipv6("2001:db8::1", "::2")
                .tcp(1, 2)
                .payload(payload)
                .build(),
        );
    }
}

#[test]
fn udp_and_icmp_checksums_hold() {
    let frame = Packet::ipv6("2001:db8::1", "2001:db8::2")
        .udp(53, 54)
        .payload("abc")
        .build();
    let packet = parse(&frame);
    let (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Udp(udp))) = (packet.net, packet.transport)
    else {
        panic!("no UDP over IPv6")
    };
    let expected = udp
        .to_header()
        .calc_checksum_ipv6(&ip.header().to_header(), udp.payload());
    assert_eq!(udp.checksum(), expected.expect("a short payload"));

    let frame = Packet::ipv6("2001:db8::1", "2001:db8::2")
        .icmpv6(135, 0)
        .build();
    let Some(TransportSlice::Icmpv6(icmp)) = parse(&frame).transport else {
        panic!("no ICMPv6")
    };
    let (source, destination) = (
        "2001:db8::1".parse().expect("v6"),
        "2001:db8::2".parse().expect("v6"),
    );
    let octets = |address: std::net::Ipv6Addr| address.octets();
    assert!(icmp.is_checksum_valid(octets(source), octets(destination)));

    let frame = Packet::ipv4("10.0.0.1", "10.0.0.2")
        .icmp(8, 0)
        .payload("ping")
        .build();
    assert_eq!(checksum::of(&[&frame[34..]]), 0);
}

#[test]
fn extension_headers_chain_to_the_transport() {
    let frame = Packet::ipv6("2001:db8::1", "2001:db8::2")
        .extension(Extension::HopByHop(40))
        .extension(Extension::Routing(0))
        .extension(Extension::Fragment {
            offset: 0,
            more: false,
            id: 9,
        })
        .extension(Extension::Authentication)
        .extension(Extension::Destination(0))
        .tcp(1, 2)
        .build();
    let packet = parse(&frame);
    assert!(
        matches!(packet.transport, Some(TransportSlice::Tcp(_))),
        "{packet:?}"
    );
    assert_tcp_checksum(&frame);
}

#[test]
fn later_fragments_carry_no_transport_header() {
    let frame = Packet::ipv4("10.0.0.1", "10.0.0.2")
        .fragment(7, 3, true)
        .udp(1, 2)
        .payload([0xaa; 16])
        .build();
    assert_eq!(frame.len(), 14 + 20 + 16);
    assert_eq!(frame[20..22], [0x20, 3]);
    assert_eq!(frame[23], 17, "the protocol is still said");
    let frame = Packet::ipv6("2001:db8::1", "2001:db8::2")
        .extension(Extension::Fragment {
            offset: 2,
            more: true,
            id: 1,
        })
        .udp(1, 2)
        .payload([0xaa; 8])
        .build();
    assert_eq!(frame.len(), 14 + 40 + 8 + 8);
}

#[test]
fn tags_nest_in_order() {
    let frame = Packet::ipv4("10.0.0.1", "10.0.0.2")
        .service_vlan(5)
        .vlan(6)
        .udp(1, 2)
        .build();
    assert_eq!(frame[12..20], [0x88, 0xa8, 0, 5, 0x81, 0, 0, 6]);
    assert_eq!(frame.network_offset(), 22);
    assert!(matches!(
        parse(&frame).transport,
        Some(TransportSlice::Udp(_))
    ));
}

#[test]
fn an_arp_request_asks() {
    let frame = Packet::arp("10.0.0.1", "10.0.0.2").build();
    let Some(NetSlice::Arp(arp)) = parse(&frame).net else {
        panic!("no ARP")
    };
    assert_eq!(arp.target_protocol_addr(), [10, 0, 0, 2]);
    assert_eq!(arp.sender_protocol_addr(), [10, 0, 0, 1]);
}

#[test]
fn lies_are_told_after_the_build() {
    let frame = Packet::ipv4("10.0.0.1", "10.0.0.2")
        .udp(1, 2)
        .payload([0; 10])
        .build();
    assert_eq!(frame.len(), 52);
    let lying = frame.clone().patch_network(0, &[0x4f]).fix_ipv4_checksum();
    assert_eq!(lying[14], 0x4f);
    assert_eq!(checksum::of(&[&lying[14..34]]), 0);
    assert_eq!(frame.clone().patch_transport(4, &[0, 3])[38..40], [0, 3]);
    assert_eq!(frame.clone().truncate(15).len(), 15);
    assert_eq!(frame.pad(60).len(), 60);
}

#[test]
fn hardware_addresses_read_as_written() {
    let mac = Mac([0x02, 0xab, 0, 1, 2, 0xff]);
    assert_eq!(mac.to_string(), "02:ab:00:01:02:ff");
    assert_eq!(
        mac.to_string().parse::<Mac>().expect("a hardware address"),
        mac
    );
    assert!("02:ab".parse::<Mac>().is_err());
    assert!("02:ab:00:01:02:zz".parse::<Mac>().is_err());
}
