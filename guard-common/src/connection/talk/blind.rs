//! A connection that was first met in its middle: it tells what it is only by TLS records that
//! follow each other, or by a request line and a status line.

use super::{Ears, Progress, Segment, Side, Talk, Word, is_behind};
use crate::connection::{
    End, Outcome,
    head::{HEAD_LEN, Head},
    speech::Speech,
};

/// Segments with a payload after which nothing is expected any more.
const PATIENCE: u32 = 64;
/// The longest TLS record, in bytes (RFC 8446 section 5.2).
const LONGEST_RECORD: u32 = 16_640;
/// Its header.
const RECORD_HEADER: u32 = 5;
/// Records that are followed in one segment.
const RECORDS: u32 = 2;

/// Records that follow each other.
#[derive(Clone, Copy)]
struct Chain {
    /// Where the next one starts.
    next: u32,
    records: u32,
}

impl Side {
    #[inline(always)]
    fn chain(&self) -> Chain {
        let word = self.words[0].get();
        Chain {
            next: (word >> 32) as u32,
            records: word as u32,
        }
    }

    #[inline(always)]
    fn set_chain(&self, chain: Chain) {
        let word = u64::from(chain.next) << 32 | u64::from(chain.records);
        self.words[0].set(word);
    }
}

impl Talk {
    /// Takes in a segment of a connection of which the start was not seen.
    #[inline(always)]
    pub fn take_in_blindly<E: Ears>(&self, segment: &Segment, ears: &E, word: Word) -> Progress {
        let mut word = word;
        let outcome = self.follow_blindly(segment, ears, &mut word);
        Progress::of(word, outcome)
    }

    #[inline(always)]
    fn follow_blindly<E: Ears>(
        &self,
        segment: &Segment,
        ears: &E,
        word: &mut Word,
    ) -> Option<Outcome> {
        if segment.payload_len == 0 {
            return None;
        }
        let (side, _) = self.sides(segment.end());
        side.next.set(segment.behind());
        side.ack.set(segment.ack);
        follow_records(side, segment, ears);
        let mut head = Head::EMPTY;
        head.put(0, ears.bytes(0), segment.text_len.min(HEAD_LEN));
        let speech = ears.speech(segment.end(), head, word.protocol(), Speech::Http1);
        let client_asked = matches!(self.client.speech(), Speech::Http1);
        match (segment.end(), speech) {
            (End::Client, _) if speech.is_plaintext_request() => side.set_speech(speech),
            (End::Client, _) => side.set_speech(Speech::Pending),
            (
                End::Server,
                Speech::HttpOk | Speech::HttpMoved | Speech::HttpBad | Speech::HttpOther,
            ) if client_asked => {
                word.set_protocol(Speech::Http1.protocol());
                return Some(Outcome::PlaintextServed);
            }
            _ => {}
        }
        let (client, server) = (self.client.chain().records, self.server.chain().records);
        if client.min(server) >= 1 && client.max(server) >= 2 {
            word.set_protocol(Speech::Tls.protocol());
            return Some(Outcome::Encrypted);
        }
        (word.segments() >= PATIENCE).then_some(Outcome::Blind)
    }
}

/// Follows the records in a segment, from where the last one led or from its start on.
#[inline(always)]
fn follow_records<E: Ears>(side: &Side, segment: &Segment, ears: &E) {
    let mut chain = side.chain();
    for _ in 0..RECORDS {
        let leads_here = chain.records != 0 && !is_behind(chain.next, segment.seq);
        if chain.records != 0 && !is_behind(chain.next, segment.behind()) {
            // The record goes on behind this segment.
            break;
        }
        let at = if leads_here {
            chain.next.wrapping_sub(segment.seq)
        } else {
            0
        };
        if at >= segment.text_len || segment.text_len - at < RECORD_HEADER {
            break;
        }
        let records = if leads_here { chain.records } else { 0 };
        let Some(len) = record_len(ears.bytes(at)[0]) else {
            chain.records = 0;
            break;
        };
        chain = Chain {
            next: segment
                .seq
                .wrapping_add(at)
                .wrapping_add(RECORD_HEADER + len),
            records: records.saturating_add(1),
        };
    }
    side.set_chain(chain);
}

/// Bytes of the record whose header a word starts with: of SSL 3 or TLS, not empty.
#[inline(always)]
const fn record_len(word: u64) -> Option<u32> {
    let kind = (word >> 56) as u32;
    let (major, minor) = ((word >> 48) as u32 & 0xff, (word >> 40) as u32 & 0xff);
    let len = (word >> 24) as u32 & 0xffff;
    if kind >= 0x14 && kind <= 0x17 && major == 3 && minor <= 3 && len != 0 && len <= LONGEST_RECORD
    {
        Some(len)
    } else {
        None
    }
}
