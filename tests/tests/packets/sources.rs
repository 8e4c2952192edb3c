//! What is decided by where a packet comes from: allow, deny, and the lists of services.

use guard_common::reason::Reason::{Allow, Deny, LimitPackets, Pass, Plaintext, ServiceAcl};
use lab::frames::{Extension, Packet};

use crate::case::{HOST_V4, HOST_V6, ack, case, check, drops, from, passes, syn, udp, would_drop};

const RULES: &str = r#"
    allow = [
        { cidr = "203.0.113.16/28" }, { cidr = "203.0.113.40" }, { cidr = "198.51.100.0/25" },
        { cidr = "2001:db8:a:1::/64" }, { cidr = "2001:db8:b::/48" },
    ]
    deny = [
        { cidr = "203.0.113.0/24" }, { cidr = "203.0.113.20" }, { cidr = "198.51.100.0/25" },
        { cidr = "2001:db8:a::/48" }, { cidr = "2001:db8:a:1::bad" }, { cidr = "2001:db8:b::/48" },
    ]
"#;

#[test]
fn the_most_specific_rule_decides() {
    check(
        RULES,
        [
            case("no rule", [passes(udp("192.0.2.9"), Pass)]),
            case(
                "the address before a denied net",
                [passes(udp("203.0.112.255"), Pass)],
            ),
            case(
                "the first of a denied net",
                [drops(udp("203.0.113.0"), Deny)],
            ),
            case(
                "the last of a denied net",
                [drops(udp("203.0.113.255"), Deny)],
            ),
            case(
                "an allowed net in a denied one",
                [passes(udp("203.0.113.16"), Allow)],
            ),
            case(
                "a denied address in that",
                [drops(udp("203.0.113.20"), Deny)],
            ),
            case(
                "an allowed address in a denied net",
                [passes(udp("203.0.113.40"), Allow)],
            ),
            case(
                "allowed and denied alike",
                [passes(udp("198.51.100.1"), Allow)],
            ),
            case(
                "the other half of its net",
                [passes(udp("198.51.100.128"), Pass)],
            ),
            case("no rule, IPv6", [passes(udp("2001:db8:c::1"), Pass)]),
            case("a denied net, IPv6", [drops(udp("2001:db8:a:2::1"), Deny)]),
            case(
                "an allowed net in that",
                [passes(udp("2001:db8:a:1::1"), Allow)],
            ),
            case(
                "a denied address in that, IPv6",
                [drops(udp("2001:db8:a:1::bad"), Deny)],
            ),
            case(
                "allowed and denied alike, IPv6",
                [passes(udp("2001:db8:b::1"), Allow)],
            ),
        ],
    );
}

#[test]
fn a_rule_holds_for_every_kind_of_packet() {
    let denied = || from("203.0.113.9");
    let denied_v6 = || from("2001:db8:a::9");
    check(
        RULES,
        [
            case("a SYN", [drops(syn("203.0.113.9", 443), Deny)]),
            case("an ACK", [drops(ack("203.0.113.9", 22), Deny)]),
            case("a ping", [drops(denied().icmp(8, 0), Deny)]),
            case("a ping, IPv6", [drops(denied_v6().icmpv6(128, 0), Deny)]),
            case(
                "another protocol",
                [drops(denied().protocol(47).payload([0; 30]), Deny)],
            ),
            case("nothing behind the header", [drops(denied_v6(), Deny)]),
            case(
                "options",
                [drops(denied().options(&[1; 40]).udp(1, 2), Deny)],
            ),
            case(
                "a later fragment",
                [drops(
                    denied().fragment(1, 9, true).udp(1, 2).payload([0; 8]),
                    Deny,
                )],
            ),
            case(
                "extension headers",
                [drops(
                    denied_v6().extension(Extension::Destination(1)).udp(1, 2),
                    Deny,
                )],
            ),
            case("a VLAN tag", [drops(denied().vlan(5).udp(1, 2), Deny)]),
            case(
                "two VLAN tags",
                [drops(denied().service_vlan(5).vlan(6).udp(1, 2), Deny)],
            ),
            case(
                "two VLAN tags, IPv6",
                [drops(denied_v6().vlan(5).vlan(6).udp(1, 2), Deny)],
            ),
            case(
                "an IPv4 address in its IPv6 form",
                [
                    drops(udp("::ffff:203.0.113.9"), Deny),
                    passes(udp("::ffff:203.0.113.40"), Allow),
                ],
            ),
            case(
                "padding, which is not counted",
                [drops(denied().udp(1, 2).build().pad(60), Deny).counted_as(42)],
            ),
        ],
    );
}

#[test]
fn what_is_not_ip_passes() {
    check(
        RULES,
        [
            case(
                "ARP, of a denied source too",
                [passes(Packet::arp("203.0.113.9", HOST_V4), Pass)],
            ),
            case(
                "padded, counted as it came",
                [passes(
                    Packet::arp("203.0.113.9", HOST_V4).build().pad(60),
                    Pass,
                )],
            ),
            case(
                "LLDP",
                [passes(Packet::ethertype(0x88cc).payload([0; 46]), Pass)],
            ),
            case(
                "a length instead of a type",
                [passes(Packet::ethertype(46).payload([0; 46]), Pass)],
            ),
            case(
                "nothing but an Ethernet header",
                [passes(Packet::ethertype(0x88cc), Pass)],
            ),
        ],
    );
}

#[test]
fn neighbour_discovery_passes_always() {
    let denied = |hops, kind| {
        from("2001:db8:a::9")
            .ttl(hops)
            .icmpv6(kind, 0)
            .payload([0; 16])
    };
    let mut cases: Vec<_> = (133..=137)
        .map(|kind| {
            case(
                format_args!("type {kind}"),
                [passes(denied(255, kind), Pass)],
            )
        })
        .collect();
    cases.push(case("through a router", [drops(denied(254, 135), Deny)]));
    cases.push(case("an echo request", [drops(denied(255, 128), Deny)]));
    let mapped = Packet::ipv6("::ffff:203.0.113.9", HOST_V6)
        .ttl(255)
        .icmpv6(135, 0);
    cases.push(case("from an IPv4 address", [passes(mapped, Pass)]));
    let disguised = from("203.0.113.9")
        .ttl(255)
        .protocol(58)
        .payload([135, 0, 0, 0, 0, 0, 0, 0]);
    cases.push(case("its protocol in IPv4", [drops(disguised, Deny)]));
    check(RULES, cases);
}

#[test]
fn one_family_of_rules_leaves_the_other_alone() {
    let everyone = |net: &str| format!("deny = [{{ cidr = \"{net}\", everyone = true }}]");
    check(
        &everyone("0.0.0.0/0"),
        [case(
            "IPv4",
            [
                drops(udp("192.0.2.9"), Deny),
                passes(udp("2001:db8::9"), Pass),
            ],
        )],
    );
    check(
        &everyone("::/0"),
        [case(
            "IPv6",
            [
                passes(udp("192.0.2.9"), Pass),
                drops(udp("2001:db8::9"), Deny),
            ],
        )],
    );
}

const LISTED: &str = r#"
    allow = [{ cidr = "198.51.100.7" }]
    deny = [{ cidr = "10.9.0.0/16" }]
    [limits]
    packets = "4/s"
    [[service]]
    name = "open"
    ports = [8000]
    [[service]]
    name = "inner"
    ports = [9443, "9500-9502"]
    on_plaintext = "drop"
    allow = ["10.0.0.0/8", "2001:db8:5::/48"]
    [[service]]
    name = "other"
    ports = [9600]
    encryption = "off"
    allow = ["172.16.0.0/12"]
"#;

#[test]
fn a_service_admits_those_it_lists() {
    let request = |source| ack(source, 9443).payload("GET / HTTP/1.1\r\n\r\n");
    check(
        LISTED,
        [
            case("listed", [passes(syn("10.0.0.1", 9443), Pass)]),
            case("not listed", [drops(syn("11.0.0.1", 9443), ServiceAcl)]),
            case(
                "not listed, in mid-connection",
                [drops(ack("11.0.0.1", 9443), ServiceAcl)],
            ),
            case("listed, IPv6", [passes(syn("2001:db8:5::1", 9443), Pass)]),
            case(
                "not listed, IPv6",
                [drops(syn("2001:db8:6::1", 9443), ServiceAcl)],
            ),
            case(
                "listed, in the IPv6 form",
                [passes(syn("::ffff:10.0.0.1", 9443), Pass)],
            ),
            case(
                "the first port of a range",
                [drops(syn("11.0.0.1", 9500), ServiceAcl)],
            ),
            case(
                "the last port of a range",
                [drops(syn("11.0.0.1", 9502), ServiceAcl)],
            ),
            case(
                "the port after a range",
                [passes(syn("11.0.0.1", 9503), Pass)],
            ),
            case(
                "a service without a list",
                [passes(syn("11.0.0.1", 8000), Pass)],
            ),
            case(
                "UDP to the same port",
                [passes(from("11.0.0.1").udp(1, 9443), Pass)],
            ),
            case(
                "another service's list",
                [drops(syn("10.0.0.1", 9600), ServiceAcl)],
            ),
            case("its own list", [passes(syn("172.31.0.1", 9600), Pass)]),
            case(
                "denied before it is asked for",
                [drops(syn("10.9.0.1", 9443), Deny)],
            ),
            case(
                "an allowed source is not exempt",
                [drops(syn("198.51.100.7", 9443), ServiceAcl)],
            ),
            case(
                "plaintext of a stranger is not looked at",
                [drops(request("11.0.0.1"), ServiceAcl)],
            ),
            case(
                "strangers use up no limit",
                [
                    drops(syn("11.0.0.1", 9443), ServiceAcl).times(9),
                    passes(udp("11.0.0.1"), Pass).times(4),
                    drops(udp("11.0.0.1"), LimitPackets),
                    drops(syn("11.0.0.1", 9443), ServiceAcl),
                ],
            ),
        ],
    );
}

#[test]
fn an_allowed_source_escapes_the_limits_only() {
    let request = ack("198.51.100.7", 8000).payload("GET / HTTP/1.1\r\n\r\n");
    check(
        LISTED,
        [
            case("limits", [passes(udp("198.51.100.7"), Allow).times(20)]),
            case("not plaintext", [passes(request, Plaintext)]),
        ],
    );
}

#[test]
fn in_dry_run_nothing_is_dropped() {
    let configuration = format!("dry_run = true\n{LISTED}");
    let request = ack("10.0.0.1", 9443).payload("GET / HTTP/1.1\r\n\r\n");
    check(
        &configuration,
        [
            case("deny", [would_drop(udp("10.9.0.1"), Deny)]),
            case("allow", [passes(udp("198.51.100.7"), Allow)]),
            case(
                "service_acl",
                [would_drop(syn("11.0.0.1", 9443), ServiceAcl)],
            ),
            case("plaintext", [would_drop(request, Plaintext)]),
            case(
                "limit_packets",
                [
                    passes(udp("11.0.0.1"), Pass).times(4),
                    would_drop(udp("11.0.0.1"), LimitPackets).times(3),
                ],
            ),
        ],
    );
}
