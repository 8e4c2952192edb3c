//! Single addresses and what the operator says of each: a hash table of cache lines.
//!
//! A hash names the line of an address, and the line is searched whole: one access to memory says
//! yes or no. What finds no room in its line belongs in the longest-prefix trie, and the line says
//! that there is such.

use crate::{source::mix, wire::Rule};

/// IPv4 addresses in a line.
pub const IPV4_WAYS: usize = 8;
/// IPv6 addresses in a line.
pub const IPV6_WAYS: usize = 3;

/// What a table says of an address. A number, since the verifier minds a payload that only some
/// variants have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Found {
    /// It is not listed.
    Absent = 0,
    /// It is allowed.
    Allow = Rule::Allow as u32,
    /// It is denied.
    Deny = Rule::Deny as u32,
    /// It is not listed, but some address had no room in its line: the trie has to be asked.
    Spilled = 3,
}

impl Found {
    /// Of the number of a [`Rule`], or zero.
    #[inline(always)]
    #[must_use]
    pub const fn rule(number: u32) -> Self {
        const ALLOW: u32 = Rule::Allow as u32;
        match number {
            0 => Self::Absent,
            ALLOW => Self::Allow,
            _ => Self::Deny,
        }
    }
}

/// Eight IPv4 addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ipv4Line {
    /// Low half: the address in network order. High half: its rule, 0 where there is none, and in
    /// the first slot [`SPILLED`].
    slots: [u64; IPV4_WAYS],
}

/// Bit of the high half of a line's first slot.
const SPILLED: u64 = 1 << 63;

impl Ipv4Line {
    /// The line of an address, before the mask of the table's size.
    #[inline(always)]
    #[must_use]
    pub const fn of(address: u32, seed: [u64; 2]) -> u32 {
        mix(address as u64 ^ seed[0]) as u32
    }

    /// Lists an address that is not listed yet. False, and noted, when there is no room.
    pub fn insert(&mut self, address: u32, rule: Rule) -> bool {
        let free = self.slots.iter_mut().find(|slot| **slot >> 32 == 0);
        let Some(slot) = free else {
            self.slots[0] |= SPILLED;
            return false;
        };
        *slot = (rule as u64) << 32 | u64::from(address);
        true
    }

    /// The rules of the addresses in it.
    pub fn rules(&self) -> impl Iterator<Item = u32> + use<> {
        let rules = self.slots.map(|slot| ((slot & !SPILLED) >> 32) as u32);
        rules.into_iter().filter(|rule| *rule != 0)
    }

    /// What it says of an address.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, address: u32) -> Found {
        for slot in &self.slots {
            let rule = (*slot & !SPILLED) >> 32;
            if *slot as u32 == address && rule != 0 {
                return Found::rule(rule as u32);
            }
        }
        if self.slots[0] & SPILLED == 0 {
            Found::Absent
        } else {
            Found::Spilled
        }
    }
}

/// Three IPv6 addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ipv6Line {
    /// Two words in network order each.
    addresses: [[u64; 2]; IPV6_WAYS],
    /// Their rules, 0 where there is none.
    rules: [u32; IPV6_WAYS],
    /// Not zero: an address had no room.
    spilled: u32,
}

impl Ipv6Line {
    /// The line of an address, before the mask of the table's size.
    #[inline(always)]
    #[must_use]
    pub const fn of([high, low]: [u64; 2], seed: [u64; 2]) -> u32 {
        mix(mix(high ^ seed[1]) ^ low) as u32
    }

    /// Lists an address that is not listed yet. False, and noted, when there is no room.
    pub fn insert(&mut self, address: [u64; 2], rule: Rule) -> bool {
        let Some(way) = self.rules.iter().position(|rule| *rule == 0) else {
            self.spilled = 1;
            return false;
        };
        self.addresses[way] = address;
        self.rules[way] = rule as u32;
        true
    }

    /// The rules of the addresses in it.
    pub fn rules(&self) -> impl Iterator<Item = u32> + use<> {
        self.rules.into_iter().filter(|rule| *rule != 0)
    }

    /// What it says of an address.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, [high, low]: [u64; 2]) -> Found {
        for (listed, rule) in self.addresses.iter().zip(&self.rules) {
            if listed[1] == low && listed[0] == high && *rule != 0 {
                return Found::rule(*rule);
            }
        }
        if self.spilled == 0 {
            Found::Absent
        } else {
            Found::Spilled
        }
    }
}

const _: () = {
    assert!(size_of::<Ipv4Line>() == 64);
    assert!(size_of::<Ipv6Line>() == 64);
};

#[cfg(test)]
mod tests {
    use proptest::{collection::hash_map, prelude::*};

    use super::*;

    fn rules() -> impl Strategy<Value = Rule> {
        prop_oneof![Just(Rule::Allow), Just(Rule::Deny)]
    }

    proptest! {
        #[test]
        fn a_line_knows_what_it_holds_and_that_there_was_more(
            listed in hash_map(0..12_u32, rules(), 0..12),
        ) {
            let (mut v4, mut v6) = (Ipv4Line::default(), Ipv6Line::default());
            let mut held = (0, 0);
            for (address, rule) in &listed {
                held.0 += usize::from(v4.insert(*address, *rule));
                held.1 += usize::from(v6.insert([0, u64::from(*address)], *rule));
            }
            prop_assert_eq!(held.0, listed.len().min(IPV4_WAYS));
            prop_assert_eq!(held.1, listed.len().min(IPV6_WAYS));
            let missing = |ways| if listed.len() > ways { Found::Spilled } else { Found::Absent };
            let (mut found_v4, mut found_v6) = (0, 0);
            for address in 0..12 {
                let rule = listed.get(&address).map(|rule| Found::rule(*rule as u32));
                let says = v4.find(address);
                prop_assert!(Some(says) == rule || says == missing(IPV4_WAYS));
                found_v4 += usize::from(Some(says) == rule);
                let says = v6.find([0, u64::from(address)]);
                prop_assert!(Some(says) == rule || says == missing(IPV6_WAYS));
                found_v6 += usize::from(Some(says) == rule);
                prop_assert_eq!(v6.find([1, u64::from(address)]), missing(IPV6_WAYS));
            }
            prop_assert_eq!((found_v4, found_v6), held);
        }
    }

    #[test]
    fn the_address_zero_is_listed_only_when_it_is() {
        let (mut v4, mut v6) = (Ipv4Line::default(), Ipv6Line::default());
        assert_eq!(v4.find(0), Found::Absent);
        assert_eq!(v6.find([0, 0]), Found::Absent);
        assert!(v4.insert(0, Rule::Deny) && v6.insert([0, 0], Rule::Deny));
        assert_eq!(v4.find(0), Found::Deny);
        assert_eq!(v6.find([0, 0]), Found::Deny);
    }
}
