//! What is said of a connection: counted, noted as known, and told to user space.

use core::ptr::addr_of;

use guard_common::{
    connection::{
        Outcome,
        settled::State,
        talk::{Segment, TEXT_LEN, Talk, Word},
    },
    packet::{TCP_FIN, TCP_RST},
    protocol::Protocol,
    reason::{Reason, Verdict},
    source::Slot,
    wire::{EXCERPT_LEN, Event, EventClass, Evicted, outcome_position},
};

use super::Said;
use crate::{events, forget::forget, maps, pipeline::Refused, settings, stages::limits::Atomic};

/// Segments of a connection that user space is given a sample of.
const SAMPLED_SEGMENTS: u32 = 24;
/// Bytes of each side that user space is given.
const SAMPLED_LEN: u32 = 1 << 14;

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
pub(super) extern "C" fn guard_conclude(position: u32, outcome: u32) -> u32 {
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
pub(super) fn tell_request(talk: &Talk, said: Said) {
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
pub(super) extern "C" fn guard_sample(position: u32) -> u32 {
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
pub(super) extern "C" fn guard_tell(class: u32, about: u32, most: u32, protocol: u32) -> u32 {
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
