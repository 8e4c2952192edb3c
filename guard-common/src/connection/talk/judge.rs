//! What both sides have said is put together, and judged.

use super::{
    Ears, Progress, Segment, Talk, Word,
    side::{is_behind, place},
};
use crate::{
    connection::{
        End, Outcome,
        course::{Course, Stage, Step, Told},
        head::{HEAD_LEN, Head},
        speech::{MYSQL_TLS_LEN, Speech, is_ftp, proxy2_len},
        text::{SEARCHED, Sought, Window},
    },
    protocol::Protocol,
};

/// What a server that speaks HTTP/2 sends before it answers, in bytes, at most.
const HTTP2_GREETING: u32 = 128;
/// Bytes of a TLS alert.
const WARNING_LEN: u32 = 7;
/// Bytes of a line break.
const LINE_BREAK_LEN: u32 = 2;

impl Talk {
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
    pub(super) fn answer(&self, stage: Stage) -> Speech {
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
}
