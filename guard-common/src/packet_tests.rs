//! The parser on well-formed packets of every shape, on each lie a header can tell, and on noise.

use std::{vec, vec::Vec};

use etherparse::PacketBuilder;

use super::*;

#[path = "packet_tests/ipv6.rs"]
mod ipv6_tests;
#[path = "packet_tests/properties.rs"]
mod properties;

const MACS: ([u8; 6], [u8; 6]) = ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 1]);
const V4: ([u8; 4], [u8; 4]) = ([198, 51, 100, 7], [10, 0, 0, 1]);
const V6_SOURCE: [u8; 16] = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
/// Where the IP header of an untagged frame starts.
const IP: usize = ETHERNET_LEN;
/// Where the transport header of an untagged frame without options or extensions starts.
const L4_V4: usize = IP + IPV4_LEN;
/// Where the flags of its TCP header are.
const FLAGS: usize = L4_V4 + 13;
const L4_V6: usize = IP + IPV6_LEN;

fn tcp_v4(payload: &[u8]) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2(MACS.0, MACS.1).ipv4(V4.0, V4.1, 64);
    write(packet.tcp(40_000, 443, 7, 64_240).ack(1), payload)
}

fn udp_v4(payload: &[u8]) -> Vec<u8> {
    let packet = PacketBuilder::ethernet2(MACS.0, MACS.1).ipv4(V4.0, V4.1, 64);
    write(packet.udp(5_000, 53), payload)
}

fn write<T>(packet: etherparse::PacketBuilderStep<T>, payload: &[u8]) -> Vec<u8>
where
    etherparse::PacketBuilderStep<T>: Build,
{
    packet.build(payload)
}

/// What etherparse's builders of every transport have in common.
trait Build {
    fn build(self, payload: &[u8]) -> Vec<u8>;
}

impl Build for etherparse::PacketBuilderStep<etherparse::TcpHeader> {
    fn build(self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes, payload).expect("writing to memory");
        bytes
    }
}

impl Build for etherparse::PacketBuilderStep<etherparse::UdpHeader> {
    fn build(self, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes, payload).expect("writing to memory");
        bytes
    }
}

/// An IPv6 packet of one chain of headers, each of its own bytes.
fn ipv6(next_header: u8, hop_limit: u8, rest: &[&[u8]]) -> Vec<u8> {
    let rest = rest.concat();
    let mut bytes = [MACS.1, MACS.0].concat();
    bytes.extend(ETHERTYPE_IPV6.to_be_bytes());
    bytes.extend([0x60, 0, 0, 0]);
    bytes.extend((rest.len() as u16).to_be_bytes());
    bytes.extend([next_header, hop_limit]);
    bytes.extend(V6_SOURCE);
    bytes.extend([0; 16]);
    bytes.extend(rest);
    bytes
}

/// A TCP header from port 40000 to 443, with `words` of 4 bytes as its length.
fn tcp_header(words: u8) -> [u8; TCP_LEN] {
    let mut header = [0; TCP_LEN];
    header[..8].copy_from_slice(&[0x9c, 0x40, 1, 0xbb, 0, 0, 0, 7]);
    header[12] = words << 4;
    header[13] = 0x10;
    header
}

fn with(mut frame: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    frame[offset..offset + bytes.len()].copy_from_slice(bytes);
    frame
}

fn read(frame: &[u8]) -> Result<Packet, Unsound> {
    parse(frame)
}

fn ip(frame: &[u8]) -> IpPacket {
    match read(frame) {
        Ok(Packet::Ip(packet)) => packet,
        other => panic!("no IP packet: {other:?}"),
    }
}

fn tcp_of(frame: &[u8]) -> Tcp {
    match ip(frame).transport() {
        Transport::Tcp(tcp) => tcp,
        other => panic!("no TCP segment: {other:?}"),
    }
}

#[test]
fn a_segment_is_what_it_says() {
    let frame = tcp_v4(b"GET / HTTP/1.1\r\n\r\n");
    let packet = ip(&frame);
    assert_eq!(packet.source(), Address::V4(u32::from_ne_bytes(V4.0)));
    assert_eq!(packet.frame_len as usize, frame.len());
    assert_eq!(plain(frame.as_slice()), Some(packet));
    let tcp = tcp_of(&frame);
    assert_eq!(
        (tcp.head.source_port(), tcp.head.port(), tcp.head.seq()),
        (40_000, 443, 7)
    );
    assert_eq!(
        (tcp.payload_offset, tcp.payload_len, tcp.head.opens()),
        (54, 18, false)
    );
}

#[test]
fn only_a_syn_without_ack_opens() {
    for (flags, opens) in [
        (0x02, true),
        (0xc2, true),
        (0x12, false),
        (0x10, false),
        (0x04, false),
    ] {
        let frame = with(tcp_v4(b""), FLAGS, &[flags]);
        assert_eq!(tcp_of(&frame).head.opens(), opens, "flags {flags:#x}");
    }
}

#[test]
fn flags_that_no_connection_takes_are_refused() {
    for flags in 0..=u8::MAX {
        let [fin, syn, rst, ack] = [1, 2, 4, 16].map(|flag| flags & flag != 0);
        let impossible = (syn && (fin || rst)) || !(syn || rst || ack);
        let parsed = read(&with(tcp_v4(b""), FLAGS, &[flags]));
        assert_eq!(
            parsed == Err(Unsound::TcpFlags),
            impossible,
            "flags {flags:#04x}"
        );
    }
}

#[test]
fn padding_is_no_payload() {
    let mut frame = tcp_v4(b"");
    frame.resize(60, b'x');
    assert_eq!((tcp_of(&frame).payload_len, ip(&frame).frame_len), (0, 54));
    let mut frame = udp_v4(b"");
    frame.resize(60, b'x');
    assert_eq!(
        (ip(&frame).transport(), ip(&frame).frame_len),
        (Transport::Udp, 42)
    );
}

#[test]
fn two_tags_are_read_and_a_third_is_refused() {
    let tagged = |tags: &[[u8; 4]]| {
        let frame = tcp_v4(b"x");
        [&frame[..12], tags.as_flattened(), &frame[12..]].concat()
    };
    let (customer, service) = ([0x81, 0, 0, 5], [0x88, 0xa8, 0, 6]);
    assert_eq!(tcp_of(&tagged(&[customer])).payload_offset, 58);
    assert_eq!(tcp_of(&tagged(&[service, customer])).payload_offset, 62);
    let three = tagged(&[service, customer, customer]);
    assert_eq!(read(&three), Err(Unsound::VlanTags));
    let priority = [0x81, 0, 0, 0];
    let priorities = tagged(&[priority, priority, priority]);
    assert_eq!(read(&priorities), Err(Unsound::VlanTags));
    for (len, missing) in [(16, "half a tag"), (13, "a byte of the Ethernet header")] {
        assert_eq!(read(&three[..len]), Err(Unsound::OutOfReach), "{missing}");
    }
}

#[test]
fn other_ethertypes_are_not_ours() {
    for ethertype in [[0x08, 0x06], [0x88, 0xcc], [0x05, 0xdc], [0, 0]] {
        assert_eq!(read(&with(vec![0; 60], 12, &ethertype)), Ok(Packet::NotIp));
    }
}

/// What is wrong, a frame with it, and what it is taken for.
type Lie = (&'static str, Vec<u8>, Unsound);

#[test]
fn lying_ipv4_headers_are_refused() {
    use Unsound::{Fragment, Malformed, OutOfReach};
    let first = |len: usize| {
        let more = with(tcp_v4(b""), IP + 6, &[0x20, 0]);
        with(more, IP + 2, &(len as u16).to_be_bytes())
    };
    let lies: [Lie; 15] = [
        ("version 6", with(tcp_v4(b""), IP, &[0x65]), Malformed),
        (
            "header of 16 bytes",
            with(tcp_v4(b""), IP, &[0x44]),
            Malformed,
        ),
        (
            "header of 16 bytes before nothing that is read",
            with(with(tcp_v4(b""), IP, &[0x44]), IP + 9, &[47]),
            Malformed,
        ),
        (
            "header longer than the packet",
            with(udp_v4(b""), IP, &[0x4f]),
            Malformed,
        ),
        ("header cut short", tcp_v4(b"")[..33].to_vec(), OutOfReach),
        (
            "shorter than its header",
            with(tcp_v4(b""), IP + 2, &[0, 19]),
            Malformed,
        ),
        ("length 0", with(tcp_v4(b""), IP + 2, &[0, 0]), Malformed),
        (
            "longer than the frame",
            with(tcp_v4(b""), IP + 2, &[0, 41]),
            Malformed,
        ),
        (
            "TCP cut short",
            with(tcp_v4(b""), IP + 2, &[0, 39]),
            Malformed,
        ),
        (
            "TCP header of 16 bytes",
            with(tcp_v4(b""), L4_V4 + 12, &[0x40]),
            Malformed,
        ),
        (
            "TCP header too long",
            with(tcp_v4(b"xxx"), L4_V4 + 12, &[0x60]),
            Malformed,
        ),
        (
            "UDP cut short",
            with(udp_v4(b""), IP + 2, &[0, 27]),
            Malformed,
        ),
        (
            "first fragment without the whole TCP header",
            first(39),
            Fragment,
        ),
        (
            "first fragment without the TCP options",
            with(first(40), 46, &[0x60]),
            Fragment,
        ),
        (
            "a fragment over the TCP flags",
            with(tcp_v4(b""), IP + 6, &[0, 1]),
            Fragment,
        ),
    ];
    for (name, frame, expected) in lies {
        assert_eq!(read(&frame), Err(expected), "{name}");
    }
}

#[test]
fn a_udp_length_agrees_with_the_packet() {
    let claims = |len: u16| with(udp_v4(b"abcd"), L4_V4 + 4, &len.to_be_bytes());
    for (len, sound) in [(0, true), (7, false), (8, true), (12, true), (13, false)] {
        assert_eq!(read(&claims(len)).is_ok(), sound, "length {len}");
    }
    // A first fragment holds only part of what its UDP header claims.
    let first = with(claims(2_000), IP + 6, &[0x20, 0]);
    assert_eq!(ip(&first).transport(), Transport::Udp);
    assert_eq!(
        read(&with(first, L4_V4 + 4, &[0, 7])),
        Err(Unsound::Malformed)
    );
}

#[test]
fn fragments_are_judged_by_what_they_hide() {
    let fragment = |field: u16| with(tcp_v4(b"payload"), IP + 6, &field.to_be_bytes());
    assert!(
        matches!(ip(&fragment(0x2000)).transport(), Transport::Tcp(_)),
        "a first, whole one"
    );
    assert!(
        matches!(ip(&fragment(0x4000)).transport(), Transport::Tcp(_)),
        "do not fragment"
    );
    assert_eq!(
        ip(&fragment(0x2002)).transport(),
        Transport::Other,
        "a later one"
    );
    assert_eq!(
        ip(&fragment(0x00b9)).transport(),
        Transport::Other,
        "the last one"
    );
    let udp = with(udp_v4(b"payload"), IP + 6, &[0x20, 1]);
    assert_eq!(
        ip(&udp).transport(),
        Transport::Other,
        "UDP has no flags to hide"
    );
}

#[test]
fn only_a_merged_packet_may_leave_its_length_unsaid() {
    let v4 = |payload| with(tcp_v4(&vec![0; payload]), IP + 2, &[0, 0]);
    assert_eq!(read(&v4(60_000)), Err(Unsound::Malformed));
    // etherparse, too, refuses to write more than the length field can say.
    let big = [v4(60_000), vec![0; 10_000]].concat();
    assert_eq!(
        (ip(&big).frame_len, tcp_of(&big).payload_len),
        (70_054, 70_000)
    );
    let big = [ipv6(PROTOCOL_TCP, 64, &[&tcp_header(5)]), vec![0; 70_000]].concat();
    let big = with(big, IP + 4, &[0, 0]);
    assert_eq!(
        (ip(&big).frame_len, tcp_of(&big).payload_len),
        (70_074, 70_000)
    );
}
