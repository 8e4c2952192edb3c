//! A connection of which it is not known yet what it is: what both sides have said so far.
//!
//! Each side's words are written by the program that sees that side, and read by both. What both
//! write is one word, which is exchanged whole; who loses that race says nothing, and the next
//! segment makes up for it.

use core::cell::Cell;

use super::{
    End, FirstSpeaker, Outcome,
    course::{Course, Ending, Stage},
    opening::Starts,
    speech::Speech,
};
use crate::{
    limit::Words,
    packet::{TCP_FIN, TCP_RST},
    ticks::elapsed,
};

mod blind;
mod hearing;
mod judge;
mod segment;
mod set;
mod side;
mod word;

pub use hearing::{Ears, Heard, Hearing, Listens, hear};
pub use segment::{Segment, TEXT_LEN};
pub use set::{TALK_WAYS, Talks};
pub use side::Side;
use side::is_behind;
pub use word::{Progress, Word};

/// Seconds without a segment after which a connection is given up.
pub const IDLE_SECONDS: u32 = 60;
/// Seconds without a segment after which one that has counted loses its place.
pub const LEFT_SECONDS: u32 = 600;
/// Seconds after which a request without an answer has none.
pub const UNANSWERED_SECONDS: u32 = 10;

/// How far from what is expected a number of the peer's may be, in bytes.
const WINDOW: u32 = 1 << 20;
/// How far behind, once they take turns.
const BEHIND: u32 = 1 << 16;

/// Times that a word is exchanged in vain before it is left.
const TRIES: u32 = 4;

/// A connection.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Talk {
    /// A number for it; zero where there is none.
    hash: Cell<u64>,
    peer: [Cell<u64>; 2],
    client: Side,
    server: Side,
    ports: Cell<u32>,
    /// When something was said last, in ticks.
    last: Cell<u32>,
    word: Cell<u64>,
    /// Where the server began in the high half, the client in the low one.
    begins: Cell<u64>,
    /// The end of the text that was searched last: a [`super::text::Window`].
    window: [Cell<u64>; 2],
}

const _: () = assert!(size_of::<Talk>() == 144);

impl Talk {
    /// Whether there is a connection here.
    #[inline(always)]
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.hash.get() != 0
    }

    /// The number of the connection.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash.get()
    }

    /// The peer's address and the ports, as [`Segment`] has them.
    #[inline(always)]
    #[must_use]
    pub fn ends(&self) -> ([u64; 2], u32) {
        ([self.peer[0].get(), self.peer[1].get()], self.ports.get())
    }

    /// What both programs have noted.
    #[inline(always)]
    #[must_use]
    pub fn noted(&self) -> Word {
        Word(self.word.get())
    }

    /// Notes something more.
    #[inline(always)]
    pub fn note<W: Words>(&self, flag: u64) {
        // Whoever came between has written once, or twice.
        for _ in 0..TRIES {
            let was = self.word.get();
            if W::exchange(&self.word, was, was | flag) {
                break;
            }
        }
    }

    /// Of a connection whose first sentence came with its SYN: where the server starts, and whether
    /// it has taken the sentence, which it does only from whom it knows (RFC 7413 section 4.2).
    #[inline(always)]
    pub fn answered<W: Words>(&self, server: u32, taken: bool) {
        if !self.noted().has(Word::SERVER_ANCHORED | Word::SERVER_SPOKE) {
            self.server.begin(server);
            self.note::<W>(Word::SERVER_ANCHORED);
        }
        if taken {
            self.note::<W>(Word::CONFIRMED);
        }
    }

    /// Bytes from the first one of whoever sends it to a segment, modulo 2^32.
    #[inline(always)]
    #[must_use]
    pub fn offset(&self, segment: &Segment) -> u32 {
        let (client, server) = (self.begins.get() as u32, (self.begins.get() >> 32) as u32);
        segment.seq.wrapping_sub(match segment.end() {
            End::Client => client,
            End::Server => server,
        })
    }

    /// Forgets the connection.
    #[inline(always)]
    pub fn free(&self) {
        self.hash.set(0);
    }

    /// Begins with a connection's first segment that counts. Where `starts` knows nothing, nobody has
    /// seen it start.
    #[inline(always)]
    pub fn begin(&self, segment: &Segment, starts: Starts, flags: u64) {
        let (client, server) = match (starts.known, segment.end()) {
            (true, _) => (starts.client, starts.server),
            (false, End::Client) => (segment.seq, segment.ack),
            (false, End::Server) => (segment.ack, segment.seq),
        };
        self.client.begin(client);
        self.server.begin(server);
        self.begins.set(u64::from(server) << 32 | u64::from(client));
        self.window[0].set(0);
        self.window[1].set(0);
        self.peer[0].set(segment.peer[0]);
        self.peer[1].set(segment.peer[1]);
        self.ports.set(segment.ports);
        self.last.set(segment.now);
        let word = Word::new(segment, flags);
        let anchored = match (starts.known, starts.server) {
            (true, 0) => Word::ANCHORED,
            (true, _) => Word::ANCHORED | Word::SERVER_ANCHORED,
            (false, _) => 0,
        };
        self.word.set(word.0 | anchored);
        self.hash.set(segment.hash);
    }

    /// Where the client's first byte is, as far as that is known.
    #[inline(always)]
    #[must_use]
    pub fn is_of(&self, starts: Starts) -> bool {
        let word = self.noted();
        word.has(Word::ANCHORED)
            && (word.stage() as u8 != Stage::First as u8
                || word.has(Word::PREFIXED)
                || self.client.anchor.get() == starts.client)
    }

    #[inline(always)]
    fn sides(&self, end: End) -> (&Side, &Side) {
        match end {
            End::Client => (&self.client, &self.server),
            End::Server => (&self.server, &self.client),
        }
    }

    /// Whether a segment is taken in, and what is noted of it to begin with.
    #[inline(always)]
    pub fn listen(&self, segment: &Segment) -> (Listens, Word) {
        let was = self.noted();
        let mut word = was;
        if segment.by_host == 0 && !self.is_plausible(segment, was) {
            return (Listens::No, was);
        }
        if segment.payload_len != 0 || segment.flags & (TCP_FIN | TCP_RST) != 0 {
            self.last.set(segment.now);
        }
        // A reset answers anybody.
        if segment.by_host != 0 && segment.flags & TCP_RST == 0 {
            word.set(Word::CONFIRMED);
        }
        if segment.payload_len != 0 {
            word.speaks(segment.end());
            word.count_segment();
            if was.has(Word::EXPIRED) && was.has(Word::ANCHORED) {
                // It goes on after all: what comes of it counts, too.
                word.clear(Word::EXPIRED | Word::SETTLED);
            }
        }
        if was.has(Word::ANCHORED) {
            (Listens::FromTheStart, word)
        } else {
            (Listens::Blindly, word)
        }
    }

    /// Ends with a segment: `was` is what was noted before it.
    #[inline(always)]
    pub fn conclude<W: Words>(&self, segment: &Segment, was: Word, progress: Progress) -> Heard {
        let (mut word, outcome) = (progress.word(), progress.outcome());
        self.close(segment, &mut word);
        let outcome = match outcome {
            None if word.has(Word::CLOSED) => Some(self.ending(word)),
            // The server took one of two copies, and we do not know which.
            Some(Outcome::Encrypted) if word.has(Word::EVADED) => Some(Outcome::Unknown),
            outcome => outcome,
        };
        // Of one that nobody saw begin, only what is more than blind counts once more.
        let is_strong = matches!(outcome, Some(Outcome::Encrypted | Outcome::PlaintextServed));
        let again = word.has(Word::EXPIRED) && is_strong;
        let settles = outcome.is_some() && (!word.has(Word::SETTLED) || again);
        if settles {
            word.clear(Word::EXPIRED);
            word.set(Word::SETTLED);
        }
        let client = self.client.speech();
        let asks = segment.payload_len != 0 && matches!(segment.end(), End::Client);
        // Where plaintext is refused, so is what asks for a tunnel in clear, and who contradicts
        // himself: no honest client does.
        let is_refused = matches!(client, Speech::Connect) || word.has(Word::EVADED);
        let plaintext =
            asks && (client.is_plaintext_request() || is_refused && word.has(Word::REFUSES));
        let first = plaintext && !was.has(Word::FLAGGED);
        if first {
            word.set(Word::FLAGGED);
        }
        let exchanged = word.0 == was.0 || W::exchange(&self.word, was.0, word.0);
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let proven = word.has(Word::ANCHORED) && word.has(Word::SERVER_ANCHORED);
        let outcome = match outcome {
            Some(outcome) if settles && exchanged => Heard::DECIDED | outcome as u32,
            _ => 0,
        };
        Heard(
            outcome
                | flag(plaintext, Heard::PLAINTEXT)
                | flag(proven, Heard::PROVEN)
                | flag(asks && matches!(client, Speech::Unknown), Heard::UNKNOWN)
                | flag(first, Heard::FIRST),
        )
    }

    /// Whether the peer can have sent it who sees what the host sends.
    #[inline(always)]
    fn is_plausible(&self, segment: &Segment, word: Word) -> bool {
        let (_, host) = self.sides(segment.end());
        if !word.has(Word::ANCHORED) {
            return true;
        }
        if matches!(segment.end(), End::Client) && !word.has(Word::SERVER_ANCHORED) {
            return true;
        }
        if segment.flags & TCP_RST != 0 {
            let (peer, _) = self.sides(segment.end());
            return segment.seq == peer.next.get() || segment.seq == host.ack.get();
        }
        let ahead = segment.ack.wrapping_sub(host.anchor.get());
        ahead.wrapping_add(BEHIND) < WINDOW + BEHIND
    }

    /// Notes that a side has ended.
    #[inline(always)]
    fn close(&self, segment: &Segment, word: &mut Word) {
        let (side, _) = self.sides(segment.end());
        if segment.flags & TCP_RST != 0 {
            word.set(Word::CLOSED);
            if matches!(segment.end(), End::Server) {
                word.set(Word::SERVER_RESET);
            }
        }
        // A client that has nothing more to say may still wait for its answer.
        let in_order = segment.behind() == side.next.get() || !word.has(Word::ANCHORED);
        let ends = segment.flags & TCP_FIN != 0 && matches!(segment.end(), End::Server);
        if ends && in_order {
            word.set(Word::CLOSED);
        }
    }

    /// What it was, when it ends now.
    #[inline(always)]
    #[must_use]
    pub fn ending(&self, word: Word) -> Outcome {
        let anybody_spoke = word.first_speaker() as u8 != FirstSpeaker::None as u8;
        if !word.has(Word::ANCHORED) {
            return Outcome::Blind;
        }
        let course = Course {
            stage: word.stage(),
            protocol: word.protocol(),
            client: self.client.speech(),
            server: self.answer(word.stage()),
            told: word.told(),
        };
        course.ending(Ending {
            anybody_spoke,
            answered: word.has(Word::ANSWERED),
            server_reset: word.has(Word::SERVER_RESET) && !word.has(Word::SERVER_SPOKE),
        })
    }

    /// Whether it has counted, and been quiet for so long at tick `now` that its place is free.
    #[inline(always)]
    #[must_use]
    pub fn is_left(&self, now: u32, ticks_per_second: u32) -> bool {
        let quiet = elapsed(self.last.get(), now);
        self.noted().has(Word::SETTLED) && quiet >= LEFT_SECONDS.saturating_mul(ticks_per_second)
    }

    /// What it was so far, when it has been quiet for so long at tick `now` that it counts. It keeps
    /// its place, and counts once more should it go on.
    #[inline(always)]
    pub fn expire<W: Words>(&self, now: u32, ticks_per_second: u32) -> Option<Outcome> {
        let was = self.noted();
        let quiet = elapsed(self.last.get(), now);
        let outcome = self.ending(was);
        let seconds = if outcome as u8 == Outcome::PlaintextAttempt as u8 {
            UNANSWERED_SECONDS
        } else {
            IDLE_SECONDS
        };
        if quiet < seconds.saturating_mul(ticks_per_second) || was.has(Word::SETTLED) {
            return None;
        }
        let expired = was.0 | Word::SETTLED | Word::EXPIRED;
        W::exchange(&self.word, was.0, expired).then_some(outcome)
    }

    /// Notes that it is known what it is. Whether nobody did before.
    #[inline(always)]
    pub fn settle<W: Words>(&self, was: Word) -> bool {
        let settled = was.0 | Word::SETTLED;
        !was.has(Word::SETTLED) && W::exchange(&self.word, was.0, settled)
    }
}
