//! Lists of many addresses: each says what it says, and no other.

use std::{
    collections::HashMap,
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use guard_common::{
    reason::{Reason, Verdict},
    source::mix,
};

use crate::{
    case::udp,
    rig::{MANUAL, Rig, packet_names},
};

/// Addresses on the list, of both families together.
const LISTED: u64 = 40_000;
/// Addresses that are tried.
const TRIED: usize = 3_000;

/// An address of few enough that some are neighbours, and the documentation's.
fn address(number: u64) -> IpAddr {
    let bits = mix(number);
    if bits & 1 == 0 {
        Ipv4Addr::from_bits(0xc612_0000 + (bits >> 8) as u32 % (1 << 17)).into()
    } else {
        let low = u128::from(bits >> 8) % (1 << 17);
        Ipv6Addr::from_bits((0x2001_0db8 << 96) + (low << 60)).into()
    }
}

/// The list, one in four allowed, and a prefix of each family that lies across it.
fn listed() -> HashMap<IpAddr, Reason> {
    let numbers = 0..LISTED;
    let listed = numbers.map(|number| {
        let allowed = mix(number + LISTED).is_multiple_of(4);
        let reason = if allowed { Reason::Allow } else { Reason::Deny };
        (address(number), reason)
    });
    listed.collect()
}

fn configuration(listed: &HashMap<IpAddr, Reason>, prefixes: bool) -> String {
    let mut text = "[limits]\npackets = \"off\"\nconnections = \"off\"\n".to_owned();
    let mut entry = |list: &str, cidr: &str| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[[{list}]]\ncidr = \"{cidr}\"");
    };
    for (address, reason) in listed {
        entry(reason.name(), &address.to_string());
    }
    if prefixes {
        entry("deny", "198.18.0.0/16");
        entry("deny", "2001:db8::/52");
    }
    text
}

/// What must become of a packet from here.
fn expected(listed: &HashMap<IpAddr, Reason>, prefixes: bool, address: IpAddr) -> Reason {
    let in_prefix = match address {
        IpAddr::V4(address) => address.octets()[..2] == [198, 18],
        IpAddr::V6(address) => address.segments()[3] < 0x1000,
    };
    match listed.get(&address) {
        Some(reason) => *reason,
        None if prefixes && in_prefix => Reason::Deny,
        None => Reason::Pass,
    }
}

fn check(prefixes: bool) {
    let listed = listed();
    let mut rig = Rig::load(&configuration(&listed, prefixes), MANUAL);
    let rules = rig.kernel.rules();
    let of = |wanted| listed.values().filter(|reason| **reason == wanted).count() as u64;
    assert_eq!(rules.allow, of(Reason::Allow), "in force");
    assert_eq!(
        rules.deny,
        of(Reason::Deny) + 2 * u64::from(prefixes),
        "in force"
    );
    let tables = rig.kernel.tables();
    let spilled = tables.iter().find(|table| table.map == "ranges_v6");
    let spilled = spilled.and_then(|table| table.entries);
    assert!(
        spilled > Some(10),
        "some addresses have no room: {spilled:?}"
    );

    let mut seen = HashMap::<Reason, usize>::new();
    for number in 0..TRIED as u64 {
        let address = address(number * 17);
        let reason = expected(&listed, prefixes, address);
        let frame = udp(&address.to_string()).build();
        let (passed, counts) = rig.observe(|rig| rig.passes(&frame));
        let verdict = if reason == Reason::Deny {
            Verdict::Drop
        } else {
            Verdict::Pass
        };
        let [packets, _] = packet_names(verdict, reason);
        assert_eq!(passed, verdict == Verdict::Pass, "{address}: {counts:?}");
        assert_eq!(counts.get(&packets), Some(&1), "{address}: {counts:?}");
        *seen.entry(reason).or_default() += 1;
    }
    assert!(
        seen.len() == 3 && seen.values().all(|count| *count > 100),
        "{seen:?}"
    );
}

#[test]
fn a_long_list_of_addresses_says_of_each_what_it_says() {
    check(false);
}

#[test]
fn an_address_goes_before_the_prefix_around_it() {
    check(true);
}
