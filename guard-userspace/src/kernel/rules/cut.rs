//! Prefixes cut into ranges, and the roots that lead to them.

use std::{collections::BTreeMap, ops::RangeInclusive};

use guard_common::{ranges::Root, wire::RuleWord};

/// A prefix as a number: the first of its addresses, and how many leading bits it has.
pub(super) type Prefix = (u128, u8);

/// A part of the address space of `bits` bits as ranges, each from its first address to the next
/// one's: in each holds the rule that decides there, of the prefixes around it the longest one of
/// the first layer. That of a single address yields to those of the operator only, as it does where
/// it lies in a line.
pub(super) fn cut(
    bits: u32,
    part: &RangeInclusive<u128>,
    prefixes: &BTreeMap<Prefix, RuleWord>,
) -> Vec<(u128, RuleWord)> {
    let (start, end) = (*part.start(), *part.end());
    let mut ranges = Ranges(vec![(start, RuleWord::NONE)]);
    // The prefixes around the current one, each with its last address and what decides in it.
    let mut around: Vec<(u128, RuleWord)> = Vec::new();
    for ((first, len), rule) in meeting(bits, part, prefixes) {
        ranges.resume(&mut around, |last| last < first);
        let outer = around.last().map_or(RuleWord::NONE, |(_, outer)| *outer);
        let may_decide = outer.is_operators() || u32::from(len) < bits;
        let rule = if may_decide && outer.goes_before(rule) {
            outer
        } else {
            rule
        };
        ranges.start(first.max(start), rule);
        around.push((last_of(bits, (first, len)), rule));
    }
    ranges.resume(&mut around, |last| last < end);
    ranges.0
}

/// The prefixes that hold addresses of `part`, in ascending order, each after those around it.
fn meeting<'p>(
    bits: u32,
    part: &RangeInclusive<u128>,
    prefixes: &'p BTreeMap<Prefix, RuleWord>,
) -> impl Iterator<Item = (Prefix, RuleWord)> + use<'p> {
    let (start, end) = (*part.start(), *part.end());
    // Those that hold the first address, the longest last, and those that begin behind it.
    let around = (0..=bits as u8).filter_map(move |len| {
        let prefix = (first_of(bits, start, len), len);
        prefixes.get(&prefix).map(|rule| (prefix, *rule))
    });
    let behind = (start < end).then(|| prefixes.range((start + 1, 0)..=(end, u8::MAX)));
    let behind = behind.into_iter().flatten();
    around.chain(behind.map(|(prefix, rule)| (*prefix, *rule)))
}

/// The first address of the prefix of length `len` around an address.
fn first_of(bits: u32, address: u128, len: u8) -> u128 {
    let hosts = bits - u32::from(len);
    address & u128::MAX.checked_shl(hosts).unwrap_or(0)
}

/// The last address of a prefix.
pub(super) fn last_of(bits: u32, (first, len): Prefix) -> u128 {
    let hosts = bits - u32::from(len);
    first | u128::MAX.checked_shr(u128::BITS - hosts).unwrap_or(0)
}

struct Ranges(Vec<(u128, RuleWord)>);

impl Ranges {
    /// Leaves the prefixes that are `over`: behind each, what decides in the one around it does.
    fn resume(&mut self, around: &mut Vec<(u128, RuleWord)>, over: impl Fn(u128) -> bool) {
        while let Some((last, _)) = around.pop_if(|(last, _)| over(*last)) {
            let rule = around.last().map_or(RuleWord::NONE, |(_, rule)| *rule);
            self.start(last + 1, rule);
        }
    }

    fn start(&mut self, start: u128, rule: RuleWord) {
        match self.0.last_mut() {
            Some(last) if last.0 == start => last.1 = rule,
            Some(last) if last.1 == rule => {}
            _ => self.0.push((start, rule)),
        }
    }
}

/// For each of `ends`, the last addresses of roots that follow each other, the root that leads to
/// its `ranges`, the first of which is at position `base` and begins where the first root does.
pub(super) fn roots(
    ranges: &[(u128, RuleWord)],
    base: u32,
    ends: impl Iterator<Item = u128>,
) -> impl Iterator<Item = Root> {
    let mut first = 0;
    ends.map(move |end| {
        let starts = |at: &usize| ranges[*at].0 <= end;
        let last = (first..ranges.len())
            .take_while(starts)
            .last()
            .unwrap_or(first);
        let root = Root::new(base + first as u32, base + last as u32);
        // The next root may begin within the range that this one ends in.
        first = last;
        root
    })
}

#[cfg(test)]
mod tests {
    use guard_common::wire::{Layer, Rule};
    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    /// Few bits, so that every address can be tried and prefixes meet often.
    const BITS: u32 = 8;
    const ALL: RangeInclusive<u128> = 0..=u8::MAX as u128;
    /// As if the addresses of a root were so many.
    const ROOT: u128 = 4;

    fn rules() -> impl Strategy<Value = RuleWord> {
        let rule = prop::sample::select(vec![Rule::Allow, Rule::Deny, Rule::Feed, Rule::Ban]);
        (rule, 0..3_u32).prop_map(|(rule, number)| RuleWord::new(rule, number))
    }

    fn prefixes() -> impl Strategy<Value = BTreeMap<Prefix, RuleWord>> {
        let prefix = (ALL, 0..=8_u8).prop_map(|(address, len)| (first_of(BITS, address, len), len));
        btree_map(prefix, rules(), 0..30)
    }

    /// The rule that decides for an address, by looking at all of them.
    fn deciding(prefixes: &BTreeMap<Prefix, RuleWord>, address: u128) -> RuleWord {
        let around = prefixes
            .iter()
            .filter(|(prefix, _)| (prefix.0..=last_of(BITS, **prefix)).contains(&address));
        let layers = [Layer::Operator, Layer::Feed, Layer::Ban];
        // Whatever a single address is listed for yields to the operator only.
        let listed = prefixes.get(&(address, BITS as u8));
        let has_operator = around.clone().any(|(_, rule)| rule.is_operators());
        if let Some(rule) = listed.filter(|_| !has_operator) {
            return *rule;
        }
        let of = |layer| {
            let of_layer = around
                .clone()
                .filter(move |(_, rule)| rule.layer() == Some(layer));
            of_layer.max_by_key(|((_, len), _)| *len)
        };
        let decides = layers.into_iter().find_map(of);
        decides.map_or(RuleWord::NONE, |(_, rule)| *rule)
    }

    proptest! {
        #[test]
        fn every_address_has_the_rule_that_decides(prefixes in prefixes()) {
            let ranges = cut(BITS, &ALL, &prefixes);
            prop_assert!(ranges.len() <= 2 * prefixes.len() + 1);
            prop_assert!(ranges.is_sorted_by_key(|(start, _)| *start));
            let base = 1000;
            let ends = (0..64).map(|root| root * ROOT + ROOT - 1);
            let roots: Vec<Root> = roots(&ranges, base, ends).collect();
            for address in ALL {
                let expected = deciding(&prefixes, address);
                let root = roots[(address / ROOT) as usize];
                let found = root.search(|at| ranges[(at - base) as usize].0 <= address);
                prop_assert_eq!(ranges[(found - base) as usize].1, expected, "{}", address);
            }
        }

        #[test]
        fn a_part_is_cut_like_the_whole(prefixes in prefixes(), ends in [ALL, ALL]) {
            let part = ends[0].min(ends[1])..=ends[0].max(ends[1]);
            let ranges = cut(BITS, &part, &prefixes);
            prop_assert_eq!(ranges[0].0, *part.start());
            prop_assert!(ranges.last().is_some_and(|(start, _)| part.contains(start)));
            for address in part {
                let range = ranges.iter().rfind(|(start, _)| *start <= address);
                let expected = deciding(&prefixes, address);
                prop_assert_eq!(range.map(|(_, rule)| *rule), Some(expected), "{}", address);
            }
        }
    }

    #[test]
    fn the_widest_and_the_last_prefix_have_an_end() {
        let rule = |number| RuleWord::new(Rule::Deny, number);
        let all = [((0, 0), rule(1)), ((u128::MAX, 128), rule(2))].into();
        let ranges = cut(128, &(0..=u128::MAX), &all);
        assert_eq!(ranges, [(0, rule(1)), (u128::MAX, rule(2))]);
        let last = [((0xffff_ff00, 24), rule(1))].into();
        let ranges = cut(32, &(0..=u32::MAX.into()), &last);
        assert_eq!(ranges, [(0, RuleWord::NONE), (0xffff_ff00, rule(1))]);
    }
}
