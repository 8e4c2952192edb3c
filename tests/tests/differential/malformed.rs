//! Frames that are sound, and what is made of them by changing, cutting and padding.

use lab::frames::{self, Extension, Frame, tcp};

use crate::noise::Noise;

/// What a frame is made from: each way of a packet through the parser.
pub(crate) fn seeds() -> Vec<Frame> {
    let v4 = || frames::Packet::ipv4("203.0.113.9", "192.0.2.1");
    let v6 = || frames::Packet::ipv6("2001:db8::9", "2001:db8:ffff::1");
    let request = "GET / HTTP/1.1\r\nHost: api\r\n\r\n";
    let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02";
    let fragment = |offset, more| Extension::Fragment {
        offset,
        more,
        id: 7,
    };
    let chain = (0..5).fold(v6(), |packet, _| {
        packet.extension(Extension::Destination(0))
    });
    [
        v4().tcp(1, 443).payload(request),
        v4().tcp(1, 443).flags(tcp::SYN).tcp_options(&[1; 20]),
        v4().tcp(1, 443).flags(tcp::SYN).payload([7; 12]),
        v4().options(&[1; 12]).tcp(1, 443).payload(hello),
        v4().vlan(5).udp(1, 2).payload([7; 12]),
        v4().service_vlan(5).vlan(6).icmp(8, 0),
        v4().fragment(7, 0, true).tcp(1, 443).payload([7; 12]),
        v4().fragment(7, 1, true).udp(1, 443).payload([7; 32]),
        v4().fragment(7, 3, false).tcp(1, 443).payload([7; 32]),
        v6().tcp(1, 443).payload(request),
        v6().vlan(5).udp(1, 2).payload([7; 12]),
        v6().ttl(255).icmpv6(135, 0).payload([0; 16]),
        v6().extension(fragment(0, true))
            .tcp(1, 443)
            .payload([7; 12]),
        v6().extension(fragment(4, false))
            .tcp(1, 443)
            .payload([7; 12]),
        v6().extension(Extension::HopByHop(1))
            .extension(Extension::Routing(2))
            .tcp(1, 443)
            .payload("*1\r\n$4\r\nPING\r\n"),
        v6().extension(Extension::Authentication)
            .extension(fragment(0, false))
            .udp(1, 2),
        chain
            .extension(Extension::Destination(3))
            .tcp(1, 443)
            .payload("PRI * HTTP/2.0\r\n\r\n"),
        frames::Packet::ipv6("::ffff:203.0.113.9", "2001:db8::1")
            .tcp(1, 443)
            .payload("SSH-2.0-x"),
        v4().fragment(7, 1, true).tcp(1, 443).payload([7; 32]),
        v4().fragment(7, 0, true).protocol(6).payload([7; 12]),
        v6().extension(fragment(1, true))
            .tcp(1, 443)
            .payload([7; 32]),
        v6().extension(fragment(0, true))
            .protocol(60)
            .payload([6, 9, 0, 0, 0, 0, 0, 0]),
        frames::Packet::arp("203.0.113.9", "192.0.2.1"),
    ]
    .map(|packet| packet.build())
    .to_vec()
}

/// A seed, mutated.
pub(crate) fn frame(seeds: &[Frame], noise: &mut Noise) -> Vec<u8> {
    mutated(&seeds[noise.below(seeds.len())], noise)
}

/// `frame` with a few bytes changed, cut or padded; now and then nothing but noise.
pub(crate) fn mutated(frame: &[u8], noise: &mut Noise) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    for _ in 0..noise.below(4) {
        // Most of the sense is in the headers.
        let place = 12 + noise.below(bytes.len().min(90) - 12);
        bytes[place] = match noise.below(3) {
            0 => noise.word() as u8,
            1 => bytes[place] ^ (1 << noise.below(8)),
            _ => [0, 1, 6, 17, 43, 44, 51, 58, 60, 135, 0x40, 0xff][noise.below(12)],
        };
    }
    if noise.one_in(3) {
        // The kernel takes no test frame that is shorter than an Ethernet header.
        bytes.truncate(14 + noise.below(bytes.len() - 13));
    }
    if noise.one_in(4) {
        let len = bytes.len() + noise.below(60);
        bytes.resize(len, noise.word() as u8);
    }
    if noise.one_in(20) {
        bytes[14..].fill_with(|| noise.word() as u8);
    }
    bytes
}
