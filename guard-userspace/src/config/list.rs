//! Lists of networks as they are published: an address, a network or a range of addresses a line.
//!
//! Such a list is somebody else's, so nothing in it is taken for granted, and none is taken in part.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::units::{self, Invalid, shown};
use crate::{entries::Addition, printable};

/// Entries of a list, at most.
pub(super) const MAX_ENTRIES: usize = 10_000_000;
/// Networks of a list are at least so long, of IPv4 and of IPv6.
const SHORTEST: [u8; 2] = [8, 16];
/// From here nobody sends: multicast and reserved. Lists of such networks hold it whole.
const NO_SENDERS: &str = "224.0.0.0/3";
/// Lines that are told of, at most.
const TOLD: usize = 5;

/// Who a list is for.
#[derive(Clone, Copy)]
enum Use {
    /// A feed, whose networks may be of any length when it is for `everyone`.
    Feed { everyone: bool },
    /// Entries of the running agent.
    Import,
}

/// What is wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The line, from 1; nothing when it is the whole list.
    pub line: Option<usize>,
    /// What it is, and the fix.
    pub invalid: Invalid,
}

/// The networks of a list in ascending order, each once. `everyone` says that they may be of any
/// length.
///
/// # Errors
/// What is wrong with a few of the lines, or with the whole: nothing of it is taken.
pub fn parse(text: &[u8], everyone: bool) -> Result<Vec<IpNet>, Vec<Wrong>> {
    let mut nets = read(text, Use::Feed { everyone }, |_, _| ())?;
    nets.sort_unstable();
    nets.dedup();
    Ok(nets)
}

/// The entries of a list that is added to a running agent, in ascending order, each once. The first
/// comment behind a network is why it is there: what a terminal would obey is escaped in it, and
/// what is too long left out.
///
/// # Errors
/// As [`parse`].
pub fn additions(text: &[u8]) -> Result<Vec<Addition>, Vec<Wrong>> {
    let mut reasons = BTreeMap::new();
    read(text, Use::Import, |nets, comment| {
        for net in nets {
            let reason = reasons.entry(*net).or_insert(None);
            *reason = reason.take().or_else(|| reason_in(comment));
        }
    })?;
    let additions = reasons.into_iter();
    Ok(additions
        .map(|(cidr, reason)| Addition { cidr, reason })
        .collect())
}

/// The reason in a comment, if there is one.
fn reason_in(comment: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(comment);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '#' || c == ';');
    let reason: String = printable::line(text)
        .chars()
        .take(units::REASON_CHARS)
        .collect();
    (!reason.is_empty()).then_some(reason)
}

/// All networks of a list; `each` is given those of every line, and its comment.
fn read(
    text: &[u8],
    used: Use,
    mut each: impl FnMut(&[IpNet], &[u8]),
) -> Result<Vec<IpNet>, Vec<Wrong>> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    if let Some(invalid) = other_than_a_list(text) {
        return Err(vec![Wrong::whole(invalid)]);
    }
    let (mut nets, mut wrong) = (Vec::new(), Vec::new());
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let comment = line.iter().position(|byte| matches!(byte, b'#' | b';'));
        let (entry, comment) = line.split_at(comment.unwrap_or(line.len()));
        let before = nets.len();
        match read_line(entry, used, &mut nets) {
            Ok(()) => each(&nets[before..], comment),
            Err(invalid) => wrong.push(Wrong {
                line: Some(number),
                invalid,
            }),
        }
        if wrong.len() > TOLD {
            wrong.truncate(TOLD);
            wrong.push(Wrong::whole(Invalid::new(
                "there are more such lines",
                "is this the right file? a list has an address or a network a line",
            )));
            break;
        }
        if nets.len() > MAX_ENTRIES {
            wrong.push(Wrong::whole(Invalid::new(
                format!("there are more than {MAX_ENTRIES} entries"),
                "take a shorter list",
            )));
            break;
        }
    }
    if nets.is_empty() && wrong.is_empty() {
        wrong.push(Wrong::whole(Invalid::new(
            "there is no entry in it",
            match used {
                Use::Feed { .. } => {
                    "get the list again; or, if it is to be empty, remove this [[feed]]"
                }
                Use::Import => "name a file with an address or a network a line",
            },
        )));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(nets)
}

impl Wrong {
    fn whole(invalid: Invalid) -> Self {
        Self {
            line: None,
            invalid,
        }
    }
}

/// What is wrong, in one sentence with the fix.
pub fn sentence(wrong: &[Wrong]) -> String {
    let Some(Wrong { line, invalid }) = wrong.first() else {
        return String::new();
    };
    let line = line.map_or(String::new(), |line| format!("line {line}: "));
    format!("{line}{}: {}", invalid.message, invalid.help)
}

/// What the file is in place of a list, if that is plain to see.
fn other_than_a_list(text: &[u8]) -> Option<Invalid> {
    if text.contains(&0) {
        return Some(Invalid::new(
            "this is no text",
            "a list has an address or a network a line; one that is compressed has to be unpacked",
        ));
    }
    if text.trim_ascii_start().starts_with(b"<") {
        return Some(Invalid::new(
            "this is a web page, or XML",
            "get the list itself: an address or a network a line",
        ));
    }
    None
}

/// Adds what a line without its comment names.
fn read_line(entry: &[u8], used: Use, nets: &mut Vec<IpNet>) -> Result<(), Invalid> {
    let entry = entry.trim_ascii();
    if entry.is_empty() {
        return Ok(());
    }
    let entry = str::from_utf8(entry).map_err(|_| {
        let text = String::from_utf8_lossy(entry);
        not_an_entry(&text)
    })?;
    let before = nets.len();
    match entry.split_once('-') {
        Some((first, last)) => add_range(entry, first.trim(), last.trim(), nets)?,
        None => nets.push(units::cidr(entry)?),
    }
    let any_length = matches!(used, Use::Feed { everyone: true });
    let too_wide = |net: &&IpNet| !any_length && is_too_wide(net);
    match nets[before..].iter().find(too_wide) {
        Some(net) => Err(wide(entry, net, used)),
        None => Ok(()),
    }
}

fn is_too_wide(net: &IpNet) -> bool {
    let shortest = match net {
        IpNet::V4(_) => SHORTEST[0],
        IpNet::V6(_) => SHORTEST[1],
    };
    let has_senders = || {
        NO_SENDERS
            .parse()
            .is_ok_and(|around: IpNet| !around.contains(net))
    };
    net.prefix_len() < shortest && has_senders()
}

fn wide(entry: &str, net: &IpNet, used: Use) -> Invalid {
    let message = if net.prefix_len() == 0 {
        format!("`{}` is everyone", shown(entry))
    } else {
        format!("`{}` is more than a list may name", shown(entry))
    };
    let [v4, v6] = SHORTEST;
    let instead = match used {
        Use::Feed { .. } => "add `everyone = true` to this [[feed]]",
        Use::Import => "`add` it by hand",
    };
    Invalid::new(
        message,
        format!(
            "a list's networks are /{v4} or longer, of IPv6 /{v6}: remove the line; or, if it is \
             meant, {instead}"
        ),
    )
}

fn not_an_entry(text: &str) -> Invalid {
    Invalid::new(
        format!("`{}` is not an IP address", shown(text)),
        "write an address, a network like 192.0.2.0/24, or a range like 192.0.2.3-192.0.2.9",
    )
}

/// Adds the networks that make up a range of addresses.
fn add_range(entry: &str, first: &str, last: &str, nets: &mut Vec<IpNet>) -> Result<(), Invalid> {
    let ends = (first.parse::<IpAddr>(), last.parse::<IpAddr>());
    let (Ok(first), Ok(last)) = ends else {
        return Err(not_an_entry(entry));
    };
    let made = match (first.to_canonical(), last.to_canonical()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (first.to_bits().into(), last.to_bits().into());
            split(32, first, last, |start, len| {
                let net = Ipv4Net::new((start as u32).into(), len);
                nets.extend(net.map(IpNet::V4));
            })
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => {
            split(128, first.to_bits(), last.to_bits(), |start, len| {
                let net = Ipv6Net::new(start.into(), len);
                nets.extend(net.map(IpNet::V6));
            })
        }
        _ => false,
    };
    if made {
        return Ok(());
    }
    Err(Invalid::new(
        format!("the range `{}` runs backwards", shown(entry)),
        "write the lower address first, and both of one family",
    ))
}

/// The fewest prefixes that hold the addresses from `first` to `last` and no other; false when there
/// are none.
fn split(bits: u32, first: u128, last: u128, mut prefix: impl FnMut(u128, u8)) -> bool {
    let mut start = first;
    while start <= last {
        // As many as begin at a multiple of their number, and end within.
        let left = last - start;
        let fits = left.checked_add(1).map_or(bits, u128::ilog2);
        let hosts = start.trailing_zeros().min(bits).min(fits);
        prefix(start, (bits - hosts) as u8);
        let Some(next) = 1_u128
            .checked_shl(hosts)
            .and_then(|len| start.checked_add(len))
        else {
            break;
        };
        start = next;
    }
    first <= last
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nets(text: &str) -> Vec<String> {
        let nets = parse(text.as_bytes(), false).expect("a list");
        nets.iter().map(ToString::to_string).collect()
    }

    fn wrong(text: &[u8]) -> Vec<(Option<usize>, String)> {
        let wrong = parse(text, false).expect_err("no list");
        let told = wrong.into_iter();
        told.map(|wrong| (wrong.line, wrong.invalid.to_string()))
            .collect()
    }

    #[test]
    fn lists_as_they_are_published_are_read() {
        let text = "\u{feff}# a comment, as of caf\u{e9}s\r\n; another\r\n\r\n\
                    192.0.2.7\r\n198.51.100.0/24 ; SBL1\n  2001:db8::/32\t# why\n\
                    192.0.2.7/32\n::ffff:203.0.113.0/120\n224.0.0.0/3\n2001:db8::1";
        assert_eq!(
            nets(text),
            [
                "192.0.2.7/32",
                "198.51.100.0/24",
                "203.0.113.0/24",
                "224.0.0.0/3",
                "2001:db8::/32",
                "2001:db8::1/128",
            ]
        );
    }

    #[test]
    fn what_is_added_has_the_reasons_of_the_list() {
        let text = "\u{feff}# of the whole\n192.0.2.7 # scanner\x1b[2J\n2001:db8::/32\n\
                    192.0.2.7/32 ; again\n198.51.100.0-198.51.100.2 ;; SBL1\r\n";
        let added = additions(text.as_bytes()).expect("a list");
        let told: Vec<_> = added
            .iter()
            .map(|new| (new.cidr.to_string(), new.reason.as_deref()))
            .collect();
        let scanner = "scanner\\u{1b}[2J";
        assert_eq!(
            told,
            [
                ("192.0.2.7/32".to_owned(), Some(scanner)),
                ("198.51.100.0/31".to_owned(), Some("SBL1")),
                ("198.51.100.2/32".to_owned(), Some("SBL1")),
                ("2001:db8::/32".to_owned(), None),
            ]
        );
        let long = format!("192.0.2.7 # {}", "\u{1b}".repeat(1_000));
        let added = additions(long.as_bytes()).expect("a list");
        let reason = added[0].reason.as_deref().expect("a reason");
        assert_eq!(units::reason(reason).as_deref(), Ok(reason));
    }

    #[test]
    fn what_may_not_be_added_is_told_without_feeds() {
        for text in ["", "0.0.0.0/0", "10.0.0.0/7", "x", "<html>", "\0"] {
            let wrong = additions(text.as_bytes()).expect_err("no list");
            let told = format!("{wrong:?}");
            assert!(!told.contains("feed"), "{told}");
        }
    }

    #[test]
    fn ranges_become_networks() {
        let text = "192.0.2.3-192.0.2.10\n2001:db8:: - 2001:db8::ffff\n10.0.0.0-10.255.255.255";
        assert_eq!(
            nets(text),
            [
                "10.0.0.0/8",
                "192.0.2.3/32",
                "192.0.2.4/30",
                "192.0.2.8/31",
                "192.0.2.10/32",
                "2001:db8::/112",
            ]
        );
        let everyone = parse(b"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", true);
        assert_eq!(everyone.map(|nets| nets[0].prefix_len()), Ok(0));
    }

    #[test]
    fn what_is_wrong_has_its_line_and_the_fix() {
        for (text, line, message) in [
            ("\n \n# only comments\n", None, "no entry"),
            ("", None, "no entry"),
            ("\n<!doctype html>\n", None, "a web page"),
            ("\u{1f}\u{8b}\u{8}\0\0", None, "unpacked"),
            (
                "192.0.2.1\n0.0.0.0 ads.example\n",
                Some(2),
                "`0.0.0.0 ads.example` is not",
            ),
            ("192.0.2.1/24", Some(1), "write \"192.0.2.0/24\""),
            ("192.0.2.1/33", Some(1), "longer than an IPv4 address"),
            ("\n\n0.0.0.0/0", Some(3), "is everyone"),
            ("::/0", Some(1), "`everyone = true`"),
            ("::ffff:0:0/96", Some(1), "is everyone"),
            ("10.0.0.0/7", Some(1), "/8 or longer"),
            ("192.0.0.0/2", Some(1), "/8 or longer"),
            ("2000::/15", Some(1), "of IPv6 /16"),
            ("0.0.0.0-255.255.255.255", Some(1), "is everyone"),
            ("1.0.0.0-5.0.0.0", Some(1), "more than a list may name"),
            ("192.0.2.9-192.0.2.3", Some(1), "runs backwards"),
            ("192.0.2.9-2001:db8::", Some(1), "of one family"),
            ("192.0.2.9-30", Some(1), "`192.0.2.9-30` is not"),
            ("192.0.2.1\r192.0.2.2", Some(1), "\\r"),
        ] {
            let told = wrong(text.as_bytes());
            assert_eq!(told.len(), 1, "{text:?}: {told:?}");
            assert_eq!(told[0].0, line, "{text:?}: {told:?}");
            assert!(told[0].1.contains(message), "{text:?}: {told:?}");
        }
        assert!(wrong(b"\xff\xfe1")[0].1.contains("is not an IP address"));
    }

    #[test]
    fn of_many_wrong_lines_a_few_are_told() {
        let told = wrong("not an address\n192.0.2.1\n".repeat(100).as_bytes());
        assert_eq!(told.len(), TOLD + 1);
        assert_eq!(told[TOLD - 1].0, Some(9));
        assert!(told[TOLD].1.contains("more such lines"));
    }

    #[test]
    fn everyone_may_be_meant() {
        let nets = parse(b"0.0.0.0/0\n::/0", true).expect("a list");
        assert_eq!(nets.len(), 2);
    }

    /// Bytes made of what lists are made of.
    fn list_like() -> impl Strategy<Value = Vec<u8>> {
        let pieces: Vec<&[u8]> = vec![
            b"192.0.2.1",
            b"10.0.0.0/8",
            b"2001:db8::",
            b"/",
            b"-",
            b"\n",
            b"\r\n",
            b"#",
            b";",
            b" ",
            b"\xff",
            b"\0",
            b"<",
            b"::",
            b"255",
            b".",
            b"0.0.0.0",
        ];
        let piece = prop::sample::select(pieces);
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_list_panics(text in list_like(), everyone: bool) {
            match parse(&text, everyone) {
                Ok(nets) => prop_assert!(nets.is_sorted_by(|one, next| one < next)),
                Err(wrong) => prop_assert!((1..=TOLD + 1).contains(&wrong.len())),
            }
        }

        #[test]
        fn a_range_is_split_into_just_its_addresses(ends in [0..256_u128, 0..256]) {
            let (first, last) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
            let mut next = first;
            let made = split(8, first, last, |start, len| {
                assert_eq!(start, next, "without gaps");
                assert!(start.is_multiple_of(1 << (8 - len)), "aligned");
                next = start + (1 << (8 - len));
            });
            prop_assert!(made);
            prop_assert_eq!(next, last + 1);
        }
    }
}
