//! What one side has said, and arithmetic of sequence numbers.

use core::cell::Cell;

use super::Segment;
use crate::connection::{head::Head, speech::Speech};

/// What one side has said.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Side {
    pub(super) words: [Cell<u64>; 3],
    /// Sequence number of the head's first byte.
    pub(super) anchor: Cell<u32>,
    /// Which bytes of the head are there, and above them a [`Speech`].
    filled: Cell<u32>,
    /// Sequence number behind what has come without a gap.
    pub(super) next: Cell<u32>,
    /// What its last payload acknowledged: where the other side's next turn starts.
    pub(super) ack: Cell<u32>,
}

impl Side {
    #[inline(always)]
    pub(super) fn begin(&self, anchor: u32) {
        for word in &self.words {
            word.set(0);
        }
        self.anchor.set(anchor);
        self.filled.set(0);
        self.next.set(anchor);
        self.ack.set(0);
    }

    /// What comes next starts at `anchor`.
    #[inline(always)]
    pub(super) fn turn(&self, anchor: u32) {
        for word in &self.words {
            word.set(0);
        }
        self.anchor.set(anchor);
        self.filled.set(0);
    }

    #[inline(always)]
    pub(super) fn head(&self) -> Head {
        Head {
            words: [
                self.words[0].get(),
                self.words[1].get(),
                self.words[2].get(),
            ],
            filled: self.filled.get() & 0xff_ffff,
        }
    }

    #[inline(always)]
    pub(super) fn set_head(&self, head: Head) {
        for i in 0..3 {
            self.words[i].set(head.words[i]);
        }
        let speech = self.filled.get() & 0xff00_0000;
        self.filled.set(head.filled | speech);
    }

    /// What it says.
    #[inline(always)]
    pub(super) fn speech(&self) -> Speech {
        Speech::numbered(self.filled.get() >> 24)
    }

    #[inline(always)]
    pub(super) fn set_speech(&self, speech: Speech) {
        let filled = self.filled.get() & 0xff_ffff;
        self.filled.set(filled | u32::from(speech.0) << 24);
    }

    /// Follows what comes without a gap.
    #[inline(always)]
    pub(super) fn follow(&self, segment: &Segment) {
        let next = self.next.get();
        if !is_behind(next, segment.seq) && is_behind(next, segment.behind()) {
            self.next.set(segment.behind());
        }
    }
}

/// Where in a head that starts at `anchor` a segment's payload starts, and how many of its bytes come
/// before that.
#[inline(always)]
pub(super) const fn place(segment: &Segment, anchor: u32) -> (u32, u32) {
    let at = segment.seq.wrapping_sub(anchor).cast_signed();
    if at < 0 {
        (0, at.wrapping_neg().cast_unsigned())
    } else {
        (at.cast_unsigned(), 0)
    }
}

/// Whether `later` comes after `number` in the sequence.
#[inline(always)]
pub(super) const fn is_behind(number: u32, later: u32) -> bool {
    later.wrapping_sub(number).cast_signed() > 0
}
