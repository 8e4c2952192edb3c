//! Ranges and roots as the kernel side holds them.
//!
//! All of them are cut into the half that is not read, which then takes over; what changes since is
//! cut anew behind what is there, and the roots that lead to it are changed one by one. Nothing that
//! a packet may still be led to is overwritten.

use std::{
    collections::BTreeMap,
    sync::atomic::{Ordering, fence},
};

use anyhow::{Context as _, Result, ensure};
use guard_common::{
    ranges::{ROOTS, Root},
    wire::RuleWord,
};

use super::{
    cut::{Prefix, cut, last_of, roots},
    family::Family,
};
use crate::kernel::mapped::{Mapped, wait_for_readers};

/// The ranges of one family.
pub(super) struct Halves<F: Family> {
    ranges: Mapped<F::Range>,
    roots: Mapped<Root>,
    /// Which half is written: that which holds, if any does.
    half: u32,
    holds: bool,
    /// Ranges in it, some of which no root leads to any more.
    used: usize,
    /// Whether the other half may still be read.
    left: bool,
}

impl<F: Family> Halves<F> {
    pub(super) fn new(ranges: Mapped<F::Range>, roots: Mapped<Root>) -> Self {
        Self {
            ranges,
            roots,
            half: 0,
            holds: false,
            used: 0,
            left: false,
        }
    }

    /// Ranges that fit in a half.
    pub(super) fn capacity(&self) -> usize {
        self.ranges.len() / 2
    }

    /// Ranges that are in use.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Which half holds, as [`guard_common::wire::Variables`] says it.
    pub(super) fn holding(&self) -> u32 {
        if self.holds { self.half + 1 } else { 0 }
    }

    /// Writes all prefixes to the half that is not read. It holds when the program is told so.
    pub(super) fn replace(&mut self, prefixes: &BTreeMap<Prefix, RuleWord>) -> Result<()> {
        if self.left {
            wait_for_readers().context("waiting for packets that are being judged")?;
            self.left = false;
        }
        // What holds now is left.
        self.left = self.holds;
        self.half ^= 1;
        self.holds = !prefixes.is_empty();
        self.used = 0;
        let written = !self.holds || self.write(prefixes, &[(0, ROOTS - 1)]);
        ensure!(written, "the ranges have no room, though it was demanded");
        Ok(())
    }

    /// Writes what `changed` among the prefixes. False when there is no room for it, or nothing that
    /// it could be added to.
    pub(super) fn amend(
        &mut self,
        prefixes: &BTreeMap<Prefix, RuleWord>,
        changed: &[Prefix],
    ) -> bool {
        self.holds && !prefixes.is_empty() && self.write(prefixes, &touched::<F>(changed))
    }

    /// Cuts the prefixes of these intervals of roots behind what there is in the half. False when
    /// there is no room.
    fn write(&mut self, prefixes: &BTreeMap<Prefix, RuleWord>, intervals: &[(u32, u32)]) -> bool {
        let base = self.half as usize * self.capacity();
        let first_root = (self.half * ROOTS) as usize;
        for (first, last) in intervals {
            let part = F::root_start(*first)..=F::root_end(*last);
            let ranges = cut(F::BITS, &part, prefixes);
            let at = base + self.used;
            if self.used + ranges.len() > self.capacity() {
                return false;
            }
            for (at, (start, rule)) in (at..).zip(&ranges) {
                self.ranges.write(at, &F::range(*start, *rule));
            }
            self.used += ranges.len();
            // Whoever is led there finds them.
            fence(Ordering::Release);
            let leading = roots(&ranges, at as u32, (*first..=*last).map(F::root_end));
            for (at, root) in (first_root + *first as usize..).zip(leading) {
                self.roots.write(at, &root);
            }
        }
        true
    }
}

/// The intervals of roots whose addresses the prefixes hold, in ascending order and apart.
fn touched<F: Family>(prefixes: &[Prefix]) -> Vec<(u32, u32)> {
    let roots = |prefix: &Prefix| {
        let (first, last) = (prefix.0, last_of(F::BITS, *prefix));
        (F::root_of(first), F::root_of(last))
    };
    let mut all: Vec<_> = prefixes.iter().map(roots).collect();
    all.sort_unstable();
    all.dedup_by(|next, one| {
        let meets = next.0 <= one.1;
        if meets {
            one.1 = one.1.max(next.1);
        }
        meets
    });
    all
}

#[cfg(test)]
mod tests {
    use super::{super::family::V4, *};

    #[test]
    fn what_changed_touches_each_root_once() {
        let net = |first: u32, len| (u128::from(first), len);
        let changed = [
            net(0x0a01_0200, 24),
            net(0x0a00_0000, 14),
            net(0x0a01_0000, 16),
            net(0x0a04_0000, 16),
            net(0xffff_ffff, 32),
        ];
        let expected = [(0x0a00, 0x0a03), (0x0a04, 0x0a04), (0xffff, 0xffff)];
        assert_eq!(touched::<V4>(&changed), expected);
        assert_eq!(touched::<V4>(&[(0, 0)]), [(0, ROOTS - 1)]);
    }
}
