//! What `resolv.conf` says of whom a host asks for names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use guard::resolvers;

/// The input is such a file; and, as bytes, an address, which is added to it.
pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let named = resolvers::servers(&text);
    for address in &named {
        assert_eq!(*address, address.to_canonical());
        assert!(!address.is_unspecified(), "nobody");
    }
    // Whatever came before, a line of its own says what it says.
    let added: IpAddr = match (input.first_chunk::<16>(), input.first_chunk::<4>()) {
        (Some(octets), _) => Ipv6Addr::from(*octets).into(),
        (None, Some(octets)) => Ipv4Addr::from(*octets).into(),
        (None, None) => return,
    };
    let mut expected = named;
    expected.extend(Some(added.to_canonical()).filter(|address| !address.is_unspecified()));
    let text = format!("{text}\nnameserver {added}\n");
    assert_eq!(resolvers::servers(&text), expected);
}
