//! A connection of which it is not known yet what it is: what both sides have said so far.
//!
//! Each side's words are written by the program that sees that side, and read by both. What both
//! write is one word, which is exchanged whole; who loses that race says nothing, and the next
//! segment makes up for it.

use core::cell::Cell;

use super::{
    End, FirstSpeaker, Outcome,
    course::{Course, Ending, Stage, Step, Told},
    head::{HEAD_LEN, Head},
    opening::Starts,
    speech::{MYSQL_TLS_LEN, Speech, is_ftp, proxy2_len},
    text::{SEARCHED, Sought, Window},
};
use crate::{
    limit::Words,
    packet::{TCP_FIN, TCP_RST},
    protocol::Protocol,
    ticks::elapsed,
};

mod blind;
mod word;

pub use word::{Progress, Word};

/// Connections in a set.
pub const TALK_WAYS: u32 = 4;
/// Bytes of a payload's start that are at hand.
pub const TEXT_LEN: u32 = 4096;
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
/// What a server that speaks HTTP/2 sends before it answers, in bytes, at most.
const HTTP2_GREETING: u32 = 128;
/// Bytes of a TLS alert.
const WARNING_LEN: u32 = 7;
/// Bytes of a line break.
const LINE_BREAK_LEN: u32 = 2;
/// Times that a word is exchanged in vain before it is left.
const TRIES: u32 = 4;
/// Prefixes in front of a head that are stepped over in one segment.
const PREFIXES: u32 = 3;

/// A TCP segment of a service's connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Segment {
    /// A number for the connection, never zero.
    pub hash: u64,
    /// The peer's address, as 16 bytes.
    pub peer: [u64; 2],
    /// The peer's port in the high half, the host's in the low one.
    pub ports: u32,
    /// Sequence number of the payload's first byte.
    pub seq: u32,
    /// What it acknowledges.
    pub ack: u32,
    /// Bytes of payload.
    pub payload_len: u32,
    /// How many of them are at hand: [`TEXT_LEN`] at most.
    pub text_len: u32,
    /// The running tick.
    pub now: u32,
    /// Position of the service plus one.
    pub service_plus_one: u16,
    /// TCP flags.
    pub flags: u8,
    /// Not zero: the client sends it.
    pub by_client: u8,
    /// Not zero: the host sends it.
    pub by_host: u8,
    /// Position of the interface.
    pub interface: u8,
    /// Bits of [`crate::wire::ServicePort`].
    pub service_flags: u16,
}

impl Segment {
    /// Who sends it.
    #[inline(always)]
    #[must_use]
    pub const fn end(&self) -> End {
        if self.by_client != 0 {
            End::Client
        } else {
            End::Server
        }
    }

    /// The number behind its payload.
    #[inline(always)]
    const fn behind(&self) -> u32 {
        self.seq.wrapping_add(self.payload_len)
    }
}

/// What a [`Talk`] asks about the segment it hears.
pub trait Ears {
    /// The 24 bytes from `at` on as big-endian words. Only those within the payload's text count.
    fn bytes(&self, at: u32) -> [u64; 3];
    /// How many bytes of the text from `at` on, searched to [`SEARCHED`], it takes to find
    /// something that may begin in the window before; zero when it is not there.
    fn search(&self, sought: Sought, at: u32, window: Window) -> u32;
    /// What a head is that its `end` says: [`super::speech::client`] or [`super::speech::server`].
    fn speech(&self, end: End, head: Head, protocol: Protocol, client: Speech) -> Speech;
    /// [`Course::step`].
    fn step(&self, course: Course) -> Step;
}

/// The parts of hearing a segment, in the order in which [`hear`] calls them. The kernel calls each
/// out of line, since together they need more stack than there is.
pub trait Hearing {
    /// [`Talk::listen`].
    fn listen(&self) -> Listens;
    /// [`Talk::put`].
    fn put(&self) -> bool;
    /// [`Talk::name`].
    fn name(&self);
    /// [`Talk::step_over`].
    fn step_over(&self) -> bool;
    /// [`Talk::judge`].
    fn judge(&self);
    /// [`Talk::take_in_blindly`].
    fn take_in_blindly(&self);
    /// [`Talk::conclude`].
    fn conclude(&self) -> Heard;
}

/// Whether a segment is taken in, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listens {
    /// It is not of the connection.
    No,
    /// From its first byte on.
    FromTheStart,
    /// From somewhere in its middle on.
    Blindly,
}

/// Takes in a segment.
#[inline(always)]
pub fn hear(hearing: &impl Hearing) -> Heard {
    match hearing.listen() {
        Listens::No => return Heard::default(),
        Listens::FromTheStart => {
            for _ in 0..PREFIXES {
                if hearing.put() {
                    hearing.name();
                }
                if !hearing.step_over() {
                    break;
                }
            }
            hearing.judge();
        }
        Listens::Blindly => hearing.take_in_blindly(),
    }
    hearing.conclude()
}

/// What one side has said.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Side {
    words: [Cell<u64>; 3],
    /// Sequence number of the head's first byte.
    anchor: Cell<u32>,
    /// Which bytes of the head are there, and above them a [`Speech`].
    filled: Cell<u32>,
    /// Sequence number behind what has come without a gap.
    next: Cell<u32>,
    /// What its last payload acknowledged: where the other side's next turn starts.
    ack: Cell<u32>,
}

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
    /// The end of the text that was searched last: a [`Window`].
    window: [Cell<u64>; 2],
}

const _: () = assert!(size_of::<Talk>() == 144);

/// A set of connections: the place of each of [`TALK_WAYS`].
#[derive(Debug)]
pub struct Talks<W>(pub W);

/// What a segment comes to, as one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard(pub u32);

impl Heard {
    /// It is of the connection; otherwise nothing else is said.
    pub const COUNTS: u32 = 1 << 8;
    /// It goes on with a request in clear, by an exact signature.
    pub const PLAINTEXT: u32 = 1 << 9;
    /// Its numbers prove that who sent it sees what the host sends.
    pub const PROVEN: u32 = 1 << 10;
    /// What the client says matches nothing.
    pub const UNKNOWN: u32 = 1 << 11;
    /// It is the first of which the request in clear is known.
    pub const FIRST: u32 = 1 << 12;
    const DECIDED: u32 = 1 << 13;

    /// Whether it has `flag`.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// What the connection is, when that is known from now on.
    #[inline(always)]
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        if self.has(Self::DECIDED) {
            Some(Outcome::numbered(self.0))
        } else {
            None
        }
    }
}

impl<'a, W: Fn(u32) -> Option<&'a Talk>> Talks<W> {
    /// Which of them is the connection of this number.
    #[inline(always)]
    #[must_use]
    pub fn find(&self, hash: u64) -> Option<u32> {
        (0..TALK_WAYS).find(|way| (self.0)(*way).is_some_and(|talk| talk.hash.get() == hash))
    }

    /// Which of them makes room: a free one, or whoever was quiet longest among those in which the
    /// host takes no part; for a `confirmed` one anybody does.
    #[inline(always)]
    #[must_use]
    pub fn place<R: Words>(&self, confirmed: bool, now: u32) -> Option<u32> {
        const FREE: u64 = 1 << 34;
        const UNCONFIRMED: u64 = 1 << 33;
        let mut place = 0;
        let mut best = 0;
        for way in 0..TALK_WAYS {
            let Some(talk) = (self.0)(way) else {
                continue;
            };
            let quiet = u64::from(elapsed(talk.last.get(), now)) + 1;
            let rank = if talk.hash.get() == 0 {
                FREE
            } else if !talk.noted().has(Word::CONFIRMED) {
                quiet + UNCONFIRMED
            } else if confirmed {
                quiet
            } else {
                0
            };
            let rank = R::forget(rank);
            if rank > best {
                (place, best) = (way, rank);
            }
        }
        (best != 0).then_some(place)
    }
}

impl Side {
    #[inline(always)]
    fn begin(&self, anchor: u32) {
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
    fn turn(&self, anchor: u32) {
        for word in &self.words {
            word.set(0);
        }
        self.anchor.set(anchor);
        self.filled.set(0);
    }

    #[inline(always)]
    fn head(&self) -> Head {
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
    fn set_head(&self, head: Head) {
        for i in 0..3 {
            self.words[i].set(head.words[i]);
        }
        let speech = self.filled.get() & 0xff00_0000;
        self.filled.set(head.filled | speech);
    }

    /// What it says.
    #[inline(always)]
    fn speech(&self) -> Speech {
        Speech::numbered(self.filled.get() >> 24)
    }

    #[inline(always)]
    fn set_speech(&self, speech: Speech) {
        let filled = self.filled.get() & 0xff_ffff;
        self.filled.set(filled | u32::from(speech.0) << 24);
    }

    /// Follows what comes without a gap.
    #[inline(always)]
    fn follow(&self, segment: &Segment) {
        let next = self.next.get();
        if !is_behind(next, segment.seq) && is_behind(next, segment.behind()) {
            self.next.set(segment.behind());
        }
    }
}

/// Where in a head that starts at `anchor` a segment's payload starts, and how many of its bytes come
/// before that.
#[inline(always)]
const fn place(segment: &Segment, anchor: u32) -> (u32, u32) {
    let at = segment.seq.wrapping_sub(anchor).cast_signed();
    if at < 0 {
        (0, at.wrapping_neg().cast_unsigned())
    } else {
        (at.cast_unsigned(), 0)
    }
}

/// Whether `later` comes after `number` in the sequence.
#[inline(always)]
const fn is_behind(number: u32, later: u32) -> bool {
    later.wrapping_sub(number).cast_signed() > 0
}

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
            Heard::COUNTS
                | outcome
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

    /// Begins a turn where the segment's sender has one.
    #[inline(always)]
    fn take_turn(&self, segment: &Segment, word: &mut Word) {
        let (side, other) = self.sides(segment.end());
        if matches!(segment.end(), End::Server) && !word.has(Word::SERVER_ANCHORED) {
            word.set(Word::SERVER_ANCHORED);
            side.begin(segment.seq);
        }
        let turn = other.ack.get();
        if matches!(word.stage(), Stage::Turns)
            && is_behind(side.anchor.get(), turn)
            && is_behind(turn, segment.behind())
        {
            side.turn(turn);
        }
    }

    /// Puts what the segment has of the head there. Whether that is anything.
    #[inline(always)]
    pub fn put<E: Ears>(&self, segment: &Segment, ears: &E, word: Word) -> Progress {
        let mut word = word;
        if segment.payload_len == 0 {
            return Progress::again(word, false);
        }
        self.take_turn(segment, &mut word);
        let (side, _) = self.sides(segment.end());
        let (at, skipped) = place(segment, side.anchor.get());
        if at >= HEAD_LEN || skipped >= segment.text_len {
            return Progress::again(word, false);
        }
        let len = (segment.text_len - skipped).min(HEAD_LEN - at);
        let mut head = side.head();
        let bytes = ears.bytes(skipped);
        if head.put(at, bytes, len) {
            word.set(Word::EVADED);
            // The server may have taken this copy: it is judged by whichever is plaintext.
            if at == 0 && !side.speech().is_plaintext_request() {
                head = Head::EMPTY;
                head.put(0, bytes, len);
            }
        }
        side.set_head(head);
        Progress::again(word, true)
    }

    /// Says what the head of the segment's sender is.
    #[inline(always)]
    pub fn name<E: Ears>(&self, segment: &Segment, ears: &E, word: Word) {
        let (side, _) = self.sides(segment.end());
        let (head, client) = (side.head(), self.client.speech());
        side.set_speech(ears.speech(segment.end(), head, word.protocol(), client));
    }

    /// Steps over what precedes a head. Whether there was any, and what follows it is yet to be put.
    #[inline(always)]
    pub fn step_over<E: Ears>(&self, segment: &Segment, ears: &E, word: Word) -> Progress {
        let mut word = word;
        let (side, _) = self.sides(segment.end());
        let anchor = side.anchor.get();
        let (at, skipped) = place(segment, anchor);
        if segment.payload_len == 0 {
            return Progress::again(word, false);
        }
        let beyond = match side.speech() {
            Speech::Proxy2 => proxy2_len(&side.head().start()),
            Speech::Proxy1 if at < HEAD_LEN || segment.seq == side.next.get() => {
                match ears.search(Sought::LineEnd, skipped, Window::default()) {
                    0 => 0,
                    len => at.wrapping_add(skipped).wrapping_add(len),
                }
            }
            Speech::MysqlTls => {
                word.set_stage(Stage::Turns);
                MYSQL_TLS_LEN
            }
            Speech::LineBreak => LINE_BREAK_LEN,
            Speech::Warning => WARNING_LEN,
            _ => 0,
        };
        if beyond == 0 {
            return Progress::again(word, false);
        }
        side.turn(anchor.wrapping_add(beyond));
        word.set(Word::PREFIXED);
        Progress::again(word, true)
    }

    /// What follows from what both have said.
    #[inline(always)]
    pub fn judge<E: Ears>(&self, segment: &Segment, ears: &E, word: Word) -> Progress {
        let mut word = word;
        let (side, _) = self.sides(segment.end());
        // What is refused does not reach the server, which goes on waiting for it.
        let client = self.client.speech();
        let refused = matches!(segment.end(), End::Client)
            && word.has(Word::REFUSES)
            && (client.is_plaintext_request() || matches!(client, Speech::Connect));
        if segment.payload_len != 0 && !refused {
            side.follow(segment);
            side.ack.set(segment.ack);
        }
        let outcome = self.judge_by(segment, ears, &mut word);
        Progress::of(word, outcome)
    }

    #[inline(always)]
    fn judge_by<E: Ears>(&self, segment: &Segment, ears: &E, word: &mut Word) -> Option<Outcome> {
        let client = self.client.speech();
        let server = self.answer(word.stage());
        self.learn_protocol(word, client, server);
        if word.told() == Told::NotYet && segment.payload_len != 0 {
            self.search(segment, ears, word);
        }
        let course = Course {
            stage: word.stage(),
            protocol: word.protocol(),
            client,
            server,
            told: word.told(),
        };
        match ears.step(course) {
            Step::Stay => {
                if matches!(server, Speech::Reply) {
                    word.set(Word::ANSWERED);
                }
                None
            }
            Step::TakeTurns => {
                word.set_stage(Stage::Turns);
                None
            }
            Step::Is(outcome) => {
                if word.told() == Told::Yes {
                    match server {
                        Speech::HttpSwitch => word.set_protocol(Protocol::Websocket),
                        Speech::Http2Settings => word.set_protocol(Protocol::Grpc),
                        _ => {}
                    }
                }
                Some(outcome)
            }
        }
    }

    /// What the server says, if that answers what the client said last.
    #[inline(always)]
    fn answer(&self, stage: Stage) -> Speech {
        let is_old = is_behind(self.server.anchor.get(), self.client.ack.get());
        if matches!(stage, Stage::Turns) && is_old {
            Speech::Pending
        } else {
            self.server.speech()
        }
    }

    #[inline(always)]
    fn learn_protocol(&self, word: &mut Word, client: Speech, server: Speech) {
        if matches!(word.stage(), Stage::First) {
            let of_client = client.protocol();
            if of_client as u8 != Protocol::Unknown as u8 {
                word.set_protocol(of_client);
            } else if word.protocol() as u8 == Protocol::Unknown as u8 {
                word.set_protocol(server.protocol());
            }
        }
        if word.protocol() as u8 == Protocol::Smtp as u8 && is_ftp(&self.client.head().start()) {
            word.set_protocol(Protocol::Ftp);
        }
    }

    /// Looks for the words that tell what an answer means.
    #[inline(always)]
    fn search<E: Ears>(&self, segment: &Segment, ears: &E, word: &mut Word) {
        let server = self.server.speech();
        let (sought, by, enough) = match server {
            Speech::HttpBad => (Sought::WantsHttps, End::Server, SEARCHED),
            Speech::HttpMoved => (Sought::ToHttps, End::Server, SEARCHED),
            Speech::HttpSwitch => (Sought::Websocket, End::Server, SEARCHED),
            _ if matches!(self.client.speech(), Speech::Http2) => {
                (Sought::Grpc, End::Client, HTTP2_GREETING)
            }
            _ => return,
        };
        if by as u8 == segment.end() as u8 && self.finds(segment, ears, sought) {
            word.set_told(Told::Yes);
            return;
        }
        let said = self
            .server
            .next
            .get()
            .wrapping_sub(self.server.anchor.get());
        if said >= enough {
            word.set_told(Told::No);
        }
    }

    /// Whether a segment has what is sought, or the end of it, and what came before had the rest.
    #[inline(always)]
    fn finds<E: Ears>(&self, segment: &Segment, ears: &E, sought: Sought) -> bool {
        let (side, _) = self.sides(segment.end());
        if segment.behind() != side.next.get() {
            return ears.search(sought, 0, Window::default()) != 0;
        }
        let window = Window::new(self.window[0].get(), self.window[1].get());
        if ears.search(sought, 0, window) != 0 {
            return true;
        }
        let len = segment.text_len.min(16);
        let [first, second, _] = ears.bytes(segment.text_len - len);
        // Words that start with those bytes, moved to their end.
        let last = if len >= 16 {
            [first, second]
        } else if len >= 8 {
            let shift = (16 - len) * 8;
            let (left, right) = (first >> shift, first << (64 - shift));
            [
                left,
                if shift == 0 {
                    second
                } else {
                    right | second >> shift
                },
            ]
        } else {
            [0, first >> (((8 - len) * 8) & 63)]
        };
        let [older, newer] = window.after(last, len).words();
        self.window[0].set(older);
        self.window[1].set(newer);
        false
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
        let in_order = segment.behind() == side.next.get() || !word.has(Word::ANCHORED);
        if segment.flags & TCP_FIN != 0 && in_order {
            match segment.end() {
                End::Client => word.set(Word::CLIENT_FIN),
                End::Server => word.set(Word::CLOSED),
            }
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
