//! Names a peer sent, as far as they are safe to log.

use std::net::Ipv4Addr;

/// The longest host name, in bytes: 255 on the wire (RFC 1035 section 2.3.4).
const HOST_LIMIT: usize = 253;
/// The longest label of a host name, in bytes.
const LABEL_LIMIT: usize = 63;
/// The longest protocol name told, in bytes.
const PROTOCOL_LIMIT: usize = 32;
/// The most protocol names told.
const PROTOCOLS_LIMIT: usize = 8;

/// A DNS name in lower case. `_` is no host name's, but in use. An address is no name (RFC 6066
/// section 3).
pub(super) fn host(bytes: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(bytes).ok()?;
    let is_name = name.len() <= HOST_LIMIT && name.split('.').all(is_label);
    let is_address = name.parse::<Ipv4Addr>().is_ok();
    (is_name && !is_address).then(|| name.to_ascii_lowercase())
}

fn is_label(label: &str) -> bool {
    (1..=LABEL_LIMIT).contains(&label.len())
        && label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A protocol name of printable ASCII.
pub(super) fn protocol(bytes: &[u8]) -> Option<String> {
    let is_short = (1..=PROTOCOL_LIMIT).contains(&bytes.len());
    let is_printable = bytes.iter().all(|byte| matches!(byte, b' '..=b'~'));
    let name = std::str::from_utf8(bytes).ok()?;
    (is_short && is_printable).then(|| name.to_owned())
}

/// The first protocol names of printable ASCII.
pub(super) fn protocols(names: &[&[u8]]) -> Vec<String> {
    let printable = names.iter().filter_map(|name| protocol(name));
    printable.take(PROTOCOLS_LIMIT).collect()
}
