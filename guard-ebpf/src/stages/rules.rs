//! The operator's allow and deny prefixes: the most specific one decides.

use guard_common::{addresses::Found, packet::Address, reason::Reason};

use crate::{maps, pipeline::Refused, settings};

/// How a source stands with the operator.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// No rule names it.
    Unnamed,
    /// Allowed: no limit applies to it.
    Allowed,
}

impl Standing {
    /// What a packet that passes is counted under.
    #[inline(always)]
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Unnamed => Reason::Pass,
            Self::Allowed => Reason::Allow,
        }
    }
}

#[inline(always)]
pub(crate) fn check(source: Address) -> Result<Standing, Refused> {
    let found = match source {
        Address::V4(word) => {
            let listed = settings::has_addresses_v4();
            let found = if listed {
                maps::address_v4(word)
            } else {
                Found::Absent
            };
            most_specific(found, settings::has_rules_v4(), || maps::rule_v4(word))
        }
        Address::V6(words) => {
            let listed = settings::has_addresses_v6();
            let found = if listed {
                maps::address_v6(words)
            } else {
                Found::Absent
            };
            most_specific(found, settings::has_rules_v6(), || maps::rule_v6(words))
        }
    };
    match found {
        Found::Allow => Ok(Standing::Allowed),
        Found::Deny => Err(Refused(Reason::Deny)),
        Found::Absent | Found::Spilled => Ok(Standing::Unnamed),
    }
}

/// What is `found` of the address itself is the most specific rule there can be. Else the trie
/// decides, if it holds prefixes or the address may be in it for want of room.
#[inline(always)]
fn most_specific(found: Found, has_prefixes: bool, trie: impl FnOnce() -> u32) -> Found {
    match found {
        Found::Allow | Found::Deny => found,
        Found::Absent if !has_prefixes => found,
        Found::Absent | Found::Spilled => Found::rule(trie()),
    }
}
