//! What user space is told of single packets: a sample, within a budget, without waking anybody.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use guard_common::{
    facts::Facts,
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{Event, EventBudget, EventClass, Excerpt},
};

use crate::{maps, packet::XdpFrame, pipeline::Refused, settings};

/// Tells of a packet that was refused. Plaintext has told already: [`plaintext`].
#[inline(always)]
pub(crate) fn refused(frame: &XdpFrame<'_>, facts: &Facts, reason: Reason) {
    if reason == Reason::Plaintext || !agreed(EventClass::Refused, facts.now) {
        return;
    }
    let Some(mut entry) = maps::EVENTS.reserve::<Event>(0) else {
        return lost(EventClass::Refused);
    };
    entry.write(describe(frame, facts, Refused::verdict(), reason));
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// Tells of a plaintext payload, with its first bytes.
#[inline(always)]
pub(crate) fn plaintext(frame: &XdpFrame<'_>, facts: &Facts, found: &Plaintext) {
    if !agreed(EventClass::Plaintext, facts.now) {
        return;
    }
    let Some(mut entry) = maps::EVENTS.reserve::<Excerpt>(0) else {
        return lost(EventClass::Plaintext);
    };
    let mut event = describe(frame, facts, found.verdict, Reason::Plaintext);
    event.class = EventClass::Plaintext as u8;
    event.protocol = found.protocol as u8;
    event.service_plus_one = found.service_plus_one;
    frame.excerpt(facts, event, &mut entry);
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// Tells of a source that has stayed over its limit.
#[inline(always)]
pub(crate) fn offence(frame: &XdpFrame<'_>, facts: &Facts) {
    let Some(mut entry) = maps::EVENTS.reserve::<Event>(0) else {
        return with(EventClass::Offence, |budget| budget.lost += 1);
    };
    with(EventClass::Offence, |budget| budget.emitted += 1);
    let mut event = describe(frame, facts, Verdict::Pass, Reason::Ban);
    event.class = EventClass::Offence as u8;
    entry.write(event);
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// A plaintext payload on a service's port, and what became of it.
pub(crate) struct Plaintext {
    pub(crate) protocol: Protocol,
    pub(crate) service_plus_one: u16,
    pub(crate) verdict: Verdict,
}

#[inline(always)]
fn describe(frame: &XdpFrame<'_>, facts: &Facts, verdict: Verdict, reason: Reason) -> Event {
    Event {
        source: address_bytes(facts.address()),
        seq: facts.seq,
        interface: frame.interface(),
        packet_bytes: facts.bytes,
        excerpt_len: 0,
        source_port: facts.source_port,
        port: facts.port,
        service_plus_one: 0,
        verdict: verdict as u8,
        reason: reason as u8,
        protocol: Protocol::Undecided as u8,
        class: EventClass::Refused as u8,
        reserved: [0; 6],
    }
}

/// An IPv4 address in its IPv6-mapped form (RFC 4291 section 2.5.5.2).
#[inline(always)]
fn address_bytes([high, low]: [u64; 2]) -> [u8; 16] {
    let [high, low] = [u64::from_be(high), u64::from_be(low)];
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}

/// Whether the class has budget left in the running second, and takes one from it.
#[inline(always)]
fn agreed(class: EventClass, now: u32) -> bool {
    maps::with_event_budget(class, |budget| {
        if now.wrapping_sub(budget.second_start) >= settings::ticks_per_second() {
            budget.second_start = now;
            budget.spent = 0;
        }
        if budget.spent >= settings::event_budget() {
            budget.suppressed += 1;
            return false;
        }
        budget.spent += 1;
        // Taken back in `lost` when the ring buffer has no room.
        budget.emitted += 1;
        true
    })
    .unwrap_or(false)
}

#[inline(always)]
fn lost(class: EventClass) {
    with(class, |budget| {
        budget.emitted -= 1;
        budget.lost += 1;
    });
}

#[inline(always)]
fn with(class: EventClass, change: impl FnOnce(&mut EventBudget)) {
    let _ = maps::with_event_budget(class, change);
}
