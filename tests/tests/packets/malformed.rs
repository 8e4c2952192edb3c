//! Headers cut short, headers that lie, and fragments that hide what they carry.

use guard_common::reason::Reason::{
    self, Allow, ExtensionHeaders, Fragment, Land, Malformed, Pass, TcpFlags, VlanTags,
};
use lab::frames::{Extension, Frame, Packet};

use crate::case::{ack, case, check, drops, from, passes, would_drop};

const V4: &str = "203.0.113.9";
const V6: &str = "2001:db8:a::9";

/// The source is allowed, so what is refused is refused for its form alone.
const ALLOWING: &str = r#"
    allow = [{ cidr = "203.0.113.0/24" }, { cidr = "2001:db8::/32" }]
"#;

/// What is wrong, and a frame with it.
type Row = (&'static str, Frame);

fn tcp() -> Frame {
    ack(V4, 443).build()
}

fn udp() -> Frame {
    from(V4).udp(1, 2).payload("abcd").build()
}

fn extended(extensions: impl IntoIterator<Item = Extension>) -> Packet {
    extensions.into_iter().fold(from(V6), Packet::extension)
}

fn chain(count: usize) -> Frame {
    extended((0..count).map(|_| Extension::Destination(0)))
        .udp(1, 2)
        .build()
}

fn ipv4() -> Vec<Row> {
    vec![
        (
            "a VLAN tag cut short",
            from(V4).vlan(5).udp(1, 2).build().truncate(16),
        ),
        (
            "a second VLAN tag cut short",
            from(V4).vlan(5).vlan(6).udp(1, 2).build().truncate(20),
        ),
        ("no IPv4 header", tcp().truncate(14)),
        ("an IPv4 header cut short", tcp().truncate(33)),
        ("version 6", tcp().patch_network(0, &[0x65])),
        ("IHL 4", tcp().patch_network(0, &[0x44])),
        (
            "IHL 4 before GRE",
            tcp().patch_network(0, &[0x44]).patch_network(9, &[47]),
        ),
        ("IHL 0", tcp().patch_network(0, &[0x40])),
        (
            "IHL 15 in a packet of 32 bytes",
            udp().patch_network(0, &[0x4f]),
        ),
        ("a length of 0", tcp().patch_network(2, &[0, 0])),
        (
            "a length below the header's",
            tcp().patch_network(2, &[0, 19]),
        ),
        (
            "a length beyond the frame",
            tcp().patch_network(2, &[0, 41]),
        ),
        ("the longest length", tcp().patch_network(2, &[0xff, 0xff])),
    ]
}

fn ipv6() -> Vec<Row> {
    let udp = || from(V6).udp(1, 2).build();
    let long = |extension| {
        extended([extension])
            .udp(1, 2)
            .build()
            .patch_network(41, &[9])
    };
    vec![
        ("no IPv6 header", udp().truncate(14)),
        ("an IPv6 header cut short", udp().truncate(53)),
        ("version 4", udp().patch_network(0, &[0x40])),
        (
            "a length beyond the frame, IPv6",
            udp().patch_network(4, &[0, 9]),
        ),
        (
            "no transport header, as the length says",
            udp().patch_network(4, &[0, 0]),
        ),
        (
            "an extension cut short",
            extended([Extension::Routing(0)])
                .protocol(59)
                .build()
                .truncate(58)
                .patch_network(4, &[0, 4]),
        ),
        ("hop-by-hop options too long", long(Extension::HopByHop(0))),
        ("a routing header too long", long(Extension::Routing(0))),
        (
            "destination options too long",
            long(Extension::Destination(0)),
        ),
        (
            "an authentication header too long",
            long(Extension::Authentication),
        ),
        (
            "nothing where an extension is promised",
            from(V6).protocol(60).build(),
        ),
        (
            "nothing behind the last extension",
            extended([Extension::Destination(0)]).protocol(6).build(),
        ),
    ]
}

fn transport() -> Vec<Row> {
    let tcp_v6 = || ack(V6, 443).build();
    vec![
        ("TCP of 19 bytes", tcp().patch_network(2, &[0, 39])),
        (
            "TCP of 19 bytes, padded",
            tcp().patch_network(2, &[0, 39]).pad(60),
        ),
        ("no TCP at all", from(V4).protocol(6).build()),
        ("data offset 4", tcp().patch_transport(12, &[0x40])),
        ("data offset 4, IPv6", tcp_v6().patch_transport(12, &[0x40])),
        (
            "data offset beyond the packet",
            tcp().patch_transport(12, &[0x60]),
        ),
        (
            "data offset beyond the packet, in padding",
            tcp().patch_transport(12, &[0xf0]).pad(90),
        ),
        (
            "data offset beyond the packet, IPv6",
            tcp_v6().patch_transport(12, &[0xf0]),
        ),
        ("UDP of 7 bytes", udp().patch_network(2, &[0, 27])),
        ("a UDP length of 7", udp().patch_transport(4, &[0, 7])),
        (
            "a UDP length beyond the packet",
            udp().patch_transport(4, &[0, 13]),
        ),
        (
            "a UDP length in padding",
            udp().patch_transport(4, &[0, 13]).pad(60),
        ),
    ]
}

fn tags() -> Vec<Row> {
    let tagged = |count| {
        let packet = (0..count).fold(from(V4), |packet, _| packet.vlan(0));
        packet.udp(1, 2).build()
    };
    vec![
        ("a third VLAN tag", tagged(3)),
        ("a fourth VLAN tag", tagged(4)),
    ]
}

fn extensions() -> Vec<Row> {
    vec![
        ("seven extensions", chain(7)),
        (
            "options for every hop behind others",
            extended([Extension::Destination(0), Extension::HopByHop(0)])
                .udp(1, 2)
                .build(),
        ),
        ("a hundred extensions", chain(100)),
    ]
}

fn flags() -> Vec<Row> {
    vec![
        ("no TCP flag at all", from(V4).tcp(1, 443).flags(0).build()),
        ("SYN and FIN", from(V4).tcp(1, 443).flags(0x03).build()),
        ("SYN and RST", from(V6).tcp(1, 443).flags(0x06).build()),
        ("FIN without ACK", from(V4).tcp(1, 443).flags(0x29).build()),
    ]
}

fn fragments() -> Vec<Row> {
    let first = |len: u8| {
        let frame = from(V4)
            .fragment(7, 0, true)
            .tcp(1, 443)
            .payload([0; 8])
            .build();
        frame.patch_network(2, &[0, 20 + len])
    };
    let v6 = |offset, more| {
        extended([Extension::Fragment {
            offset,
            more,
            id: 7,
        }])
    };
    vec![
        ("a first one of 8 bytes of TCP", first(8)),
        ("a first one of 19 bytes of TCP", first(19)),
        (
            "a first one without the TCP options",
            first(20).patch_transport(12, &[0x60]),
        ),
        (
            "one over the TCP flags",
            from(V4)
                .fragment(7, 1, false)
                .tcp(1, 443)
                .payload([0; 20])
                .build(),
        ),
        (
            "one over the TCP flags, IPv6",
            v6(1, false).tcp(1, 443).payload([0; 20]).build(),
        ),
        (
            "a first one of 4 bytes of UDP",
            from(V4)
                .fragment(7, 0, true)
                .protocol(17)
                .payload([0; 4])
                .build(),
        ),
        (
            "a first one of 8 bytes, IPv6",
            v6(0, true).protocol(6).payload([0; 8]).build(),
        ),
        (
            "a first one that ends in an extension",
            v6(0, true)
                .extension(Extension::Destination(0))
                .udp(1, 2)
                .build()
                .patch_network(49, &[9]),
        ),
        (
            "a first one before an extension",
            v6(0, true).protocol(60).build(),
        ),
    ]
}

fn sound() -> Vec<Row> {
    let v6 = |offset| {
        extended([Extension::Fragment {
            offset,
            more: true,
            id: 7,
        }])
    };
    vec![
        (
            "a whole first fragment",
            from(V4)
                .fragment(7, 0, true)
                .tcp(1, 443)
                .payload([0; 8])
                .build(),
        ),
        (
            "a later fragment",
            from(V4)
                .fragment(7, 2, true)
                .tcp(1, 443)
                .payload([0; 8])
                .build(),
        ),
        (
            "a later fragment of UDP at 8 bytes",
            from(V4)
                .fragment(7, 1, true)
                .udp(1, 2)
                .payload([0; 8])
                .build(),
        ),
        (
            "a first fragment's UDP is longer",
            from(V4)
                .fragment(7, 0, true)
                .udp(1, 2)
                .payload([0; 8])
                .build()
                .patch_transport(4, &[9, 0]),
        ),
        (
            "a whole first fragment, IPv6",
            v6(0).tcp(1, 443).payload([0; 4]).build(),
        ),
        (
            "a later fragment, IPv6",
            v6(2).tcp(1, 443).payload([0; 8]).build(),
        ),
        (
            "40 bytes of options",
            from(V4)
                .options(&[1; 40])
                .tcp(1, 2)
                .tcp_options(&[1; 40])
                .build(),
        ),
        (
            "a wrong checksum is the stack's to find",
            tcp().patch_network(10, &[0, 0]),
        ),
        ("six extensions", chain(6)),
        (
            "every extension",
            extended([
                Extension::HopByHop(30),
                Extension::Routing(4),
                Extension::Fragment {
                    offset: 0,
                    more: false,
                    id: 1,
                },
                Extension::Authentication,
                Extension::Destination(255),
            ])
            .tcp(1, 443)
            .build(),
        ),
        ("no next header", from(V6).build()),
        ("no payload, IPv4", from(V4).build()),
        (
            "no UDP length, IPv6",
            from(V6).udp(1, 2).build().patch_transport(4, &[0, 0]),
        ),
    ]
}

/// Everything unsound, and what it is refused for.
fn unsound() -> impl Iterator<Item = (Row, Reason)> {
    let malformed = [ipv4(), ipv6(), transport()].concat();
    [
        (malformed, Malformed),
        (tags(), VlanTags),
        (extensions(), ExtensionHeaders),
        (flags(), TcpFlags),
        (fragments(), Fragment),
    ]
    .into_iter()
    .flat_map(|(rows, reason)| rows.into_iter().map(move |row| (row, reason)))
}

#[test]
fn unsound_packets_are_dropped_even_from_an_allowed_source() {
    let dropped = |((name, frame), reason)| case(name, [drops(frame, reason)]);
    check(ALLOWING, unsound().map(dropped));
}

#[test]
fn what_a_stack_accepts_is_not_called_malformed() {
    let rows = sound().into_iter();
    check(
        "",
        rows.map(|(name, frame)| case(name, [passes(frame, Pass)])),
    );
}

#[test]
fn in_dry_run_unsound_packets_pass() {
    check(
        "dry_run = true",
        unsound().map(|((name, frame), reason)| case(name, [would_drop(frame, reason)])),
    );
}

#[test]
fn nobody_writes_to_himself() {
    let v4 = |source| Packet::ipv4(source, V4).tcp(443, 443).flags(2).build();
    let v6 = |source| Packet::ipv6(source, V6).udp(9, 9).build();
    check(
        ALLOWING,
        [
            case("IPv4", [drops(v4(V4), Land)]),
            case("IPv6", [drops(v6(V6), Land)]),
            case("a neighbour", [passes(v4("203.0.113.8"), Allow)]),
            case("a neighbour, IPv6", [passes(v6("2001:db8:b::9"), Allow)]),
            case(
                "another in its second half",
                [passes(v6("2001:db8:a::8"), Allow)],
            ),
        ],
    );
}
