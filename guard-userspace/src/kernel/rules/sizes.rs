//! How large the tables are to be.

use aya::EbpfLoader;
use guard_common::{addresses::FILTERED, ranges::MAX_RANGES, wire::RuleWord};
use ipnet::IpNet;

use super::family::{Family, V4, V6};

/// Single addresses of a family, at most.
pub const MAX_ADDRESSES: usize = 1 << 22;
/// Prefixes of a family, at most.
pub const MAX_PREFIXES: usize = 3_900_000;

/// Lines and prefixes there are at least, so that an agent which started without rules can be told
/// many.
const LEAST_LINES: usize = 1 << 10;
const SPARE_PREFIXES: usize = 1 << 12;
/// Of so many addresses, one may find no room in its line.
const ADDRESSES_PER_SPILL: usize = 16;
/// For so many prefixes there is room for the ranges of one more: what changes is written behind
/// what is there.
const PREFIXES_PER_SPARE: usize = 8;

/// How large the tables are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Sizes {
    v4: Size,
    v6: Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    /// A power of two.
    lines: u32,
    /// In one half.
    ranges: u32,
}

/// Rules of a family.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    addresses: usize,
    prefixes: usize,
}

impl Sizes {
    /// For so many rules, and some more.
    pub(in super::super) fn of(rules: impl Iterator<Item = (IpNet, RuleWord)>) -> Self {
        let (mut v4, mut v6) = (Count::default(), Count::default());
        for (net, _) in rules {
            let count = match net {
                IpNet::V4(_) => &mut v4,
                IpNet::V6(_) => &mut v6,
            };
            if net.prefix_len() == net.max_prefix_len() {
                count.addresses += 1;
            } else {
                count.prefixes += 1;
            }
        }
        Self {
            v4: Size::of::<V4>(v4),
            v6: Size::of::<V6>(v6),
        }
    }

    /// What the mask of the lines is, of both families.
    pub(in super::super) fn masks(&self) -> [u32; 2] {
        [self.v4.lines - 1, self.v6.lines - 1]
    }

    /// What the mask of the filter is, of both families.
    pub(in super::super) fn filter_masks(&self) -> [u32; 2] {
        [self.v4.filter::<V4>() - 1, self.v6.filter::<V6>() - 1]
    }

    /// Has the maps made so large.
    pub(in super::super) fn set(&self, loader: &mut EbpfLoader<'_>) {
        for (name, size) in [
            (V4::ADDRESSES, self.v4.lines),
            (V6::ADDRESSES, self.v6.lines),
            (V4::FILTER, self.v4.filter::<V4>()),
            (V6::FILTER, self.v6.filter::<V6>()),
            (V4::RANGES, 2 * self.v4.ranges),
            (V6::RANGES, 2 * self.v6.ranges),
        ] {
            loader.map_max_entries(name, size);
        }
    }
}

impl Size {
    /// Words of the filter, a power of two.
    fn filter<F: Family>(self) -> u32 {
        (self.lines as usize * F::LOAD / FILTERED) as u32
    }

    fn of<F: Family>(count: Count) -> Self {
        let lines = count.addresses.min(MAX_ADDRESSES).div_ceil(F::LOAD);
        let lines = lines.max(LEAST_LINES).next_power_of_two();
        let spilled = count.addresses / ADDRESSES_PER_SPILL;
        let spare = count.prefixes / PREFIXES_PER_SPARE + SPARE_PREFIXES;
        // Each begins a range and ends one.
        let ranges = 2 * (count.prefixes + spilled + spare) + 1;
        Self {
            lines: lines as u32,
            ranges: ranges.min(MAX_RANGES as usize) as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_there_may_be_fits() {
        let count = Count {
            addresses: MAX_ADDRESSES,
            prefixes: MAX_PREFIXES,
        };
        for size in [Size::of::<V4>(count), Size::of::<V6>(count)] {
            let spilled = MAX_ADDRESSES / ADDRESSES_PER_SPILL;
            assert!(size.ranges as usize > 2 * (MAX_PREFIXES + spilled) + 1);
            assert!(size.ranges <= MAX_RANGES);
        }
    }
}
