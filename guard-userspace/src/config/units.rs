//! The small values of a configuration, shared by the TOML file and the flags.
//!
//! Each function reads one value or says what is wrong with it and what to write instead.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::control::{LONGEST_BYPASS, LONGEST_TRIAL};
use ipnet::{IpNet, Ipv4Net};
use nix::unistd::Group;
use thiserror::Error;

use crate::printable;

/// A value that cannot be used: what is wrong with it, and the fix.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{message}: {help}")]
pub struct Invalid {
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Invalid {
    /// Both halves of the explanation.
    pub fn new(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            help: help.into(),
        }
    }
}

/// Reads an address or a network in CIDR notation: `192.0.2.10`, `10.0.0.0/8`, `2001:db8::/32`.
///
/// An IPv4-mapped network (`::ffff:a.b.c.d/n`, n ≥ 96) is the IPv4 network it stands for. Bits
/// beyond the prefix length are refused, as they mean that one of the two is a typo.
pub fn cidr(text: &str) -> Result<IpNet, Invalid> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| {
        Invalid::new(
            format!("`{}` is not an IP address", shown(address)),
            "write a network like \"192.0.2.0/24\" or \"2001:db8::/32\", or one address",
        )
    })?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Ok(longest), |length| prefix_length(length, longest))?;
    let network = IpNet::new(address, length).map_err(|_| too_long(length.into(), longest))?;
    without_host_bits(text, unmapped(network))
}

fn prefix_length(text: &str, longest: u8) -> Result<u8, Invalid> {
    let length: u64 = text.parse().map_err(|_| {
        Invalid::new(
            format!("`/{}` is not a prefix length", shown(text)),
            format!("write a number from 0 to {longest} after the slash"),
        )
    })?;
    u8::try_from(length)
        .ok()
        .filter(|length| *length <= longest)
        .ok_or_else(|| too_long(length, longest))
}

fn too_long(length: u64, longest: u8) -> Invalid {
    let family = if longest == 32 { "an IPv4" } else { "an IPv6" };
    Invalid::new(
        format!("prefix length {length} is longer than {family} address"),
        format!("write a number from 0 to {longest} after the slash"),
    )
}

fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    let (Some(address), Some(length)) =
        (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96))
    else {
        return network;
    };
    Ipv4Net::new(address, length).map_or(network, IpNet::V4)
}

fn without_host_bits(text: &str, network: IpNet) -> Result<IpNet, Invalid> {
    let corrected = network.trunc();
    if network == corrected {
        return Ok(network);
    }
    let address = IpNet::from(network.addr());
    Err(Invalid::new(
        format!("`{text}` has bits set beyond its prefix length"),
        format!("write \"{corrected}\" for the network, or \"{address}\" for the one address"),
    ))
}

/// Reads a network to deny. Everyone is denied in the configuration only, where it can be said that
/// this is meant.
pub fn denied(text: &str) -> Result<IpNet, Invalid> {
    let net = cidr(text)?;
    if is_everyone(net) {
        return Err(Invalid::new(
            format!("`{net}` denies everyone"),
            "if that is meant, add a [[deny]] with `everyone = true` to the configuration",
        ));
    }
    Ok(net)
}

/// Whether a network holds all addresses of its family.
pub(crate) fn is_everyone(net: IpNet) -> bool {
    net.prefix_len() == 0
}

/// Reads a port (`8443`) or an inclusive range of ports (`9000-9010`), each 1 to 65535.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, Invalid> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) if !first.is_empty() => (port(first)?, port(last)?),
        _ => (port(text)?, port(text)?),
    };
    if first > last {
        return Err(Invalid::new(
            format!("the range {first}-{last} runs backwards"),
            format!("write \"{last}-{first}\""),
        ));
    }
    Ok(first..=last)
}

fn port(text: &str) -> Result<u16, Invalid> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Invalid::new(
            format!("`{}` is not a port number", shown(text)),
            "write a number from 1 to 65535, or a range like \"9000-9010\"",
        ));
    }
    match text.parse::<u16>() {
        Ok(port) if port != 0 => Ok(port),
        _ => Err(Invalid::new(
            format!("there is no port {}", shown(text)),
            "ports are numbers from 1 to 65535",
        )),
    }
}

/// Reads how much of a rate may come at once: 10 ms to 1 h.
pub fn burst(text: &str) -> Result<Duration, Invalid> {
    let burst = duration(text)?;
    if (Duration::from_millis(10)..=Duration::from_hours(1)).contains(&burst) {
        return Ok(burst);
    }
    Err(Invalid::new(
        format!("a burst of {} is out of range", shown(text)),
        "write a duration from \"10ms\" to \"1h\"",
    ))
}

/// Reads how long to wait between two looks: 200 ms to 1 min.
pub fn look_interval(text: &str) -> Result<Duration, Invalid> {
    let interval = duration(text)?;
    if (Duration::from_millis(200)..=Duration::from_mins(1)).contains(&interval) {
        return Ok(interval);
    }
    Err(Invalid::new(
        format!("an interval of {} is out of range", shown(text)),
        "write a duration from \"200ms\" to \"1m\"",
    ))
}

fn duration(text: &str) -> Result<Duration, Invalid> {
    split_number(text)
        .and_then(|(number, unit)| {
            let millis = DURATION_UNITS.iter().find(|(name, _)| *name == unit)?.1;
            number
                .parse::<u64>()
                .ok()?
                .checked_mul(millis)
                .map(Duration::from_millis)
        })
        .ok_or_else(|| {
            Invalid::new(
                format!("`{}` is not a duration", shown(text)),
                "write a whole number and one of ms, s, m or h, like \"500ms\" or \"1s\"",
            )
        })
}

/// Reads a time such as `2027-01-01T00:00:00Z`: seconds since 1970.
pub(super) fn time(text: &str) -> Result<u64, Invalid> {
    let time = text.parse::<jiff::Timestamp>().ok();
    let seconds = time.and_then(|time| u64::try_from(time.as_second()).ok());
    seconds.ok_or_else(|| {
        Invalid::new(
            format!("`{}` is not a time with its offset from UTC", shown(text)),
            "write it like \"2027-01-01T00:00:00Z\"",
        )
    })
}

/// The longest time that entries stay when it is said how long.
pub const LONGEST_PERIOD: Duration = Duration::from_hours(24 * 3_660);

/// Reads for how long something shall be: a whole number and `s`, `m`, `h` or `d`, up to ten years.
pub fn period(text: &str) -> Result<Duration, Invalid> {
    const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];
    const LONGEST: u64 = LONGEST_PERIOD.as_secs();
    let seconds = split_number(text).and_then(|(number, unit)| {
        let (_, seconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        number.parse::<u64>().ok()?.checked_mul(*seconds)
    });
    let seconds = seconds.filter(|seconds| (1..=LONGEST).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| {
        Invalid::new(
            format!("`{}` is not a time of up to ten years", shown(text)),
            "write a whole number and s, m, h or d, like \"10m\"",
        )
    })
}

/// Reads for how long something new is on trial: 1 s to 1 h.
pub fn trial(text: &str) -> Result<Duration, Invalid> {
    up_to(text, Duration::from_secs(LONGEST_TRIAL), "\"1s\" to \"1h\"")
}

/// Reads for how long everything passes: 1 s to 24 h.
pub fn bypass(text: &str) -> Result<Duration, Invalid> {
    up_to(
        text,
        Duration::from_secs(LONGEST_BYPASS),
        "\"1s\" to \"24h\"",
    )
}

/// Reads for how long a source may stay over its limit: 1 s to 1 h.
pub(super) fn patience(text: &str) -> Result<Duration, Invalid> {
    up_to(text, Duration::from_hours(1), "\"1s\" to \"1h\"")
}

/// Reads how long a ban lasts: 1 s to 30 days.
pub(super) fn ban(text: &str) -> Result<Duration, Invalid> {
    up_to(text, Duration::from_hours(30 * 24), "\"1s\" to \"30d\"")
}

/// Reads how old a fetched list may become: 10 s to 30 days.
pub(super) fn refresh(text: &str) -> Result<Duration, Invalid> {
    const RANGE: &str = "\"10s\" to \"30d\"";
    let refresh = up_to(text, Duration::from_hours(30 * 24), RANGE)?;
    if refresh < Duration::from_secs(10) {
        return Err(Invalid::new(
            format!("`{}` is too often", shown(text)),
            format!("write {RANGE}"),
        ));
    }
    Ok(refresh)
}

fn up_to(text: &str, longest: Duration, range: &str) -> Result<Duration, Invalid> {
    let period = period(text)?;
    if period <= longest {
        return Ok(period);
    }
    Err(Invalid::new(
        format!("`{}` is too long", shown(text)),
        format!("write {range}"),
    ))
}

/// Writes a duration as [`burst`] reads it.
pub(super) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (name, unit) = DURATION_UNITS
        .iter()
        .rev()
        .find(|(_, unit)| millis != 0 && millis.is_multiple_of(u128::from(*unit)))
        .unwrap_or(&DURATION_UNITS[0]);
    format!("{}{name}", millis / u128::from(*unit))
}

const DURATION_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// Splits `250k` into `250` and `k`; nothing when it does not start with a digit.
pub(super) fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// Reads the address to listen on for metrics and health: `127.0.0.1:9797`, `[::1]:9797`.
pub fn listen(text: &str) -> Result<SocketAddr, Invalid> {
    text.parse().map_err(|_| {
        let help = match text.parse::<IpAddr>() {
            Ok(address) => format!("add the port: \"{}\"", SocketAddr::new(address, 9797)),
            Err(_) => "write an IP address and a port, like \"127.0.0.1:9797\"".to_owned(),
        };
        Invalid::new(
            format!("`{}` is not an address and a port", shown(text)),
            help,
        )
    })
}

/// Reads the path of a Unix socket: at most 107 bytes, as the kernel takes no longer one.
pub fn socket(text: &str) -> Result<PathBuf, Invalid> {
    match text.len() {
        1..=107 => Ok(PathBuf::from(text)),
        0 => Err(Invalid::new(
            "the path is empty",
            "write one like \"/run/guard/guard.sock\"",
        )),
        length => Err(Invalid::new(
            format!("a socket path of {length} bytes is longer than the kernel takes"),
            "write one of up to 107 bytes",
        )),
    }
}

/// Reads a group of users by its name or number: its number.
pub fn group(text: &str) -> Result<u32, Invalid> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let found = Group::from_name(text).ok().flatten();
    found.map(|group| group.gid.as_raw()).ok_or_else(|| {
        Invalid::new(
            format!("there is no group `{}` on this host", shown(text)),
            "name one that `getent group` lists, or make it with `groupadd`",
        )
    })
}

/// Reads the name of a network interface, by the kernel's own rule.
pub fn interface(text: &str) -> Result<String, Invalid> {
    let forbidden = |c: char| c.is_whitespace() || printable::is_obeyed(c) || c == '/' || c == ':';
    if (1..=15).contains(&text.len()) && text != "." && text != ".." && !text.contains(forbidden) {
        return Ok(text.to_owned());
    }
    Err(Invalid::new(
        format!("`{}` cannot be the name of an interface", shown(text)),
        "`ip -brief link` lists the names: 1 to 15 bytes without a space, `/` or `:`",
    ))
}

/// Reads the name of a service, which becomes a metric label: `[a-z0-9_-]{1,32}`.
pub fn service_name(text: &str) -> Result<String, Invalid> {
    label(text).ok_or_else(|| {
        Invalid::new(
            format!("`{}` cannot be the name of a service", shown(text)),
            "it becomes a metric label: 1 to 32 of a-z, 0-9, `-` and `_`",
        )
    })
}

/// Reads the name of a feed: `[a-z0-9_-]{1,32}`.
pub fn feed_name(text: &str) -> Result<String, Invalid> {
    label(text).ok_or_else(|| {
        Invalid::new(
            format!("`{}` cannot be the name of a feed", shown(text)),
            "write 1 to 32 of a-z, 0-9, `-` and `_`",
        )
    })
}

fn label(text: &str) -> Option<String> {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    let is_label = (1..=32).contains(&text.len()) && text.bytes().all(known);
    is_label.then(|| text.to_owned())
}

/// Reads the path of a file.
pub fn path(text: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() {
        let help = "write one like \"/var/lib/guard/feeds/drop.netset\"";
        return Err(Invalid::new("the path is empty", help));
    }
    if text.contains(printable::is_obeyed) {
        return Err(Invalid::new(
            format!("the path `{}` cannot be shown on one line", shown(text)),
            "give the file a name without line breaks or control characters",
        ));
    }
    Ok(PathBuf::from(text))
}

/// Characters of a reason, at most.
pub const REASON_CHARS: usize = 200;

/// Reads why an entry is there: up to [`REASON_CHARS`] characters, none of which a terminal obeys.
pub fn reason(text: &str) -> Result<String, Invalid> {
    if text.chars().count() <= REASON_CHARS && !text.contains(printable::is_obeyed) {
        return Ok(text.to_owned());
    }
    Err(Invalid::new(
        "this reason cannot be shown on one line",
        "write up to 200 characters, without line breaks or control characters",
    ))
}

/// `text` as a message may show it: on one line, escaped, and cut when it is long.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    excerpt(text, LONGEST)
}

/// The same, cut after so many characters.
pub(crate) fn excerpt(text: &str, longest: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(longest)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(longest).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Reads one of `choices` by its name.
pub(crate) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Invalid> {
    if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    let help = match closest(text, &names) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => format!("write one of \"{}\"", names.join("\", \"")),
    };
    Err(Invalid::new(
        format!("`{}` is none of {}", shown(text), names.join(", ")),
        help,
    ))
}

/// The name that `text` is probably a typo of.
pub(super) fn closest<'n>(text: &str, names: &[&'n str]) -> Option<&'n str> {
    let allowed = (text.chars().count() / 3).clamp(1, 3);
    names
        .iter()
        .map(|name| (strsim::osa_distance(text, name), *name))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests;
