//! The operator's allow and deny entries: the most specific one decides. The host's own addresses
//! are among them, since nobody else has them. Where the operator says nothing, feeds decide, then
//! bans.

use guard_common::{
    facts::Facts,
    packet::Address,
    reason::Reason,
    wire::{Rule, RuleWord},
};

use crate::{
    maps::{self, Family},
    pipeline::Refused,
};

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

/// The rule for the packet's source.
#[inline(always)]
pub(crate) fn of(facts: &Facts) -> RuleWord {
    match facts.source() {
        Address::V4(word) => {
            let listed = maps::address_v4(word, facts.hash);
            match half_to_ask(listed, Family::V4) {
                0 => listed,
                half => RuleWord(guard_prefix_v4(half, u32::from_be(word), listed.0)),
            }
        }
        Address::V6(words) => {
            let listed = maps::address_v6(words, facts.hash);
            let [high, low] = words.map(u64::from_be);
            match half_to_ask(listed, Family::V6) {
                0 => listed,
                half => RuleWord(guard_prefix_v6(half, high, low, listed.0)),
            }
        }
    }
}

/// The half of the ranges that has to be asked too when the single address is `listed` as this; zero
/// where no prefix can say otherwise, since what lists it is the operator's, or no prefix is.
#[inline(always)]
fn half_to_ask(listed: RuleWord, family: Family) -> u32 {
    if listed.is_operators() || listed.is_some() && !maps::has_operator_prefixes(family) {
        return 0;
    }
    maps::half(family)
}

/// Of the rules for the single address, which is not the operator's, and for the prefixes around it
/// the one that decides.
#[inline(always)]
fn deciding(listed: RuleWord, around: RuleWord) -> RuleWord {
    if listed.is_some() && !around.is_operators() {
        return listed;
    }
    around
}

/// Nobody else has the host's own addresses.
#[inline(always)]
pub(crate) fn refuse_own(rule: RuleWord) -> Result<(), Refused> {
    if rule.rule() == Some(Rule::Own) {
        return Err(Reason::Spoofed.into());
    }
    Ok(())
}

/// What the rule says of the packet.
#[inline(always)]
pub(crate) fn check(rule: RuleWord) -> Result<Standing, Refused> {
    let Some(said) = rule.rule() else {
        return Ok(Standing::Unnamed);
    };
    maps::count_rule(rule.number());
    match said {
        Rule::Allow => Ok(Standing::Allowed),
        Rule::Deny => Err(Reason::Deny.into()),
        // Refused before.
        Rule::Own => Err(Reason::Spoofed.into()),
        Rule::Feed => Err(Reason::Feed.into()),
        Rule::Ban => Err(Reason::Ban.into()),
    }
}

/// The rule of an address that is `listed` as this, and of the prefixes around it. A function of its
/// own, which the verifier goes through once and not once for each way that leads here. On some
/// processors a call costs ten nanoseconds, so there is none where there are no prefixes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_prefix_v4(half: u32, address: u32, listed: u32) -> u32 {
    deciding(RuleWord(listed), maps::range_v4(half, address)).0
}

/// The same for IPv6.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_prefix_v6(half: u32, high: u64, low: u64, listed: u32) -> u32 {
    deciding(RuleWord(listed), maps::range_v6(half, [high, low])).0
}
