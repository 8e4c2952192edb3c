//! First payloads on the ports of services.

use guard_common::{
    protocol::Protocol::{self, Http1, Http2, Postgres, Redis, Ssh, Tls, Undecided},
    reason::Reason::{LimitPackets, Pass, Plaintext},
};
use lab::frames::{
    Extension::{Destination, HopByHop},
    Packet, tcp,
};

use crate::case::{Case, Step, ack, case, check, drops, from, passes, syn, udp, would_drop};

const A: &str = "203.0.113.1";
const A_V6: &str = "2001:db8:a::1";

/// The services, named after what they do with plaintext, and their ports.
const SERVICES: &str = r#"
    [[service]]
    name = "drops"
    ports = [8443, "9000-9002"]
    on_plaintext = "drop"
    [[service]]
    name = "flags"
    ports = [8080]
    [[service]]
    name = "counts"
    ports = [8000]
    encryption = "optional"
    on_plaintext = "drop"
    [[service]]
    name = "ignores"
    ports = [8001]
    encryption = "off"
    on_plaintext = "drop"
"#;

const REQUEST: &[u8] = b"GET /v1/orders HTTP/1.1\r\nHost: api\r\n\r\n";
const HELLO: &[u8] = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\x9a\x1f\x40\x77\x02\x51\x5a";

const PAYLOADS: [(&[u8], Protocol); 8] = [
    (REQUEST, Http1),
    (b"CONNECT api:443 HTTP/1.1\r\n\r\n", Http1),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Http2),
    (b"*1\r\n$4\r\nPING\r\n", Redis),
    (b"\0\0\0\x11\0\x03\0\0user\0bob\0\0", Postgres),
    (b"SSH-2.0-OpenSSH_9.2p1\r\n", Ssh),
    (HELLO, Tls),
    (b"\x16\x03\x01\x02\0\x01\0\x01", Tls),
];

/// A segment of an established connection.
fn segment(port: u16, payload: impl AsRef<[u8]>) -> Packet {
    ack(A, port).flags(tcp::ACK | tcp::PSH).payload(payload)
}

/// What becomes of a payload that everybody can read, and of one that nobody can.
fn every_payload(service: &str, port: u16, plaintext: fn(Packet) -> Step) -> Vec<Case> {
    let kinds = PAYLOADS.iter().map(|(payload, protocol)| {
        let packet = segment(port, payload);
        let step = if protocol.is_plaintext() {
            plaintext(packet)
        } else {
            passes(packet, Pass)
        };
        let name = format!("{}, {service}: {}", protocol.name(), payload.escape_ascii());
        case(name, [step.payload(service, *protocol)])
    });
    kinds.collect()
}

#[test]
fn each_protocol_is_known_on_each_kind_of_service() {
    let cases = [
        every_payload("drops", 8443, |packet| drops(packet, Plaintext)),
        every_payload("flags", 8080, |packet| passes(packet, Plaintext)),
        every_payload("counts", 8000, |packet| passes(packet, Pass)),
    ];
    check(SERVICES, cases.into_iter().flatten());
}

#[test]
fn in_dry_run_plaintext_passes() {
    let cases = [
        every_payload("drops", 9002, |packet| would_drop(packet, Plaintext)),
        every_payload("flags", 8080, |packet| passes(packet, Plaintext)),
    ];
    check(
        &format!("dry_run = true\n{SERVICES}"),
        cases.into_iter().flatten(),
    );
}

#[test]
fn where_nobody_looks_nothing_is_found() {
    let to = |port| [passes(segment(port, REQUEST), Pass)];
    check(
        SERVICES,
        [
            case("encryption is off", to(8001)),
            case("not a service's port", to(8442)),
            case("below a range", to(8999)),
            case("above a range", to(9003)),
            case("UDP", [passes(from(A).udp(1, 8443).payload(REQUEST), Pass)]),
            case(
                "from a service's port",
                [passes(from(A).tcp(8443, 40_000).payload(REQUEST), Pass)],
            ),
            case("no payload", [passes(ack(A, 8443), Pass)]),
            case(
                "padding is no payload",
                [passes(ack(A, 8443).build().pad(60), Pass).counted_as(54)],
            ),
            case(
                "a request in the padding",
                [passes([&ack(A, 8443).build()[..], REQUEST].concat(), Pass).counted_as(54)],
            ),
            case(
                "a later fragment",
                [passes(
                    from(A).fragment(1, 4, false).tcp(1, 8443).payload(REQUEST),
                    Pass,
                )],
            ),
        ],
    );
}

#[test]
fn plaintext_is_found_wherever_the_payload_starts() {
    let found = |name: &'static str, packet: Packet| {
        case(
            name,
            [drops(packet.payload(REQUEST), Plaintext).payload("drops", Http1)],
        )
    };
    let to = |packet: Packet| packet.tcp(40_000, 8443).flags(tcp::ACK | tcp::PSH);
    check(
        SERVICES,
        [
            found("IPv4", to(from(A))),
            found("IPv6", to(from(A_V6))),
            found("one VLAN tag", to(from(A).vlan(5))),
            found("two VLAN tags", to(from(A_V6).service_vlan(5).vlan(6))),
            found("IPv4 options", to(from(A).options(&[1; 40]))),
            found("TCP options", to(from(A)).tcp_options(&[1; 40])),
            found(
                "extensions",
                to(from(A_V6)
                    .extension(HopByHop(3))
                    .extension(Destination(200))),
            ),
            found("a first fragment", to(from(A).fragment(1, 0, true))),
            found("the first port of a range", from(A).tcp(40_000, 9000)),
            found("the last port of a range", from(A).tcp(40_000, 9002)),
            found("with FIN", to(from(A)).flags(tcp::FIN | tcp::ACK)),
        ],
    );
}

#[test]
fn an_undecided_payload_counts_once_a_connection() {
    let unknown = |seq| segment(8443, "0123456789abcdef").sequence(seq, 1);
    let counted = |seq| passes(unknown(seq), Pass).payload("drops", Undecided);
    let other = ack(A, 8443).flags(tcp::SYN).sequence(500, 0);
    let open = |seq| passes(syn(A, 8443).sequence(seq, 0), Pass);
    let fast = || syn(A, 8443).sequence(70, 0).payload("0123456789abcdef");
    check(
        SERVICES,
        [
            case("first met in its middle", [passes(unknown(101), Pass)]),
            case(
                "SYN, ACK, payload, the same again, the next",
                [
                    open(100),
                    passes(ack(A, 8443).sequence(101, 1), Pass),
                    counted(101),
                    passes(unknown(101), Pass).times(3),
                    passes(unknown(117), Pass),
                ],
            ),
            case(
                "only the first is the first",
                [open(100), passes(unknown(102), Pass), counted(101)],
            ),
            case("sequence numbers wrap", [open(u32::MAX), counted(0)]),
            case(
                "a SYN sent twice",
                [
                    open(100),
                    open(100),
                    counted(101),
                    passes(unknown(101), Pass),
                ],
            ),
            case(
                "the same ports again",
                [open(100), counted(101), open(900), counted(901)],
            ),
            case(
                "another connection's SYN",
                [
                    passes(syn("203.0.113.2", 8443).sequence(100, 0), Pass),
                    passes(unknown(101), Pass),
                ],
            ),
            case(
                "another port's SYN",
                [
                    passes(syn(A, 9000).sequence(100, 0), Pass),
                    passes(unknown(101), Pass),
                ],
            ),
            case(
                "the newest SYN counts",
                [
                    open(100),
                    passes(other, Pass),
                    passes(unknown(101), Pass),
                    counted(501),
                ],
            ),
            case(
                "data in the SYN (RFC 7413), and the SYN again",
                [
                    passes(fast(), Pass).payload("drops", Undecided),
                    passes(fast(), Pass).payload("drops", Undecided),
                    passes(unknown(71), Pass),
                ],
            ),
            case(
                "IPv6",
                [
                    passes(syn(A_V6, 8443).sequence(100, 0), Pass),
                    passes(ack(A_V6, 8443).sequence(101, 0).payload("0123456789"), Pass)
                        .payload("drops", Undecided),
                    passes(ack(A_V6, 8443).sequence(101, 0).payload("0123456789"), Pass),
                ],
            ),
        ],
    );
}

#[test]
fn plaintext_counts_in_every_segment_that_starts_with_it() {
    let hello = || segment(8443, HELLO).sequence(101, 1);
    let request = |seq| segment(8443, REQUEST).sequence(seq, 1);
    let open = || passes(syn(A, 8443).sequence(100, 0), Pass);
    let fast = syn(A, 8443).sequence(100, 0).payload(REQUEST);
    check(
        SERVICES,
        [
            case(
                "retransmitted",
                [
                    open(),
                    drops(request(101), Plaintext)
                        .times(3)
                        .payload("drops", Http1),
                ],
            ),
            case(
                "in mid-connection",
                [drops(request(7), Plaintext).payload("drops", Http1)],
            ),
            case(
                "after something unknown",
                [
                    open(),
                    passes(segment(8443, "0123456789").sequence(101, 1), Pass)
                        .payload("drops", Undecided),
                    drops(request(111), Plaintext).payload("drops", Http1),
                ],
            ),
            case(
                "after TLS",
                [
                    open(),
                    passes(hello(), Pass).payload("drops", Tls),
                    drops(request(119), Plaintext).payload("drops", Http1),
                ],
            ),
            case(
                "in the SYN",
                [drops(fast, Plaintext).payload("drops", Http1)],
            ),
        ],
    );
}

#[test]
fn fewer_than_eight_bytes_decide_nothing() {
    // Filled up with zeros, the shorter ones of Redis and TLS would look whole.
    let short: [&[u8]; 5] = [
        b"G",
        b"GET / H",
        b"*1\r\n$4\r",
        &HELLO[..7],
        b"\0\0\0\x09\0\x03\0",
    ];
    let cases = short.map(|payload| {
        case(
            payload.escape_ascii(),
            [
                passes(syn(A, 8443).sequence(100, 0), Pass),
                passes(segment(8443, payload).sequence(101, 1), Pass).payload("drops", Undecided),
                passes(segment(8443, payload).sequence(101, 1), Pass),
            ],
        )
    });
    check(SERVICES, cases);
    let eight = case(
        "eight",
        [
            drops(segment(8443, b"*1\r\n$4\r\n"), Plaintext).payload("drops", Redis),
            passes(segment(8443, &HELLO[..8]), Pass).payload("drops", Tls),
        ],
    );
    check(SERVICES, [eight]);
}

#[test]
fn what_a_limit_refuses_is_not_looked_at() {
    let request = || segment(8443, REQUEST);
    check(
        &format!("limits = {{ packets = \"3/s\" }}\n{SERVICES}"),
        [case(
            "over the limit",
            [
                // A dropped request has been charged.
                drops(request(), Plaintext).times(3).payload("drops", Http1),
                drops(request(), LimitPackets).times(3),
                drops(udp(A), LimitPackets),
            ],
        )],
    );
}
