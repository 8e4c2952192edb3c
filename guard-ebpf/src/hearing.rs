//! What segments of services' connections say: the state machine of `guard_common::connection`,
//! over the tables of the kernel side.
//!
//! A segment is laid down in memory of this CPU's own; functions that the verifier reads once take
//! it from there. Both programs use them: nothing here depends on where the segment was seen.

use guard_common::{
    connection::{
        End, Outcome,
        head::{HEAD_LEN, Head},
        settled::State,
        speech::Speech,
        talk::{Ears as _, Heard, Progress, Segment, TEXT_LEN, Talk, Word, hear},
    },
    packet::{TCP_FIN, TCP_RST, TCP_SYN},
    protocol::Protocol,
    source::Slot,
    wire::{EXCERPT_LEN, Event, EventClass, ServicePort},
};

use crate::{events, forget::forget, maps, stages::limits::Atomic};

mod kernel;
mod place;
mod tell;

use kernel::Kernel;
pub(crate) use place::guard_called;
use place::{NOWHERE, guard_place, guard_shake};
pub(crate) use tell::expire;
use tell::{guard_conclude, guard_sample, guard_tell, tell_request};

/// Room behind the text for what is read beyond its end.
const BEYOND: usize = 64;

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
    head.put(0, Kernel::STRAY.bytes(0), len.min(HEAD_LEN));
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

/// A position of which the verifier has forgotten where it comes from.
#[inline(always)]
fn settle(position: u32) -> u32 {
    forget(position.into()) as u32
}
