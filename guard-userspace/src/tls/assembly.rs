//! Segments of one direction, put together.

use super::SIDE_LIMIT;

/// The first bytes of one direction, from segments in any order. It holds at most [`SIDE_LIMIT`]
/// bytes and one bit for each.
#[derive(Clone, Debug, Default)]
pub struct Assembly {
    bytes: Vec<u8>,
    /// One bit a byte: whether it has come.
    present: Vec<u64>,
    /// The bytes that have come without a gap.
    ready: usize,
}

impl Assembly {
    /// Adds the bytes at `offset` from the start of TLS. Where two segments overlap, the first to
    /// come stays; what lies past [`SIDE_LIMIT`] is ignored.
    pub fn add(&mut self, offset: u32, bytes: &[u8]) {
        let start = offset as usize;
        let Some(room) = SIDE_LIMIT.checked_sub(start) else {
            return;
        };
        let bytes = bytes.get(..room).unwrap_or(bytes);
        self.grow(start + bytes.len());
        for (at, byte) in (start..).zip(bytes) {
            if !self.has(at) {
                self.bytes[at] = *byte;
                self.present[at / 64] |= 1 << (at % 64);
            }
        }
        while self.has(self.ready) {
            self.ready += 1;
        }
    }

    /// The bytes from the start to the first gap.
    pub fn contiguous(&self) -> &[u8] {
        &self.bytes[..self.ready]
    }

    fn has(&self, at: usize) -> bool {
        let word = self.present.get(at / 64).copied().unwrap_or_default();
        word & (1 << (at % 64)) != 0
    }

    fn grow(&mut self, end: usize) {
        if end > self.bytes.len() {
            // By powers of two, so that no more than the limit is ever reserved.
            let reserved = end.next_power_of_two();
            self.bytes.reserve_exact(reserved - self.bytes.len());
            self.bytes.resize(end, 0);
            self.present.resize(reserved.div_ceil(64), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembled(segments: &[(u32, &[u8])]) -> Vec<u8> {
        let mut assembly = Assembly::default();
        for (offset, bytes) in segments {
            assembly.add(*offset, bytes);
        }
        assembly.contiguous().to_vec()
    }

    #[test]
    fn segments_come_in_any_order() {
        assert_eq!(assembled(&[(3, b"def"), (0, b"abc")]), b"abcdef");
        assert_eq!(assembled(&[(0, b"abc"), (4, b"e"), (3, b"d")]), b"abcde");
    }

    #[test]
    fn a_gap_ends_them() {
        assert_eq!(assembled(&[(0, b"abc"), (4, b"ef")]), b"abc");
        assert_eq!(assembled(&[(1, b"bc")]), b"");
        assert_eq!(assembled(&[(7, b"")]), b"");
    }

    #[test]
    fn the_first_copy_stays() {
        assert_eq!(assembled(&[(2, b"CD"), (0, b"abcde")]), b"abCDe");
        assert_eq!(assembled(&[(0, b"ab"), (0, b"XYZ")]), b"abZ");
    }

    #[test]
    fn memory_is_bounded() {
        let mut assembly = Assembly::default();
        let limit = u32::try_from(SIDE_LIMIT).expect("a small limit");
        for offset in [u32::MAX, limit, limit - 1, 100, 0, 9_000] {
            assembly.add(offset, &vec![1; 20_000]);
        }
        assert_eq!(assembly.contiguous().len(), SIDE_LIMIT);
        assert!(assembly.bytes.capacity() <= SIDE_LIMIT);
        assert!(assembly.present.capacity() <= SIDE_LIMIT / 64);
    }
}
