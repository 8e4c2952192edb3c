//! The routers by which this host reaches everybody else.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

const ROUTES: &str = "/proc/net/route";
const ROUTES_V6: &str = "/proc/net/ipv6_route";

/// The default gateways of both families.
pub(super) fn addresses() -> Vec<IpAddr> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (v4, v6) = (read(ROUTES), read(ROUTES_V6));
    let v4 = v4.lines().filter_map(gateway_v4).map(IpAddr::from);
    let v6 = v6.lines().filter_map(gateway_v6).map(IpAddr::from);
    let mut addresses: Vec<IpAddr> = v4.chain(v6).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Interface, destination, gateway, …, the mask as the eighth; words as they lie in memory.
pub(super) fn gateway_v4(line: &str) -> Option<Ipv4Addr> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let word = |at: usize| u32::from_str_radix(words.get(at)?, 16).ok();
    let is_default = word(1)? == 0 && word(7)? == 0;
    let gateway = Ipv4Addr::from(word(2)?.to_ne_bytes());
    (is_default && !gateway.is_unspecified()).then_some(gateway)
}

/// Destination and its length, source and its length, gateway.
pub(super) fn gateway_v6(line: &str) -> Option<Ipv6Addr> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let word = |at: usize| u128::from_str_radix(words.get(at)?, 16).ok();
    let is_default = word(0)? == 0 && word(1)? == 0;
    let gateway = Ipv6Addr::from_bits(word(4)?);
    (is_default && !gateway.is_unspecified()).then_some(gateway)
}
