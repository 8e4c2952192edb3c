//! Lists of networks that somebody else publishes.

use guard::config::{list, units};
use ipnet::IpNet;

use crate::assert_one_line;

/// What is wrong with a list is told of at most so many lines, and once that there are more.
const TOLD: usize = 6;

/// The first byte says whether networks may be of any length, and the list follows.
pub fn check(input: &[u8]) {
    let Some((everyone, text)) = input.split_first() else {
        return;
    };
    let everyone = everyone % 2 == 1;
    check_import(text);
    match list::parse(text, everyone) {
        Ok(nets) => {
            assert!(!nets.is_empty() && nets.is_sorted_by(|one, next| one < next));
            for net in &nets {
                assert_eq!(units::cidr(&net.to_string()), Ok(*net));
                assert!(everyone || is_narrow(*net), "{net}");
            }
            let lines: Vec<String> = nets.iter().map(|net| format!("{net}\n")).collect();
            assert_eq!(list::parse(lines.concat().as_bytes(), everyone), Ok(nets));
        }
        Err(wrong) => {
            assert!((1..=TOLD).contains(&wrong.len()));
            let lines = text.split(|byte| *byte == b'\n').count();
            for wrong in wrong {
                assert!(wrong.line.is_none_or(|line| (1..=lines).contains(&line)));
                assert_one_line(&wrong.invalid.to_string());
            }
        }
    }
}

/// The same list for the running agent: the networks of a feed, with reasons that a configuration
/// could give.
fn check_import(text: &[u8]) {
    let (added, nets) = (list::additions(text), list::parse(text, false));
    assert_eq!(added.is_ok(), nets.is_ok());
    let added = added.unwrap_or_default();
    assert!(
        added
            .iter()
            .map(|new| new.cidr)
            .eq(nets.unwrap_or_default())
    );
    for reason in added.iter().filter_map(|new| new.reason.as_deref()) {
        assert_eq!(units::reason(reason).as_deref(), Ok(reason));
    }
}

/// Nobody's network is larger, but for those from which nobody sends.
fn is_narrow(net: IpNet) -> bool {
    match net {
        IpNet::V4(net) => net.prefix_len() >= 8 || net.addr().octets()[0] >= 224,
        IpNet::V6(net) => net.prefix_len() >= 16,
    }
}
