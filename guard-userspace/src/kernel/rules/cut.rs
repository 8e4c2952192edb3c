//! Prefixes cut into ranges, and the roots that lead to them.

use guard_common::{
    ranges::{ROOTS, Root},
    wire::RuleWord,
};

/// A prefix as a number: the first of its addresses, and how many leading bits it has.
pub(super) type Prefix = (u128, u8);

/// The address space of `bits` bits as ranges, each from its first address to the next one's: in
/// each holds the rule of the longest prefix around it. `prefixes` are in ascending order.
pub(super) fn cut(
    bits: u32,
    prefixes: impl Iterator<Item = (Prefix, RuleWord)>,
) -> Vec<(u128, RuleWord)> {
    let mut ranges = Ranges(vec![(0, RuleWord::NONE)]);
    // The prefixes around the current one, each with its last address.
    let mut around: Vec<(u128, RuleWord)> = Vec::new();
    for ((first, len), rule) in prefixes {
        ranges.resume(&mut around, |last| last < first);
        ranges.start(first, rule);
        around.push((last_of(bits, (first, len)), rule));
    }
    let end = last_of(bits, (0, 0));
    ranges.resume(&mut around, |last| last < end);
    ranges.0
}

/// The last address of a prefix.
fn last_of(bits: u32, (first, len): Prefix) -> u128 {
    let hosts = bits - u32::from(len);
    first | u128::MAX.checked_shr(u128::BITS - hosts).unwrap_or(0)
}

struct Ranges(Vec<(u128, RuleWord)>);

impl Ranges {
    /// Leaves the prefixes that are `over`: behind each, the rule of the one around it holds.
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

/// For each root the ranges it leads to, when the first of `ranges` is at position `base` and the
/// roots end at the addresses that `end` says.
pub(super) fn roots(
    ranges: &[(u128, RuleWord)],
    base: u32,
    end: impl Fn(u32) -> u128,
) -> impl Iterator<Item = Root> {
    let mut first = 0;
    (0..ROOTS).map(move |root| {
        let end = end(root);
        let starts = |at: &usize| ranges[*at].0 <= end;
        let last = (first..ranges.len())
            .take_while(starts)
            .last()
            .unwrap_or(first);
        let entry = Root {
            first: base + first as u32,
            last: base + last as u32,
        };
        // The next root may begin within the range that this one ends in.
        first = last;
        entry
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    /// Few bits, so that every address can be tried and prefixes meet often.
    const BITS: u32 = 8;

    fn prefixes() -> impl Strategy<Value = BTreeMap<Prefix, RuleWord>> {
        let prefix = (0..=u128::from(u8::MAX), 0..=8_u8).prop_map(|(address, len)| {
            let hosts = BITS - u32::from(len);
            (address >> hosts << hosts, len)
        });
        btree_map(prefix, (1..9_u32).prop_map(RuleWord), 0..30)
    }

    /// The rule of the longest prefix around an address.
    fn longest(prefixes: &BTreeMap<Prefix, RuleWord>, address: u128) -> RuleWord {
        let around = prefixes
            .iter()
            .filter(|(prefix, _)| (prefix.0..=last_of(BITS, **prefix)).contains(&address));
        let longest = around.max_by_key(|((_, len), _)| *len);
        longest.map_or(RuleWord::NONE, |(_, rule)| *rule)
    }

    proptest! {
        #[test]
        fn every_address_has_the_rule_of_its_longest_prefix(prefixes in prefixes()) {
            let ranges = cut(BITS, prefixes.iter().map(|(prefix, rule)| (*prefix, *rule)));
            prop_assert!(ranges.len() <= 2 * prefixes.len() + 1);
            prop_assert!(ranges.is_sorted_by_key(|(start, _)| *start));
            // As if the addresses of a root were four.
            let base = 1000;
            let roots: Vec<Root> = roots(&ranges, base, |root| u128::from(root) * 4 + 3).collect();
            for address in 0..1 << BITS {
                let expected = longest(&prefixes, address);
                let root = roots[address as usize / 4];
                let found = root.search(|at| ranges[(at - base) as usize].0 <= address);
                prop_assert_eq!(ranges[(found - base) as usize].1, expected, "{}", address);
            }
        }
    }

    #[test]
    fn the_widest_and_the_last_prefix_have_an_end() {
        let rule = |number| RuleWord(number);
        let all = [((0, 0), rule(1)), ((u128::MAX, 128), rule(2))];
        let ranges = cut(128, all.into_iter());
        assert_eq!(ranges, [(0, rule(1)), (u128::MAX, rule(2))]);
        let ranges = cut(32, [((0xffff_ff00, 24), rule(1))].into_iter());
        assert_eq!(ranges, [(0, RuleWord::NONE), (0xffff_ff00, rule(1))]);
    }
}
