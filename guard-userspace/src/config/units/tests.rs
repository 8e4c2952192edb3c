use proptest::prelude::*;

use super::*;

#[test]
fn a_network_is_written_in_one_way() {
    for (text, network) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("192.0.2.10", "192.0.2.10/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::ffff:192.0.2.10", "192.0.2.10/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
    ] {
        assert_eq!(
            cidr(text).map(|network| network.to_string()).as_deref(),
            Ok(network),
            "{text}"
        );
    }
}

#[test]
fn a_network_with_a_typo_is_refused_with_the_fix() {
    for (text, message, help) in [
        ("10.0.0.1/8", "beyond its prefix length", "\"10.0.0.0/8\""),
        ("10.0.0.1/8", "beyond its prefix length", "\"10.0.0.1/32\""),
        (
            "::ffff:10.0.0.1/104",
            "`::ffff:10.0.0.1/104` has",
            "\"10.0.0.0/8\"",
        ),
        ("2001:db8::1/32", "beyond", "\"2001:db8::/32\""),
        ("10.0.0.0/33", "33 is longer than an IPv4", "0 to 32"),
        ("::/129", "129 is longer than an IPv6", "0 to 128"),
        ("10.0.0.0/", "`/` is not a prefix length", "0 to 32"),
        ("10.0.0.0/-1", "`/-1` is not", "0 to 32"),
        ("10.0.0.0/8/8", "`/8/8` is not", "0 to 32"),
        (
            "fe80::1%eth0",
            "`fe80::1%eth0` is not an IP",
            "2001:db8::/32",
        ),
        ("", "`` is not an IP", "192.0.2.0/24"),
        (" 10.0.0.1", "not an IP", "192.0.2.0/24"),
        ("example.com", "not an IP", "192.0.2.0/24"),
    ] {
        let invalid = cidr(text).expect_err(text);
        assert!(invalid.message.contains(message), "{text}: {invalid}");
        assert!(invalid.help.contains(help), "{text}: {invalid}");
    }
}

#[test]
fn ports_are_a_number_or_a_range() {
    assert_eq!(ports("1"), Ok(1..=1));
    assert_eq!(ports("65535"), Ok(65_535..=65_535));
    assert_eq!(ports("9000-9010"), Ok(9_000..=9_010));
    assert_eq!(ports("80-80"), Ok(80..=80));
    for text in [
        "0",
        "65536",
        "99999999999999999999",
        "",
        "-",
        "80-",
        "-80",
        "90-80",
        "80 ",
        "0x50",
        "+80",
    ] {
        assert!(ports(text).is_err(), "{text:?}");
    }
}

#[test]
fn a_burst_is_ten_milliseconds_to_an_hour() {
    for (text, millis) in [
        ("10ms", 10),
        ("1s", 1_000),
        ("90s", 90_000),
        ("1m", 60_000),
        ("1h", 3_600_000),
    ] {
        assert_eq!(burst(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in [
        "9ms",
        "0s",
        "61m",
        "1d",
        "s",
        "1.5s",
        "",
        "99999999999999999999s",
        "18446744073709551615h",
    ] {
        assert!(burst(text).is_err(), "{text:?}");
    }
}

#[test]
fn an_address_to_listen_on_has_a_port() {
    assert_eq!(listen("[::1]:0").map(|address| address.port()), Ok(0));
    for (text, help) in [
        ("127.0.0.1", "\"127.0.0.1:9797\""),
        ("::1", "\"[::1]:9797\""),
        (":9797", "\"127.0.0.1:9797\""),
        ("localhost:9797", "\"127.0.0.1:9797\""),
        ("127.0.0.1:70000", "\"127.0.0.1:9797\""),
    ] {
        let invalid = listen(text).expect_err(text);
        assert!(invalid.help.contains(help), "{text}: {invalid}");
    }
}

#[test]
fn names_are_what_the_kernel_and_a_metric_label_take() {
    for name in ["eth0", "br-1234567890ab", "eth0.100", "veth@x"] {
        assert_eq!(interface(name).as_deref(), Ok(name));
    }
    for name in [
        "",
        ".",
        "..",
        "a/b",
        "a b",
        "a:b",
        "a\u{1b}b",
        "sixteen-bytes-xx",
    ] {
        assert!(interface(name).is_err(), "{name:?}");
    }
    for name in ["a", "orders-v2_eu", "a23456789012345678901234567890ab"] {
        assert_eq!(service_name(name).as_deref(), Ok(name));
    }
    for name in [
        "",
        "A",
        "a b",
        "\u{e9}",
        "a\"",
        "a23456789012345678901234567890abc",
    ] {
        assert!(service_name(name).is_err(), "{name:?}");
    }
}

#[test]
fn a_socket_path_fits_the_kernel() {
    assert!(socket(&"s".repeat(107)).is_ok());
    assert!(socket(&"s".repeat(108)).is_err());
    assert!(socket("").is_err());
}

#[test]
fn what_is_quoted_stays_short_and_on_one_line() {
    assert_eq!(shown("a\nb\u{1b}"), "a\\nb\\u{1b}");
    assert_eq!(shown(&"x".repeat(1_000)).len(), 63);
}

proptest! {
    #[test]
    fn a_network_reads_as_it_is_written(address: IpAddr, length in 0_u8..=128) {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let network = IpNet::new(address, length % (longest + 1)).expect("a prefix length").trunc();
        let read = cidr(&network.to_string()).expect("a network");
        prop_assert_eq!(cidr(&read.to_string()), Ok(read));
        prop_assert_eq!(read, unmapped(network));
    }

    #[test]
    fn a_duration_reads_as_it_is_written(millis in 10_u64..=3_600_000) {
        let duration = Duration::from_millis(millis);
        prop_assert_eq!(burst(&duration_text(duration)), Ok(duration));
    }

    #[test]
    fn no_text_panics(text in ".*") {
        let _ = (cidr(&text), ports(&text), burst(&text), listen(&text));
        let _ = (interface(&text), service_name(&text), reason(&text), socket(&text));
    }
}
