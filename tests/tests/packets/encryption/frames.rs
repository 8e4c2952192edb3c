//! Where in a frame plaintext is looked for, and where not.

use guard_common::reason::Reason::{LimitPackets, Pass, Plaintext};
use lab::frames::{
    Extension::{Destination, HopByHop},
    Packet, tcp,
};

use super::{SERVICES, payloads::GET};
use crate::case::{ack, case, check, drops, from, passes, udp};

const A: &str = "203.0.113.1";
const A_V6: &str = "2001:db8:a::1";

/// A segment of an established connection.
fn segment(port: u16, payload: impl AsRef<[u8]>) -> Packet {
    ack(A, port).flags(tcp::ACK | tcp::PSH).payload(payload)
}

#[test]
fn where_nobody_looks_nothing_is_found() {
    let to = |port| [passes(segment(port, GET), Pass)];
    check(
        SERVICES,
        [
            case("encryption is off", to(8001)),
            case("not a service's port", to(8442)),
            case("below a range", to(8999)),
            case("above a range", to(9003)),
            case("UDP", [passes(from(A).udp(1, 8443).payload(GET), Pass)]),
            case(
                "from a service's port",
                [passes(from(A).tcp(8443, 40_000).payload(GET), Pass)],
            ),
            case("no payload", [passes(ack(A, 8443), Pass)]),
            case(
                "padding is no payload",
                [passes(ack(A, 8443).build().pad(60), Pass).counted_as(54)],
            ),
            case(
                "a request in the padding",
                [passes([&ack(A, 8443).build()[..], GET].concat(), Pass).counted_as(54)],
            ),
            case(
                "a later fragment",
                [passes(
                    from(A).fragment(1, 4, false).tcp(1, 8443).payload(GET),
                    Pass,
                )],
            ),
        ],
    );
}

#[test]
fn plaintext_is_found_wherever_the_payload_starts() {
    let found =
        |name: &'static str, packet: Packet| case(name, [drops(packet.payload(GET), Plaintext)]);
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
fn what_a_limit_refuses_is_not_looked_at() {
    let request = || segment(8443, GET);
    check(
        &format!("limits = {{ packets = \"3/s\" }}\n{SERVICES}"),
        [case(
            "over the limit",
            [
                // A dropped request has been charged.
                drops(request(), Plaintext).times(3),
                drops(request(), LimitPackets).times(3),
                drops(udp(A), LimitPackets),
            ],
        )],
    );
}
