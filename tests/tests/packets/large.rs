//! Frames longer than a page: what lies beyond the first buffer is not directly readable.

use guard_common::{
    protocol::Protocol::Http1,
    reason::Reason::{LimitBytes, Malformed, Pass, Plaintext},
};
use lab::frames::{Extension::Destination, Frame, Packet};

use crate::case::{Case, case, check, drops, from, passes};

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
                [drops(claim(segment(), 9_001), Malformed).counted_as(FIRST_BUFFER)],
            ),
            case(
                "plaintext",
                [drops(request(from(A)), Plaintext).payload("api", Http1)],
            ),
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
    // The last one whose TCP header is in the first buffer leaves 2 bytes of the payload there.
    let within = (FIRST_BUFFER - 42..FIRST_BUFFER).step_by(4);
    let found = within.map(|offset| {
        let step = drops(request_at(offset), Plaintext).payload("api", Http1);
        case(format_args!("a payload from byte {offset} on"), [step])
    });
    // Beyond that the ports cannot be told, and the packet is let through.
    let beyond = (FIRST_BUFFER + 2..FIRST_BUFFER + 20).step_by(4);
    let unseen: Vec<Case> = beyond
        .map(|offset| {
            case(
                format_args!("a payload from byte {offset} on"),
                [passes(request_at(offset), Pass)],
            )
        })
        .collect();
    check(CONFIGURATION, found.chain(unseen));
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
