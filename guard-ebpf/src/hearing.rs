//! What segments of services' connections say: the state machine of `guard_common::connection`,
//! over the tables of the kernel side.
//!
//! A segment is laid down in memory of this CPU's own; functions that the verifier reads once take
//! it from there. Both programs use them: nothing here depends on where the segment was seen.

use core::ptr::addr_of;

use guard_common::{
    connection::{
        End, Outcome,
        course::{Course, Stage, Step, Told},
        head::{Head, Start},
        opening::Starts,
        settled::State,
        speech::{self, Speech},
        talk::{
            Ears, Heard, Hearing, Listens, Progress, Segment, TEXT_LEN, Talk, Talks, Word, hear,
        },
        text::{SEARCHED, Search, Sought, Window},
    },
    packet::{TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN},
    protocol::Protocol,
    reason::{Reason, Verdict},
    source::Slot,
    wire::{EXCERPT_LEN, Event, EventClass, Evicted, ServicePort, outcome_position},
};

use crate::{events, forget::forget, maps, pipeline::Refused, settings, stages::limits::Atomic};

/// How far from where a handshake said it would start a first segment may be, in bytes.
const WINDOW: u32 = 1 << 20;
/// Room behind the text for what is read beyond its end.
const BEYOND: usize = 64;
/// No connection's position.
const NOWHERE: u32 = u32::MAX;
/// Segments of a connection that user space is given a sample of.
const SAMPLED_SEGMENTS: u32 = 24;
/// Bytes of each side that user space is given.
const SAMPLED_LEN: u32 = 1 << 14;

/// A segment, an event about it, and the start of its payload, which follows the event into the
/// ring buffer.
#[repr(C)]
pub(crate) struct Heeded {
    pub(crate) segment: Segment,
    /// What was noted of its connection before.
    was: Word,
    /// What is noted now.
    progress: Progress,
    event: Event,
    pub(crate) text: [u8; TEXT_LEN as usize + BEYOND],
}

/// What is to be done with the segment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Nothing.
    Nothing,
    /// It is plaintext where none may be.
    Flagged,
    /// The same, and refused.
    Refused,
    /// The same, and the connection broken off.
    Reset,
}

impl Said {
    const FLAGGED: u32 = Self::Flagged as u32;
    const REFUSED: u32 = Self::Refused as u32;
    const RESET: u32 = Self::Reset as u32;

    #[inline(always)]
    const fn numbered(number: u32) -> Self {
        match number {
            Self::FLAGGED => Self::Flagged,
            Self::REFUSED => Self::Refused,
            Self::RESET => Self::Reset,
            _ => Self::Nothing,
        }
    }

    /// What is to be done with the segment that has been laid down. In several calls, each of which
    /// leaves its stack to the next.
    #[inline(always)]
    pub(crate) fn hear() -> Self {
        let found = guard_find();
        if found < ANSWERS {
            return Self::numbered(found);
        }
        let position = found - ANSWERS;
        guard_sample(position);
        let heard = hear(&Kernel { position });
        Self::numbered(guard_follow(position, heard.0))
    }
}

/// Below this, [`guard_find`] answers with what is to be done; from there on with a position.
const ANSWERS: u32 = 16;

/// Where the connection of the segment that is heard is, or what is to be done without asking it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_find() -> u32 {
    let Some(hearing) = maps::hearing() else {
        return Said::Nothing as u32;
    };
    // SAFETY: the memory is this CPU's alone, and nobody writes the segment while it is heard.
    let segment = unsafe { &(*hearing).segment };
    forget(match find(segment) {
        Ok(position) => u64::from(position + ANSWERS),
        Err(said) => said as u64,
    }) as u32
}

#[inline(always)]
fn find(segment: &Segment) -> Result<u32, Said> {
    let mut may_begin = 1;
    if segment.flags & TCP_SYN != 0 {
        guard_shake();
        // Data that comes with a SYN (RFC 7413) is heard like any other.
        if segment.payload_len == 0 {
            return Err(Said::Nothing);
        }
    } else {
        let slot = Slot::from_hash(segment.hash);
        let line = maps::settled(slot.set).ok_or(Said::Nothing)?;
        if let Some(found) = line.find(slot.tag) {
            let state = found.state();
            // Only of what the host itself ends it is sure that it ends.
            let ends = segment.by_host != 0 && segment.flags & (TCP_FIN | TCP_RST) != 0;
            if ends && !state.has(State::CLOSED) {
                found.set(State(state.0 | State::CLOSED));
            }
            known(segment, state)?;
            // Of one that is known, no more is begun.
            may_begin = 0;
        }
    }
    let position = guard_place(may_begin);
    if position == NOWHERE {
        return Err(if may_begin == 0 {
            Said::Nothing
        } else {
            stray(segment)
        });
    }
    Ok(position)
}

/// What is to be done with a segment of a connection that is known; nothing when it is sampled.
#[inline(always)]
fn known(segment: &Segment, state: State) -> Result<(), Said> {
    if asks(segment) && state.has(State::REFUSED) {
        return Err(refusal(segment));
    }
    if asks(segment) && state.outcome() == Outcome::PlaintextServed as u32 {
        ask_again(segment);
    }
    if state.has(State::SAMPLED) {
        Ok(())
    } else {
        Err(Said::Nothing)
    }
}

/// Does what follows from a segment of the connection at `position`. The answer is a [`Said`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_follow(position: u32, heard: u32) -> u32 {
    let (Some(hearing), Some(talk)) = (maps::hearing(), maps::talk(position)) else {
        return Said::Nothing as u32;
    };
    // SAFETY: as in `guard_find`.
    let segment = unsafe { &(*hearing).segment };
    forget(follow(segment, talk, position, Heard(heard)) as u64) as u32
}

/// Whether a client of the host's asks something.
#[inline(always)]
fn asks(segment: &Segment) -> bool {
    segment.payload_len != 0 && segment.by_client != 0 && segment.by_host == 0
}

/// What follows from what a segment said.
#[inline(always)]
fn follow(segment: &Segment, talk: &Talk, position: u32, heard: Heard) -> Said {
    let strict = segment.service_flags & ServicePort::STRICT != 0;
    let plaintext = heard.has(Heard::PLAINTEXT);
    let offends = plaintext || strict && heard.has(Heard::UNKNOWN);
    let demanded = segment.service_flags & ServicePort::FLAG != 0;
    let proven = heard.has(Heard::PROVEN);
    let mut said = Said::Nothing;
    if offends && demanded && heard.outcome() != Some(Outcome::Encrypted) {
        said = if segment.by_host == 0 {
            refusal(segment)
        } else {
            Said::Flagged
        };
        // Who only forges a segment must not break off what others have begun.
        if said == Said::Reset && !proven {
            said = Said::Refused;
        }
        // Nobody is accused by what others can forge.
        let is_sure = proven || talk.noted().has(Word::CONFIRMED);
        if is_sure && (heard.has(Heard::FIRST) || !plaintext) {
            tell_request(talk, said);
        }
    }
    if matches!(said, Said::Refused | Said::Reset) && proven {
        talk.note::<Atomic>(Word::REFUSED);
    }
    let outcome = match heard.outcome() {
        None if said == Said::Reset && talk.settle::<Atomic>(talk.noted()) => {
            Some(Outcome::Rejected)
        }
        outcome => outcome,
    };
    if let Some(outcome) = outcome {
        guard_conclude(position, outcome as u32);
    }
    said
}

/// What is done with plaintext to this service.
#[inline(always)]
fn refusal(segment: &Segment) -> Said {
    if segment.service_flags & ServicePort::RESET != 0 {
        Said::Reset
    } else if segment.service_flags & ServicePort::DROP != 0 {
        Said::Refused
    } else {
        Said::Flagged
    }
}

/// A segment of a connection that there was no room for: what can be said of it alone.
#[inline(always)]
fn stray(segment: &Segment) -> Said {
    let demanded = segment.service_flags & ServicePort::FLAG != 0;
    if !asks(segment) || !demanded || !first_words().is_plaintext_request() {
        return Said::Nothing;
    }
    match refusal(segment) {
        Said::Flagged => Said::Flagged,
        _ => Said::Refused,
    }
}

/// What the segment starts with.
#[inline(always)]
fn first_words() -> Speech {
    let Some(hearing) = maps::hearing() else {
        return Speech::Pending;
    };
    // SAFETY: as in `guard_find`.
    let len = unsafe { (*hearing).segment.text_len };
    let mut head = Head::EMPTY;
    head.put(0, Kernel::STRAY.bytes(0), len.min(24));
    Kernel::STRAY.speech(End::Client, head, Protocol::Unknown, Speech::Pending)
}

/// A request of a connection that serves plaintext: one in a while is told of.
#[inline(always)]
fn ask_again(segment: &Segment) {
    let demanded = segment.service_flags & ServicePort::FLAG != 0;
    if demanded && events::may(EventClass::Plaintext, segment.now) && first_words() == Speech::Http1
    {
        guard_tell(
            EventClass::Plaintext as u32,
            0,
            EXCERPT_LEN as u32,
            Protocol::Http1 as u32,
        );
    }
}

/// The position of a segment's connection, or of the place where it begins; [`NOWHERE`] where there
/// is none.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_place(may_begin: u32) -> u32 {
    let Some(hearing) = maps::hearing() else {
        return NOWHERE;
    };
    // SAFETY: as in `guard_find`.
    let segment = unsafe { &(*hearing).segment };
    settle(find_or_begin(segment, may_begin != 0).unwrap_or(NOWHERE))
}

#[inline(always)]
fn find_or_begin(segment: &Segment, may_begin: bool) -> Option<u32> {
    let slot = Slot::from_hash(segment.hash);
    let openings = maps::openings(slot.set)?;
    let set = maps::talk_set(slot.set);
    let talks = Talks(|way| maps::talk(set + way));
    if let Some(way) = talks.find(segment.hash) {
        return Some(settle(set + way));
    }
    if !may_begin {
        return None;
    }
    let mut starts = openings.find(slot.tag);
    let mut flags = 0;
    match greets(segment, starts) {
        Some(greeted) if starts.known => flags = greeted,
        // Somewhere in the middle: only who says something is listened to.
        _ if segment.payload_len != 0 && segment.flags & TCP_SYN == 0 => {
            starts = Starts::default();
        }
        _ => return None,
    }
    let place = settle(set + talks.place::<Atomic>(flags & Word::CONFIRMED != 0, segment.now)?);
    let talk = maps::talk(place)?;
    if talk.is_taken() && !talk.noted().has(Word::SETTLED) {
        if talk.noted().has(Word::CONFIRMED) {
            maps::count_evicted(Evicted::Talks);
        }
        guard_conclude(place, Outcome::Blind as u32);
    }
    let is_taken_part_in = starts.known && flags & Word::CONFIRMED != 0;
    let sampled = is_taken_part_in && events::agreed(EventClass::Sample, segment.now);
    let sampled = if sampled { Word::SAMPLED } else { 0 };
    talk.begin(segment, starts, flags | sampled);
    // The answer to a SYN with data is yet to come.
    if starts.known && segment.flags & TCP_SYN == 0 {
        openings.forget(slot.tag);
    }
    Some(place)
}

/// Whether a segment is the first behind a handshake, and what is known then.
#[inline(always)]
fn greets(segment: &Segment, starts: Starts) -> Option<u64> {
    let is_near = |number: u32, start: u32| number.wrapping_sub(start) < WINDOW;
    let answered = starts.server != 0;
    let (own, other) = if segment.by_client != 0 {
        (starts.client, starts.server)
    } else {
        (starts.server, starts.client)
    };
    if !is_near(segment.seq, own) && (answered || segment.by_client != 0) {
        return None;
    }
    if segment.by_client == 0 && !is_near(segment.ack, starts.client) {
        return None;
    }
    let acknowledges = segment.flags & TCP_ACK != 0 && is_near(segment.ack, other);
    if answered && !acknowledges && segment.flags & TCP_SYN == 0 {
        return None;
    }
    let confirmed = segment.by_host != 0 || answered && acknowledges;
    if segment.payload_len == 0 && !(confirmed && answered) {
        return None;
    }
    Some(if confirmed { Word::CONFIRMED } else { 0 })
}

/// A position of which the verifier has forgotten where it comes from.
#[inline(always)]
fn settle(position: u32) -> u32 {
    forget(position.into()) as u32
}

/// A handshake's segment.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_shake() -> u32 {
    let Some(hearing) = maps::hearing() else {
        return 0;
    };
    // SAFETY: as in `guard_find`.
    let segment = unsafe { &(*hearing).segment };
    let slot = Slot::from_hash(segment.hash);
    let Some(openings) = maps::openings(slot.set) else {
        return 0;
    };
    if segment.by_client != 0 {
        let former = openings.find(slot.tag);
        // A handshake that the host has answered is only over when it answers another.
        if segment.by_host != 0 || !former.known || former.server == 0 {
            openings.called::<Atomic>(slot.tag, segment.seq, segment.now);
        }
        // Only the host itself knows that what was there before is over.
        forget_former(segment, slot, Starts::default());
        return 0;
    }
    let called = openings.find(slot.tag);
    // What came with the SYN is acknowledged with it.
    let client = if called.known && segment.ack.wrapping_sub(called.client) < 1 << 16 {
        called.client
    } else if segment.by_host != 0 {
        segment.ack
    } else {
        return 0;
    };
    let starts = Starts {
        known: true,
        client,
        server: segment.seq,
    };
    openings.answered::<Atomic>(slot.tag, starts, segment.now);
    forget_former(segment, slot, starts);
    0
}

/// Forgets a former connection of the same ends.
#[inline(always)]
fn forget_former(segment: &Segment, slot: Slot, starts: Starts) {
    if segment.by_host == 0 {
        return;
    }
    if let Some(found) = maps::settled(slot.set).and_then(|line| line.find(slot.tag)) {
        found.free();
    }
    let set = maps::talk_set(slot.set);
    let Some(way) = Talks(|way| maps::talk(set + way)).find(segment.hash) else {
        return;
    };
    let position = settle(set + way);
    let Some(talk) = maps::talk(position) else {
        return;
    };
    if starts.known && talk.is_of(starts) {
        return talk.answered::<Atomic>(starts.server, segment.ack != starts.client);
    }
    if talk.settle::<Atomic>(talk.noted()) {
        guard_conclude(position, talk.ending(talk.noted()) as u32);
    }
    talk.free();
}

/// Counts a connection, and tells of it. Of one in which the host takes no part nothing is said.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_count(position: u32, outcome: u32) -> u32 {
    let Some(talk) = maps::talk(position) else {
        return 0;
    };
    let outcome = Outcome::numbered(outcome);
    let word = talk.noted();
    if word.has(Word::CONFIRMED) || settings::tells() {
        let service = u32::from(word.service_plus_one()).saturating_sub(1);
        maps::count_outcome(outcome_position(service, outcome, word.protocol()));
        tell_outcome(talk, word, outcome);
    }
    0
}

/// Counts a connection, and notes it among those that are known.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_conclude(position: u32, outcome: u32) -> u32 {
    guard_count(position, outcome);
    let Some(talk) = maps::talk(position) else {
        return 0;
    };
    let outcome = Outcome::numbered(outcome);
    let word = talk.noted();
    if !word.has(Word::CONFIRMED) && !settings::tells() {
        // Whatever nobody confirms takes no place among those that are known.
        talk.free();
        return 0;
    }
    let slot = Slot::from_hash(talk.hash());
    if matches!(outcome, Outcome::Blind) && word.has(Word::REFUSES) {
        // Its segments are looked at one by one.
        return 0;
    }
    let sampled = word.has(Word::SAMPLED) && !word.has(Word::CLOSED);
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    let state = State(
        outcome as u16
            | flag(word.has(Word::CLOSED), State::CLOSED)
            | flag(word.has(Word::REFUSED), State::REFUSED)
            | flag(sampled, State::SAMPLED),
    );
    if let Some(line) = maps::settled(slot.set)
        && let Some(now) = now()
        && line.note::<Atomic>(slot.tag, state, now)
    {
        maps::count_evicted(Evicted::Settled);
    }
    if !sampled {
        talk.free();
    }
    0
}

/// The tick of the segment that is heard.
#[inline(always)]
fn now() -> Option<u32> {
    // SAFETY: as in `guard_find`.
    maps::hearing().map(|hearing| unsafe { (*hearing).segment.now })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_expire(position: u32, now: u32) -> u32 {
    let Some(talk) = maps::talk(position) else {
        return 0;
    };
    if let Some(hearing) = maps::hearing() {
        // SAFETY: the memory is this CPU's alone.
        unsafe { (*hearing).segment.now = now };
    }
    let ticks_per_second = settings::ticks_per_second();
    if talk.is_left(now, ticks_per_second) {
        talk.free();
    } else if let Some(outcome) = talk.expire::<Atomic>(now, ticks_per_second) {
        guard_count(position, outcome as u32);
    }
    0
}

/// Gives up the connection at `position` if it has been quiet for too long at tick `now`.
#[inline(always)]
pub(crate) fn expire(position: u32, now: u32) {
    if maps::talk(position).is_some_and(Talk::is_taken) {
        guard_expire(position, now);
    }
}

/// Tells user space what a connection is: of those that are encrypted only where all is told.
#[inline(always)]
fn tell_outcome(talk: &Talk, word: Word, outcome: Outcome) {
    let is_finding = !matches!(
        outcome,
        Outcome::Encrypted | Outcome::Empty | Outcome::Blind
    );
    let Some(now) = now() else { return };
    let is_told = settings::tells() || is_finding && events::agreed(EventClass::Outcome, now);
    if !is_told {
        return;
    }
    let (peer, ports) = talk.ends();
    let evaded = if word.has(Word::EVADED) {
        Event::EVADED
    } else {
        0
    };
    let outbound = if word.is_outbound() {
        Event::OUTBOUND
    } else {
        0
    };
    let event = Event {
        source: events::address_bytes(peer),
        seq: 0,
        interface: word.interface(),
        packet_bytes: 0,
        excerpt_len: 0,
        source_port: (ports >> 16) as u16,
        port: ports as u16,
        service_plus_one: word.service_plus_one(),
        verdict: Verdict::Pass as u8,
        reason: Reason::Pass as u8,
        protocol: word.protocol() as u8,
        class: EventClass::Outcome as u8,
        outcome: outcome as u8,
        speaker: word.first_speaker() as u8,
        notes: evaded | outbound,
        reserved: [0; 3],
    };
    events::tell(event);
}

/// Tells user space of a request in clear.
#[inline(always)]
fn tell_request(talk: &Talk, said: Said) {
    let protocol = talk.noted().protocol();
    guard_tell(
        EventClass::Plaintext as u32,
        said as u32,
        EXCERPT_LEN as u32,
        protocol as u32,
    );
}

/// Gives user space what a connection says in its first segments, if it is one of those.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_sample(position: u32) -> u32 {
    if let (Some(hearing), Some(talk)) = (maps::hearing(), maps::talk(position))
        && talk.noted().has(Word::SAMPLED)
    {
        // SAFETY: as in `guard_find`.
        sample(unsafe { &(*hearing).segment }, talk);
    }
    0
}

#[inline(always)]
fn sample(segment: &Segment, talk: &Talk) {
    let offset = talk.offset(segment);
    if segment.payload_len != 0 && offset < SAMPLED_LEN {
        guard_tell(
            EventClass::Sample as u32,
            offset,
            TEXT_LEN,
            Protocol::Tls as u32,
        );
    }
    let word = talk.noted();
    let over = word.segments() >= SAMPLED_SEGMENTS || segment.flags & (TCP_FIN | TCP_RST) != 0;
    if over && word.has(Word::SETTLED) && !word.has(Word::EXPIRED) {
        let slot = Slot::from_hash(segment.hash);
        if let Some(found) = maps::settled(slot.set).and_then(|line| line.find(slot.tag)) {
            found.set(State(found.state().0 & !State::SAMPLED));
        }
        talk.free();
    }
}

/// Tells user space of the segment that is heard, with the start of its payload. `about` is what
/// was [`Said`] of plaintext, or the offset of a sample.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_tell(class: u32, about: u32, most: u32, protocol: u32) -> u32 {
    const SAMPLE: u32 = EventClass::Sample as u32;
    let Some(hearing) = maps::hearing() else {
        return 0;
    };
    // SAFETY: the memory is this CPU's alone.
    let hearing = unsafe { &mut *hearing };
    let segment = hearing.segment;
    let class = if class == SAMPLE {
        EventClass::Sample
    } else {
        EventClass::Plaintext
    };
    let is_sample = class as u32 == SAMPLE;
    if !is_sample && !events::agreed(class, segment.now) {
        return 0;
    }
    let verdict = if !is_sample && about >= Said::Refused as u32 {
        Refused::verdict_of(about == Said::Reset as u32)
    } else {
        Verdict::Pass
    };
    let excerpt_len = segment.text_len.min(most).min(TEXT_LEN);
    hearing.event = Event {
        source: events::address_bytes(segment.peer),
        seq: if is_sample { about } else { segment.seq },
        interface: segment.interface.into(),
        packet_bytes: segment.payload_len,
        excerpt_len,
        source_port: (segment.ports >> 16) as u16,
        port: segment.ports as u16,
        service_plus_one: segment.service_plus_one,
        verdict: verdict as u8,
        reason: Reason::Plaintext as u8,
        protocol: protocol as u8,
        class: class as u8,
        outcome: 0,
        speaker: if segment.by_client != 0 { 1 } else { 2 },
        notes: u8::from(segment.by_client == segment.by_host) * Event::OUTBOUND,
        reserved: [0; 3],
    };
    // Once more, since the verifier has to see it.
    let len = (forget(excerpt_len.into()) as u32).min(TEXT_LEN) as usize;
    let start = addr_of!(hearing.event).cast::<u8>();
    if !events::tell_bytes(start, size_of::<Event>() + len) {
        events::lost(class);
    }
    0
}

/// The segment that this CPU hears, and the place of its connection, as the state machine asks about
/// them.
struct Kernel {
    position: u32,
}

impl Kernel {
    /// Where no connection is asked about.
    const STRAY: Self = Self { position: 0 };
}

impl Hearing for Kernel {
    #[inline(always)]
    fn listen(&self) -> Listens {
        match guard_listen(self.position) {
            0 => Listens::No,
            1 => Listens::FromTheStart,
            _ => Listens::Blindly,
        }
    }

    #[inline(always)]
    fn put(&self) -> bool {
        guard_put(self.position) != 0
    }

    #[inline(always)]
    fn name(&self) {
        guard_name(self.position);
    }

    #[inline(always)]
    fn step_over(&self) -> bool {
        guard_step_over(self.position) != 0
    }

    #[inline(always)]
    fn judge(&self) {
        guard_judge(self.position);
    }

    #[inline(always)]
    fn take_in_blindly(&self) {
        guard_blind(self.position);
    }

    #[inline(always)]
    fn conclude(&self) -> Heard {
        Heard(guard_heard(self.position))
    }
}

/// Does a part with the segment that is heard and the connection at `position`.
#[inline(always)]
fn with(position: u32, part: impl FnOnce(&Talk, &Segment, &Kernel, &mut Heeded) -> u32) -> u32 {
    let (Some(hearing), Some(talk)) = (maps::hearing(), maps::talk(position)) else {
        return 0;
    };
    // SAFETY: the memory is this CPU's alone, and nobody writes the segment while it is heard.
    let (segment, heeded) = unsafe { (&(*hearing).segment, &mut *hearing) };
    forget(part(talk, segment, &Kernel { position }, heeded).into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_listen(position: u32) -> u32 {
    with(position, |talk, segment, _, heeded| {
        let (listens, word) = talk.listen(segment);
        heeded.was = talk.noted();
        heeded.progress = Progress(word.0);
        listens as u32
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_put(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        let progress = talk.put(segment, ears, heeded.progress.word());
        heeded.progress = Progress(progress.word().0);
        progress.is_again().into()
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_name(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        talk.name(segment, ears, heeded.progress.word());
        0
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_step_over(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        let progress = talk.step_over(segment, ears, heeded.progress.word());
        heeded.progress = Progress(progress.word().0);
        progress.is_again().into()
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_judge(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        heeded.progress = talk.judge(segment, ears, heeded.progress.word());
        0
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_blind(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        heeded.progress = talk.take_in_blindly(segment, ears, heeded.progress.word());
        0
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_heard(position: u32) -> u32 {
    with(position, |talk, segment, _, heeded| {
        let heard = talk.conclude::<Atomic>(segment, heeded.was, heeded.progress);
        heard.0
    })
}

impl Ears for Kernel {
    #[inline(always)]
    fn bytes(&self, at: u32) -> [u64; 3] {
        let Some(hearing) = maps::hearing() else {
            return [0; 3];
        };
        let at = (forget(at.into()) & u64::from(TEXT_LEN - 1)) as usize;
        // SAFETY: 24 bytes from there on are within the text and what is behind it.
        let words = unsafe {
            let text = addr_of!((*hearing).text).cast::<u8>().add(at);
            text.cast::<[u64; 3]>().read_unaligned()
        };
        words.map(u64::from_be)
    }

    #[inline(always)]
    fn search(&self, sought: Sought, at: u32, window: Window) -> u32 {
        let [older, newer] = window.words();
        guard_search(sought as u32, at, older, newer)
    }

    #[inline(always)]
    fn speech(&self, end: End, head: Head, protocol: Protocol, client: Speech) -> Speech {
        let [a, b, c] = head.words;
        let about = u64::from(head.filled) | (protocol as u64) << 32 | u64::from(client.0) << 40;
        if matches!(end, End::Server) {
            return Speech::numbered(guard_server(a, b, c, about));
        }
        let asks = Speech::numbered(guard_request(a, b, c, about));
        let said = Speech::numbered(guard_greeting(a, b, c, about));
        speech::joined(asks, said, protocol, || {
            Speech::numbered(guard_mail(a, b, c, about))
        })
    }

    #[inline(always)]
    fn step(&self, course: Course) -> Step {
        let said = u32::from(course.client.0) | u32::from(course.server.0) << 8;
        let where_ = (course.stage as u32) << 16 | (course.told as u32) << 20;
        let step = guard_step(said | where_, course.protocol as u32);
        match step {
            STAY => Step::Stay,
            TAKE_TURNS => Step::TakeTurns,
            outcome => Step::Is(Outcome::numbered(outcome)),
        }
    }
}

const STAY: u32 = 16;
const TAKE_TURNS: u32 = 17;

/// A head, what is spoken, and what the client says, of four words.
#[inline(always)]
fn about(a: u64, b: u64, c: u64, about: u64) -> (Start, Protocol, Speech) {
    let head = Head {
        words: [a, b, c],
        filled: about as u32 & 0xff_ffff,
    };
    let protocol = Protocol::numbered((about >> 32) as u32 & 0xff);
    let client = Speech::numbered((about >> 40) as u32 & 0xff);
    (head.start(), protocol, client)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_request(a: u64, b: u64, c: u64, facts: u64) -> u32 {
    let (start, _, _) = about(a, b, c, facts);
    forget(speech::request::<Atomic>(&start).0.into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_greeting(a: u64, b: u64, c: u64, facts: u64) -> u32 {
    let (start, protocol, _) = about(a, b, c, facts);
    forget(speech::greeting(&start, protocol).0.into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_mail(a: u64, b: u64, c: u64, facts: u64) -> u32 {
    let (start, protocol, _) = about(a, b, c, facts);
    forget(speech::mail::<Atomic>(&start, protocol).0.into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_server(a: u64, b: u64, c: u64, facts: u64) -> u32 {
    let (start, protocol, client) = about(a, b, c, facts);
    forget(speech::server(&start, protocol, client).0.into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_step(said: u32, protocol: u32) -> u32 {
    let course = Course {
        stage: if said >> 16 & 1 == 0 {
            Stage::First
        } else {
            Stage::Turns
        },
        protocol: Protocol::numbered(protocol),
        client: Speech::numbered(said & 0xff),
        server: Speech::numbered(said >> 8 & 0xff),
        told: match said >> 20 & 3 {
            0 => Told::NotYet,
            1 => Told::Yes,
            _ => Told::No,
        },
    };
    let step = match course.step() {
        Step::Stay => STAY,
        Step::TakeTurns => TAKE_TURNS,
        Step::Is(outcome) => outcome as u32,
    };
    forget(step.into()) as u32
}

/// How many bytes of the text from `at` on it takes to find something; zero when it is not there.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_search(sought: u32, at: u32, older: u64, newer: u64) -> u32 {
    let mut words = [older, newer];
    for part in 0..SEARCHED / PART {
        let start = part * PART;
        let found = guard_part(sought, at + start, words[0], words[1]);
        if found != 0 {
            return start + found;
        }
        // Of what comes next, this comes before.
        let [older, newer, _] = Kernel::STRAY.bytes(at + start + PART - 16);
        words = [older, newer];
    }
    0
}

/// Bytes that are searched in one call.
const PART: u32 = 64;

/// The same in the next few bytes: the verifier follows these once, not each kilobyte.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_part(sought: u32, at: u32, older: u64, newer: u64) -> u32 {
    let Some(hearing) = maps::hearing() else {
        return 0;
    };
    // SAFETY: as in `guard_find`.
    let len = unsafe { (*hearing).segment.text_len };
    let mut search = Search::new(Sought::numbered(sought), Window::new(older, newer));
    for i in 0..PART {
        let place = at + i;
        if place >= len {
            break;
        }
        let place = (forget(place.into()) & u64::from(TEXT_LEN - 1)) as usize;
        // SAFETY: the byte is within the text.
        let byte = unsafe { *addr_of!((*hearing).text).cast::<u8>().add(place) };
        if search.next(byte) {
            return i + 1;
        }
    }
    0
}
