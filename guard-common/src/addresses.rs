//! Single addresses and the rule for each: a hash table of cache lines.
//!
//! A hash names the line of an address, and the line is searched whole: one access to memory says
//! which rule there is, or that there is none. What finds no room in its line is a prefix like
//! others, see [`crate::ranges`].
//!
//! Before the lines stands a filter, small enough for the cache where they are not: of an address
//! that has no rule it mostly says so.

use crate::{packet::Address, source, wire::RuleWord};

/// IPv4 addresses in a line.
pub const IPV4_WAYS: usize = 8;
/// IPv6 addresses in a line.
pub const IPV6_WAYS: usize = 3;

/// Addresses for which a word of the filter is made.
pub const FILTERED: usize = 4;

/// A word of the filter. Whoever has a rule has both his bits in it; whose rule is taken away keeps
/// them, since they may be another's too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Filter(pub u64);

impl Filter {
    /// Whether the address of this hash may have a rule.
    #[inline(always)]
    #[must_use]
    pub const fn may_hold(self, hash: u64) -> bool {
        self.0 & Self::bits(hash) == Self::bits(hash)
    }

    /// With the address of this hash.
    #[must_use]
    pub const fn with(self, hash: u64) -> Self {
        Self(self.0 | Self::bits(hash))
    }

    #[inline(always)]
    const fn bits(hash: u64) -> u64 {
        1 << (hash >> 32 & 63) | 1 << (hash >> 40 & 63)
    }
}

/// Addresses that share a cache line, with their rules.
///
/// The agent changes lines that the program reads: an address is written before its rule, and
/// a slot without a rule holds nobody.
pub trait Line: Copy + Default {
    /// What it keeps of an address.
    type Key: Copy;

    /// A number for an address: its low half names the line, before the mask of the table's size,
    /// and the word of the filter; its high half the bits of that word.
    #[must_use]
    fn hash(address: Self::Key, seed: [u64; 2]) -> u64;

    /// The rule of an address, [`RuleWord::NONE`] when it has none.
    #[must_use]
    fn find(&self, address: Self::Key) -> RuleWord;

    /// Gives an address a rule, or with [`RuleWord::NONE`] takes it away. False when there is no
    /// room for one more, and nothing is changed.
    fn set(&mut self, address: Self::Key, rule: RuleWord) -> bool;
}

/// Eight IPv4 addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ipv4Line {
    /// Low half: the address in network order. High half: its rule.
    pub slots: [u64; IPV4_WAYS],
}

impl Line for Ipv4Line {
    type Key = u32;

    #[inline(always)]
    fn hash(address: u32, seed: [u64; 2]) -> u64 {
        source::address(Address::V4(address), seed)
    }

    #[inline(always)]
    fn find(&self, address: u32) -> RuleWord {
        // Shifted, since the kernel's instructions compare words of 64 bits. An empty slot looks
        // like the address zero, and has no rule for it.
        let address = u64::from(address) << 32;
        for slot in &self.slots {
            if *slot << 32 == address && *slot >> 32 != 0 {
                return RuleWord((*slot >> 32) as u32);
            }
        }
        RuleWord::NONE
    }

    fn set(&mut self, address: u32, rule: RuleWord) -> bool {
        let word = |slot: &u64| RuleWord((*slot >> 32) as u32);
        let held = |slot: &u64| word(slot).is_some() && *slot as u32 == address;
        let place = self.slots.iter().position(held).or_else(|| {
            let mut slots = self.slots.iter();
            slots.position(|slot| rule.is_some() && !word(slot).is_some())
        });
        match place {
            Some(place) => self.slots[place] = u64::from(rule.0) << 32 | u64::from(address),
            None => return !rule.is_some(),
        }
        true
    }
}

/// Three IPv6 addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ipv6Line {
    /// Two words in network order each.
    pub addresses: [[u64; 2]; IPV6_WAYS],
    /// Their rules.
    pub rules: [RuleWord; IPV6_WAYS],
    /// Zero.
    pub reserved: u32,
}

impl Line for Ipv6Line {
    type Key = [u64; 2];

    #[inline(always)]
    fn hash(address: [u64; 2], seed: [u64; 2]) -> u64 {
        source::address(Address::V6(address), seed)
    }

    #[inline(always)]
    fn find(&self, [high, low]: [u64; 2]) -> RuleWord {
        for (listed, rule) in self.addresses.iter().zip(&self.rules) {
            if listed[1] == low && listed[0] == high && rule.is_some() {
                return *rule;
            }
        }
        RuleWord::NONE
    }

    fn set(&mut self, address: [u64; 2], rule: RuleWord) -> bool {
        let held = |way: &usize| self.rules[*way].is_some() && self.addresses[*way] == address;
        let free = |way: &usize| rule.is_some() && !self.rules[*way].is_some();
        let way = (0..IPV6_WAYS)
            .find(held)
            .or_else(|| (0..IPV6_WAYS).find(free));
        match way {
            Some(way) => (self.addresses[way], self.rules[way]) = (address, rule),
            None => return !rule.is_some(),
        }
        true
    }
}

const _: () = {
    assert!(size_of::<Ipv4Line>() == 64);
    assert!(size_of::<Ipv6Line>() == 64);
};

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, vec};

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn rules() -> impl Strategy<Value = RuleWord> {
        (0..6_u32).prop_map(RuleWord)
    }

    /// What a line that is told all of it must come to; a line holds no more than `ways`.
    fn told<L: Line>(
        ways: usize,
        changes: &[(u32, RuleWord)],
        key: impl Fn(u32) -> L::Key,
    ) -> Result<(), TestCaseError> {
        let (mut line, mut model) = (L::default(), HashMap::new());
        for (address, rule) in changes {
            let room = model.len() < ways || model.contains_key(address);
            let done = line.set(key(*address), *rule);
            prop_assert_eq!(done, room || !rule.is_some());
            if !rule.is_some() {
                model.remove(address);
            } else if room {
                model.insert(*address, *rule);
            }
            for address in 0..12 {
                let rule = model.get(&address).copied().unwrap_or(RuleWord::NONE);
                prop_assert_eq!(line.find(key(address)), rule);
            }
        }
        Ok(())
    }

    #[test]
    fn the_filter_holds_whom_it_was_told_and_few_others() {
        let seed = [0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210];
        let words = 1 << 10;
        let mut filter = vec![Filter::default(); words];
        let hash = |address: u32| Ipv4Line::hash(address, seed);
        let place = |address| hash(address) as usize % words;
        let listed = (FILTERED * words) as u32;
        for address in 0..listed {
            let word = &mut filter[place(address)];
            *word = word.with(hash(address));
        }
        let held = |address: &u32| filter[place(*address)].may_hold(hash(*address));
        assert!((0..listed).all(|address| held(&address)));
        let others = (listed..listed + 100_000).filter(held).count();
        assert!(others < 3_000, "{others} of 100,000");
    }

    proptest! {
        #[test]
        fn a_line_says_what_it_was_told(changes in vec((0..12_u32, rules()), 0..40)) {
            told::<Ipv4Line>(IPV4_WAYS, &changes, |address| address)?;
            told::<Ipv6Line>(IPV6_WAYS, &changes, |address| [0, u64::from(address)])?;
            told::<Ipv6Line>(IPV6_WAYS, &changes, |address| [u64::from(address), 0])?;
        }
    }
}
