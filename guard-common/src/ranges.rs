//! Prefixes and the rule for each: the address space cut into ranges, found by bisection.
//!
//! Each range starts where the last one ends, and has the rule that decides there: of the prefixes
//! around it the most specific one of the first [`Layer`](crate::wire::Layer). A table of roots says, for the leading bits of an address, which few ranges come into
//! question; it shortens the search, whose length is bounded without it.
//!
//! Addresses are numbers here, in the host's order.

use crate::wire::RuleWord;

/// Entries of a table of roots.
pub const ROOTS: u32 = 1 << 16;
/// More ranges than any table may have need no more steps than this.
const STEPS: u32 = 24;
/// The most ranges of a table.
pub const MAX_RANGES: u32 = 1 << (STEPS - 1);

/// The IPv4 addresses from here to the next range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ipv4Range {
    /// The first one.
    pub start: u32,
    /// Their rule.
    pub rule: RuleWord,
}

/// The IPv6 addresses from here to the next range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Ipv6Range {
    /// High half of the first one.
    pub high: u64,
    /// Its low half.
    pub low: u64,
    /// Their rule.
    pub rule: RuleWord,
    /// Zero.
    pub reserved: u32,
}

/// The ranges that come into question for the addresses of a root: the position of the first one in
/// the low half, that of the last one in the high one. A word, since the agent changes roots that
/// the program reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Root(pub u64);

impl Root {
    /// The root that leads to the ranges from the one at `first` to the one at `last`.
    #[inline(always)]
    #[must_use]
    pub const fn new(first: u32, last: u32) -> Self {
        Self(first as u64 | (last as u64) << 32)
    }

    /// The root of an IPv4 address: its leading 16 bits.
    #[inline(always)]
    #[must_use]
    pub const fn of_v4(address: u32) -> u32 {
        address >> 16
    }

    /// The root of an IPv6 address by its high half: the 16 bits that follow the leading 4 in
    /// `2000::/4`, where the assigned addresses are. All below belong to the first root, all above
    /// to the last.
    #[inline(always)]
    #[must_use]
    pub const fn of_v6(high: u64) -> u32 {
        match high >> 60 {
            0 | 1 => 0,
            2 => (high >> 44) as u32 & (ROOTS - 1),
            _ => ROOTS - 1,
        }
    }

    /// The last position of which `starts_at_or_before` holds, the first one's at the least.
    #[inline(always)]
    pub fn search(self, starts_at_or_before: impl Fn(u32) -> bool) -> u32 {
        let (mut first, mut last) = (self.0 as u32, (self.0 >> 32) as u32);
        for _ in 0..STEPS {
            if first >= last {
                break;
            }
            let middle = last - (last - first) / 2;
            if starts_at_or_before(middle) {
                first = middle;
            } else {
                last = middle - 1;
            }
        }
        first
    }
}

const _: () = {
    assert!(size_of::<Ipv4Range>() == 8);
    assert!(size_of::<Ipv6Range>() == 24);
    assert!(size_of::<Root>() == 8);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_rise_with_the_address() {
        let highs = [
            0,
            0x1fff << 48,
            0x2000 << 48,
            0x0002_a001 << 44,
            0x2fff << 48,
            0x3000 << 48,
        ];
        let roots = highs.map(Root::of_v6);
        assert!(roots.is_sorted(), "{roots:x?}");
        assert_eq!(roots[3], 0xa001);
        assert_eq!(Root::of_v6(u64::MAX), ROOTS - 1);
        assert_eq!(Root::of_v4(0xc000_0201), 0xc000);
    }

    #[test]
    fn a_search_ends_at_the_last_start_before() {
        let starts = [0_u32, 3, 4, 9, 20, 21];
        for first in 0..starts.len() {
            for last in first..starts.len() {
                let root = Root::new(first as u32, last as u32);
                for address in starts[first]..30 {
                    let found = root.search(|at| starts[at as usize] <= address);
                    let expected = (first..=last).rfind(|at| starts[*at] <= address);
                    assert_eq!(Some(found as usize), expected);
                }
            }
        }
    }

    #[test]
    fn the_largest_table_can_be_searched() {
        let root = Root::new(0, MAX_RANGES - 1);
        for address in [0, 1, MAX_RANGES / 2, MAX_RANGES - 1] {
            assert_eq!(root.search(|at| at <= address), address);
        }
    }
}
