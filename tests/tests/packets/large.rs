//! Frames in several buffers, of which only the first can be read directly: those longer than a
//! page, and all of them where a network card leaves the first buffer empty.

use guard_common::reason::Reason::{LimitBytes, Malformed, Pass, Plaintext};
use lab::frames::{Extension::Destination, Frame, Packet};

use crate::case::{case, check, drops, from, passes};

/// Of a page, the kernel's test-run keeps 256 bytes before the frame and 320 behind it.
const FIRST_BUFFER: usize = 4_096 - 256 - 320;

const A: &str = "203.0.113.1";
const A_V6: &str = "2001:db8:a::1";
const REQUEST: &[u8] = b"GET /v1/orders HTTP/1.1\r\nHost: api\r\n\r\n";

const CONFIGURATION: &str = r#"
    [limits]
    packets = "off"
    connections = "off"
    [[service]]
    name = "api"
    ports = [443]
    on_plaintext = "drop"
"#;

/// A request followed by so many bytes that the frame has several buffers.
fn request(packet: Packet) -> Frame {
    let body = vec![b'x'; 9_000 - REQUEST.len()];
    packet
        .tcp(40_000, 443)
        .payload([REQUEST, &body].concat())
        .build()
}

#[test]
fn long_frames_are_judged_as_short_ones() {
    let length = |bytes: usize| from(A).udp(1, 2).payload(vec![0; bytes - 42]).build();
    let segment = || from(A).tcp(1, 2).payload(vec![0; 8_960]).build();
    let claim = |frame: Frame, bytes: u16| frame.patch_network(2, &bytes.to_be_bytes());
    check(
        CONFIGURATION,
        [
            case("a jumbo frame", [passes(length(9_014), Pass)]),
            case(
                "one byte over the first buffer",
                [passes(length(FIRST_BUFFER + 1), Pass)],
            ),
            case("a merged packet", [passes(length(60_000), Pass)]),
            case(
                "its length as the header says",
                [passes(claim(segment(), 8_000), Pass).counted_as(8_014)],
            ),
            case(
                "a length beyond the frame",
                [drops(claim(segment(), 9_001), Malformed)],
            ),
            case("plaintext", [drops(request(from(A)), Plaintext)]),
        ],
    );
}

/// A request whose payload starts at `offset`, which is `2 + 4n`: IPv6 takes all but 4 bytes.
fn request_at(offset: usize) -> Frame {
    let mut filler = offset - (14 + 40 + 20);
    let mut packet = from(A_V6);
    if !filler.is_multiple_of(8) {
        packet = packet.vlan(5);
        filler -= 4;
    }
    while filler > 0 {
        let units = (filler / 8).min(256);
        packet = packet.extension(Destination((units - 1) as u8));
        filler -= units * 8;
    }
    let frame = request(packet);
    assert_eq!(frame.transport_offset() + 20, offset);
    frame
}

#[test]
fn a_payload_across_two_buffers_is_read() {
    // In the last of them the TCP header itself begins in the second buffer.
    let offsets = (FIRST_BUFFER - 42..FIRST_BUFFER + 42).step_by(4);
    let found = offsets.map(|offset| {
        let step = drops(request_at(offset), Plaintext);
        case(format_args!("a payload from byte {offset} on"), [step])
    });
    check(CONFIGURATION, found);
}

#[test]
fn the_limit_of_bytes_counts_all_of_a_long_frame() {
    let configuration = "limits = { bytes = \"64KiB/s\" }";
    let frame = || from(A).udp(1, 2).payload(vec![0; 16_384 - 42]).build();
    check(
        configuration,
        [case(
            "four times 16 KiB",
            [passes(frame(), Pass).times(4), drops(frame(), LimitBytes)],
        )],
    );
}

#[test]
fn headers_beyond_the_first_buffer_are_read() {
    let request = |packet: Packet| packet.tcp(40_000, 443).payload(REQUEST);
    let found = |packet| drops(request(packet), Plaintext);
    let extended = from(A_V6).vlan(5).extension(Destination(2));
    let short = request(from(A)).build().truncate(50);
    check(
        CONFIGURATION,
        [
            case("IPv4", [found(from(A)).in_pieces()]),
            case(
                "a tag and options",
                [found(from(A).vlan(5).options(&[1; 8])).in_pieces()],
            ),
            case("IPv6", [found(from(A_V6)).in_pieces()]),
            case("a tag and an extension", [found(extended).in_pieces()]),
            case("UDP", [passes(from(A).udp(1, 2), Pass).in_pieces()]),
            case("not IP", [passes(Packet::arp(A, A), Pass).in_pieces()]),
            case("cut short", [drops(short, Malformed).in_pieces()]),
        ],
    );
}

/// Of a merged packet that is longer than its length field can say (BIG TCP), as generic mode
/// shows it, only the start can be read directly.
#[test]
fn a_merged_packet_may_leave_its_length_unsaid() {
    const MERGED: usize = 66_000;
    let merged = |packet: Packet, field: usize| {
        let segment = packet.tcp(40_000, 443).payload(REQUEST);
        segment.build().patch_network(field, &[0, 0]).pad(MERGED)
    };
    let found = |frame: Frame| drops(frame, Plaintext);
    check(
        CONFIGURATION,
        [
            case("IPv4", [found(merged(from(A), 2))]),
            case("IPv6", [found(merged(from(A_V6), 4))]),
            case("IPv4, in pieces", [found(merged(from(A), 2)).in_pieces()]),
            case(
                "IPv6, in pieces",
                [found(merged(from(A_V6), 4)).in_pieces()],
            ),
        ],
    );
}
