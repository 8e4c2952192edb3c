//! The walk over IPv6 extension headers.

use guard_common::packet::{Fragment, MAX_HEADERS_LEN, Payload, Walk, extensions};

use crate::frame;

/// Where the headers start in an untagged frame.
const START: usize = 14 + 40;
/// The longest that are tried.
const MAX_LEN: usize = 16_000;

/// The first byte is the protocol of the first header, the second the hop limit, and the headers
/// follow.
pub fn check(input: &[u8]) {
    let [protocol, hop_limit, headers @ ..] = input else {
        return;
    };
    let headers = headers.get(..MAX_LEN).unwrap_or(headers);
    let packet = in_a_frame(*protocol, *hop_limit, headers);
    let from = Payload {
        protocol: *protocol,
        hop_limit: *hop_limit,
        offset: START,
        len: headers.len(),
        fragment: Fragment::WHOLE,
    };
    let walked = extensions(packet.as_slice(), from);
    assert_eq!(Walk::pack(walked).unpack(from), walked);
    if let Ok(found) = walked {
        assert!(found.offset >= from.offset && found.offset < MAX_HEADERS_LEN);
        assert_eq!(found.offset + found.len, packet.len());
        assert_eq!(found.hop_limit, *hop_limit);
        let walked_len = found.offset - from.offset;
        // What lies behind the headers does not matter.
        let mut other = packet.clone();
        other[START + walked_len..].fill(0xff);
        assert_eq!(extensions(other.as_slice(), from), walked);
    }
    frame::check(&packet);
}

fn in_a_frame(protocol: u8, hop_limit: u8, headers: &[u8]) -> Vec<u8> {
    let [high, low] = (headers.len() as u16).to_be_bytes();
    let addresses = [&[0x20, 1, 0x0d, 0xb8], &[0; 11][..], &[7], &[0xfd; 16]].concat();
    let ethernet = [&[2; 12][..], &[0x86, 0xdd]].concat();
    let fixed = [0x60, 0, 0, 0, high, low, protocol, hop_limit];
    [&ethernet[..], &fixed, &addresses, headers].concat()
}
