//! Where a connection is, or begins: handshakes, and the places of those that are not known yet.

use guard_common::{
    connection::{
        Outcome,
        opening::{Openings, Starts},
        talk::{Segment, Talks, Word},
    },
    packet::{TCP_ACK, TCP_SYN},
    source::Slot,
    wire::{EventClass, Evicted},
};

use super::{guard_conclude, settle};
use crate::{events, maps, stages::limits::Atomic};

/// How far from where a handshake said it would start a first segment may be, in bytes.
const WINDOW: u32 = 1 << 20;

/// No connection's position.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The position of a segment's connection, or of the place where it begins; [`NOWHERE`] where there
/// is none.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn guard_place(may_begin: u32) -> u32 {
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

/// A SYN of somebody who says nothing with it, to a service of the host: the sequence number from
/// which he will speak. A function of its own, which asks no more than it has to: it is run for each
/// packet of the most usual flood there is.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn guard_called(hash: u64, client: u32, now: u32) -> u32 {
    let slot = Slot::from_hash(hash);
    if let Some(openings) = maps::openings(slot.set) {
        called(openings, slot, client, now);
    }
    0
}

/// A SYN that is not the host's.
#[inline(always)]
fn called(openings: &Openings, slot: Slot, client: u32, now: u32) {
    let former = openings.find(slot.tag);
    // A handshake that the host has answered is only over when it answers another.
    if !former.known || former.server == 0 {
        openings.called::<Atomic>(slot.tag, client, now);
    }
}

/// A handshake's segment.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn guard_shake() -> u32 {
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
        if segment.by_host != 0 {
            openings.called::<Atomic>(slot.tag, segment.seq, segment.now);
        } else {
            called(openings, slot, segment.seq, segment.now);
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
