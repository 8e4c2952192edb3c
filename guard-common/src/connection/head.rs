//! The first bytes of what a side says, put together from segments of any size and order.
//!
//! The first copy of a byte counts: a later one with another value is a contradiction, which the
//! caller is told of.

/// Bytes of a head.
pub const HEAD_LEN: u32 = 24;
/// All of them, a bit each.
const FULL: u32 = (1 << HEAD_LEN) - 1;

/// Up to [`HEAD_LEN`] bytes, and which of them are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The bytes as big-endian words; what is not there is zero.
    pub words: [u64; 3],
    /// Which bytes are there: the lowest bit is the first byte.
    pub filled: u32,
}

impl Head {
    /// Nothing.
    pub const EMPTY: Self = Self {
        words: [0; 3],
        filled: 0,
    };

    /// Adds `len` bytes (1 to [`HEAD_LEN`]) that start `at` bytes (0 to 23) into the head. `bytes`
    /// are big-endian words, of which only the first `len` bytes count. Whether they contradict
    /// what is there.
    #[inline(always)]
    pub fn put(&mut self, at: u32, bytes: [u64; 3], len: u32) -> bool {
        let bytes = shifted(bytes, at);
        let bits = (((1_u64 << (len & 31)) - 1) << (at & 31)) as u32 & FULL;
        let (new, both) = (spread(bits & !self.filled), spread(bits & self.filled));
        let mut contradicts = 0;
        for i in 0..3 {
            contradicts |= (bytes[i] ^ self.words[i]) & both[i];
            self.words[i] |= bytes[i] & new[i];
        }
        self.filled |= bits;
        contradicts != 0
    }

    /// The bytes from the first one on, without those behind a gap.
    #[inline(always)]
    #[must_use]
    pub fn start(&self) -> Start {
        // All bits below the lowest one that is not set.
        let bits = self.filled & (self.filled ^ (self.filled + 1));
        let known = spread(bits);
        Start {
            words: [
                self.words[0] & known[0],
                self.words[1] & known[1],
                self.words[2] & known[2],
            ],
            known,
        }
    }
}

/// How a head starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// The bytes as big-endian words, zero beyond what is known.
    pub words: [u64; 3],
    /// 0xff for each byte that is known.
    pub known: [u64; 3],
}

/// What a comparison with a pattern comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// It is that.
    Yes,
    /// It is not.
    No,
    /// As far as it is known it is.
    NeedsMore,
}

impl Start {
    /// Whether at least `len` bytes (1 to 24) are known.
    #[inline(always)]
    #[must_use]
    pub const fn has(&self, len: u32) -> bool {
        let at = len - 1;
        self.known[(at / 8) as usize] >> (56 - 8 * (at % 8)) & 1 != 0
    }

    /// Whether nothing is known.
    #[inline(always)]
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.known[0] == 0
    }

    /// The byte at this position (0 to 23), zero when it is not known.
    #[inline(always)]
    #[must_use]
    pub const fn byte(&self, at: u32) -> u8 {
        (self.words[(at / 8) as usize] >> (56 - 8 * (at % 8))) as u8
    }

    /// Compares with up to eight bytes, of which `care` says which bits count.
    #[inline(always)]
    #[must_use]
    pub const fn word_is(&self, pattern: u64, care: u64) -> Match {
        if (self.words[0] ^ pattern) & care & self.known[0] != 0 {
            Match::No
        } else if care & !self.known[0] == 0 {
            Match::Yes
        } else {
            Match::NeedsMore
        }
    }

    /// Compares with a text of up to 8 bytes.
    #[inline(always)]
    #[must_use]
    pub const fn starts_with<const N: usize>(&self, text: &[u8; N]) -> Match {
        self.word_is(word(text), care(N as u32))
    }

    /// The same where capital letters count as small ones. `text` has small letters.
    #[inline(always)]
    #[must_use]
    pub const fn starts_with_word<const N: usize>(&self, text: &[u8; N]) -> Match {
        const SMALL: u64 = 0x2020_2020_2020_2020;
        let small = Self {
            words: [self.words[0] | SMALL, 0, 0],
            known: self.known,
        };
        small.word_is(word(text) | SMALL & care(N as u32), care(N as u32))
    }

    /// What starts `len` bytes (0 to 23) later.
    #[inline(always)]
    #[must_use]
    pub const fn beyond(&self, len: u32) -> Self {
        Self {
            words: unshifted(self.words, len),
            known: unshifted(self.known, len),
        }
    }

    /// Whether all that is known is text: no byte above 0x7f and none below the tab.
    #[inline(always)]
    #[must_use]
    pub const fn is_text(&self) -> bool {
        is_text(self.words[0] | BLANKS & !self.known[0])
            && is_text(self.words[1] | BLANKS & !self.known[1])
            && is_text(self.words[2] | BLANKS & !self.known[2])
    }
}

const BLANKS: u64 = 0x2020_2020_2020_2020;

#[inline(always)]
const fn is_text(word: u64) -> bool {
    const HIGH_BITS: u64 = 0x8080_8080_8080_8080;
    /// Lifts a byte of 9 or more above 0x7f.
    const LIFT: u64 = 0x7777_7777_7777_7777;
    word & HIGH_BITS == 0 && (word + LIFT) & HIGH_BITS == HIGH_BITS
}

/// A text of up to 8 bytes as the start of a big-endian word.
#[inline(always)]
#[must_use]
pub const fn word<const N: usize>(text: &[u8; N]) -> u64 {
    let (mut word, mut i) = (0, 0);
    while i < N {
        word = word << 8 | text[i] as u64;
        i += 1;
    }
    word << (64 - 8 * N)
}

/// The first `len` bytes (1 to 8) of a word.
#[inline(always)]
const fn care(len: u32) -> u64 {
    u64::MAX << (64 - 8 * len)
}

/// The bytes moved back by `at` (0 to 23).
#[inline(always)]
const fn shifted(bytes: [u64; 3], at: u32) -> [u64; 3] {
    let [a, b, c] = bytes;
    let [a, b, c] = match at / 8 {
        0 => [a, b, c],
        1 => [0, a, b],
        _ => [0, 0, a],
    };
    let (right, left) = (at % 8 * 8, (8 - at % 8) * 8);
    if right == 0 {
        return [a, b, c];
    }
    [a >> right, b >> right | a << left, c >> right | b << left]
}

/// The bytes moved forward by `at` (0 to 23).
#[inline(always)]
const fn unshifted(bytes: [u64; 3], at: u32) -> [u64; 3] {
    let [a, b, c] = bytes;
    let [a, b, c] = match at / 8 {
        0 => [a, b, c],
        1 => [b, c, 0],
        _ => [c, 0, 0],
    };
    let (left, right) = (at % 8 * 8, (8 - at % 8) * 8);
    if left == 0 {
        return [a, b, c];
    }
    [a << left | b >> right, b << left | c >> right, c << left]
}

/// 0xff for each byte whose bit is set: the lowest bit is the first byte.
#[inline(always)]
const fn spread(bits: u32) -> [u64; 3] {
    [
        spread_byte(bits as u64 & 0xff),
        spread_byte(bits as u64 >> 8 & 0xff),
        spread_byte(bits as u64 >> 16 & 0xff),
    ]
}

#[inline(always)]
const fn spread_byte(bits: u64) -> u64 {
    // Each byte keeps the bit that stands for it; where that is set, 0x7f lifts it to the top.
    const OWN: u64 = 0x0102_0408_1020_4080;
    const LIFT: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let own = bits.wrapping_mul(0x0101_0101_0101_0101) & OWN;
    let top = (((own & LIFT) + LIFT) | own) >> 7 & 0x0101_0101_0101_0101;
    top * 0xff
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn words(bytes: &[u8]) -> [u64; 3] {
        let mut padded = [0xee; 24];
        padded[..bytes.len()].copy_from_slice(bytes);
        [0, 8, 16].map(|at| u64::from_be_bytes(*padded[at..].first_chunk().expect("8 bytes")))
    }

    fn head(bytes: &[u8]) -> Head {
        let mut head = Head::EMPTY;
        if !bytes.is_empty() {
            head.put(0, words(bytes), bytes.len() as u32);
        }
        head
    }

    proptest! {
        /// Against bytes that are there or not, one by one.
        #[test]
        fn a_head_is_its_bytes_in_any_order(
            parts in vec((0..24_u32, vec(any::<u8>(), 1..25)), 0..12),
        ) {
            let mut head = Head::EMPTY;
            let mut model: [Option<u8>; 24] = [None; 24];
            for (at, bytes) in parts {
                let contradicts = head.put(at, words(&bytes), bytes.len() as u32);
                let mut differs = false;
                for (place, byte) in model.iter_mut().skip(at as usize).zip(&bytes) {
                    differs |= place.is_some_and(|first| first != *byte);
                    place.get_or_insert(*byte);
                }
                prop_assert_eq!(contradicts, differs);
            }
            let start = head.start();
            let known: Vec<u8> = model.iter().map_while(|byte| *byte).collect();
            for at in 0..24 {
                prop_assert_eq!(start.has(at + 1), (at as usize) < known.len());
                let byte = known.get(at as usize).copied().unwrap_or(0);
                prop_assert_eq!(start.byte(at), byte);
            }
            let text = known.iter().all(|byte| (9..0x80).contains(byte));
            prop_assert_eq!(start.is_text(), text);
            for len in 0..24 {
                let beyond = start.beyond(len);
                for at in 0..24 - len {
                    prop_assert_eq!(beyond.byte(at), start.byte(at + len));
                    prop_assert_eq!(beyond.has(at + 1), start.has(at + len + 1));
                }
            }
        }
    }

    #[test]
    fn a_pattern_may_need_more() {
        let start = |bytes: &[u8]| head(bytes).start();
        assert_eq!(start(b"").starts_with(b"GET "), Match::NeedsMore);
        assert_eq!(start(b"GE").starts_with(b"GET "), Match::NeedsMore);
        assert_eq!(start(b"GET ").starts_with(b"GET "), Match::Yes);
        assert_eq!(start(b"GX").starts_with(b"GET "), Match::No);
        assert_eq!(start(b"EhLo x").starts_with_word(b"ehlo "), Match::Yes);
        assert_eq!(start(b"EhLo").starts_with_word(b"ehlo "), Match::NeedsMore);
        assert_eq!(start(b"Eh0o").starts_with_word(b"ehlo "), Match::No);
    }
}
