//! What differs between IPv4 and IPv6.

use aya::Pod;
use guard_common::{
    addresses::{IPV4_WAYS, IPV6_WAYS, Ipv4Line, Ipv6Line, Line},
    ranges::{Ipv4Range, Ipv6Range, ROOTS, Root},
    wire::RuleWord,
};

/// A family of addresses and its tables.
pub(super) trait Family {
    type Line: Line + Pod;
    type Range: Pod;
    /// Bits of an address.
    const BITS: u32;
    /// Addresses in a line.
    const WAYS: usize;
    /// Addresses for which a line is made: so many that few lines overflow.
    const LOAD: usize;
    /// Names of the maps.
    const ADDRESSES: &'static str;
    const FILTER: &'static str;
    const RANGES: &'static str;
    const ROOTS: &'static str;

    /// The address as its line holds it.
    fn key(address: u128) -> <Self::Line as Line>::Key;
    fn range(start: u128, rule: RuleWord) -> Self::Range;
    /// The root of an address.
    fn root_of(address: u128) -> u32;
    /// The last address of a root.
    fn root_end(root: u32) -> u128;
    /// The first address of a root.
    fn root_start(root: u32) -> u128 {
        root.checked_sub(1).map_or(0, |one| Self::root_end(one) + 1)
    }
}

#[derive(Debug)]
pub(super) struct V4;

impl Family for V4 {
    type Line = Ipv4Line;
    type Range = Ipv4Range;
    const BITS: u32 = 32;
    const WAYS: usize = IPV4_WAYS;
    const LOAD: usize = 4;
    const ADDRESSES: &'static str = "ADDRESSES_V4";
    const FILTER: &'static str = "FILTER_V4";
    const RANGES: &'static str = "RANGES_V4";
    const ROOTS: &'static str = "ROOTS_V4";

    fn key(address: u128) -> u32 {
        (address as u32).to_be()
    }

    fn range(start: u128, rule: RuleWord) -> Ipv4Range {
        let start = start as u32;
        Ipv4Range { start, rule }
    }

    fn root_of(address: u128) -> u32 {
        Root::of_v4(address as u32)
    }

    fn root_end(root: u32) -> u128 {
        u128::from(root << 16 | 0xffff)
    }
}

#[derive(Debug)]
pub(super) struct V6;

impl Family for V6 {
    type Line = Ipv6Line;
    type Range = Ipv6Range;
    const BITS: u32 = 128;
    const WAYS: usize = IPV6_WAYS;
    const LOAD: usize = 1;
    const ADDRESSES: &'static str = "ADDRESSES_V6";
    const FILTER: &'static str = "FILTER_V6";
    const RANGES: &'static str = "RANGES_V6";
    const ROOTS: &'static str = "ROOTS_V6";

    fn key(address: u128) -> [u64; 2] {
        [((address >> 64) as u64).to_be(), (address as u64).to_be()]
    }

    fn range(start: u128, rule: RuleWord) -> Ipv6Range {
        Ipv6Range {
            high: (start >> 64) as u64,
            low: start as u64,
            rule,
            reserved: 0,
        }
    }

    fn root_of(address: u128) -> u32 {
        Root::of_v6((address >> 64) as u64)
    }

    fn root_end(root: u32) -> u128 {
        if root == ROOTS - 1 {
            return u128::MAX;
        }
        // See `Root::of_v6`: 2000::/4, and 16 bits that follow.
        ((u128::from(ROOTS * 2 + root) + 1) << (128 - 4 - 16)) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots_meet<F: Family>(last: u128) {
        assert_eq!(F::root_start(0), 0);
        for root in [0, 1, 7, 0xa001, ROOTS - 2] {
            let end = F::root_end(root);
            assert_eq!(F::root_of(F::root_start(root)), root);
            assert_eq!(F::root_of(end), root);
            assert_eq!(F::root_of(end + 1), root + 1);
        }
        assert_eq!(F::root_end(ROOTS - 1), last);
    }

    #[test]
    fn roots_end_where_the_next_one_begins() {
        roots_meet::<V4>(u32::MAX.into());
        roots_meet::<V6>(u128::MAX);
    }
}
