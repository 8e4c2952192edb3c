//! The operator's allow and deny prefixes: the most specific one decides.

use guard_common::{packet::Address, reason::Reason, wire::Rule};

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
    const ALLOW: u32 = Rule::Allow as u32;

    let rule = match source {
        Address::V4(word) if settings::has_rules_v4() => maps::rule_v4(word),
        Address::V6(words) if settings::has_rules_v6() => maps::rule_v6(words),
        _ => None,
    };
    match rule {
        None => Ok(Standing::Unnamed),
        Some(ALLOW) => Ok(Standing::Allowed),
        Some(_) => Err(Refused(Reason::Deny)),
    }
}
