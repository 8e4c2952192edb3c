//! What user space is told of single packets: a sample, within a budget, without waking anybody.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use guard_common::{
    facts::Facts,
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{Event, EventBudget, EventClass},
};

use crate::{maps, packet::XdpFrame, pipeline::Refused, settings};

/// Tells of a packet that was refused. Plaintext has told already, where it was heard.
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

#[inline(always)]
fn describe(frame: &XdpFrame<'_>, facts: &Facts, verdict: Verdict, reason: Reason) -> Event {
    Event {
        source: address_bytes(facts.address()),
        seq: facts.tcp.seq(),
        interface: frame.interface(),
        packet_bytes: facts.bytes,
        excerpt_len: 0,
        source_port: facts.tcp.source_port(),
        port: facts.tcp.port(),
        service_plus_one: 0,
        verdict: verdict as u8,
        reason: reason as u8,
        protocol: Protocol::Unknown as u8,
        class: EventClass::Refused as u8,
        outcome: 0,
        speaker: 0,
        notes: 0,
        reserved: [0; 3],
    }
}

/// Tells of a connection.
#[inline(always)]
pub(crate) fn tell(event: Event) {
    let Some(mut entry) = maps::EVENTS.reserve::<Event>(0) else {
        return lost(EventClass::Outcome);
    };
    entry.write(event);
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// Tells user space these bytes, which nobody writes meanwhile: an event and what follows it. False
/// when there is no room.
#[inline(always)]
pub(crate) fn tell_bytes(start: *const u8, len: usize) -> bool {
    // SAFETY: the caller vouches for them.
    let bytes = unsafe { core::slice::from_raw_parts(start, len) };
    maps::EVENTS
        .output::<[u8]>(bytes, u64::from(BPF_RB_NO_WAKEUP))
        .is_ok()
}

/// An IPv4 address in its IPv6-mapped form (RFC 4291 section 2.5.5.2).
#[inline(always)]
pub(crate) fn address_bytes([high, low]: [u64; 2]) -> [u8; 16] {
    let [high, low] = [u64::from_be(high), u64::from_be(low)];
    ((u128::from(high) << 64) | u128::from(low)).to_be_bytes()
}

/// Whether the class has budget left in the running second, without taking any.
#[inline(always)]
pub(crate) fn may(class: EventClass, now: u32) -> bool {
    maps::with_event_budget(class, |budget| {
        now.wrapping_sub(budget.second_start) >= settings::ticks_per_second()
            || budget.spent < settings::event_budget()
    })
    .unwrap_or(false)
}

/// Whether the class has budget left in the running second, and takes one from it.
#[inline(always)]
pub(crate) fn agreed(class: EventClass, now: u32) -> bool {
    let budget_of_class = match class {
        EventClass::Sample => settings::sample_budget(),
        _ => settings::event_budget(),
    };
    maps::with_event_budget(class, |budget| {
        if now.wrapping_sub(budget.second_start) >= settings::ticks_per_second() {
            budget.second_start = now;
            budget.spent = 0;
        }
        if budget.spent >= budget_of_class {
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
pub(crate) fn lost(class: EventClass) {
    with(class, |budget| {
        budget.emitted -= 1;
        budget.lost += 1;
    });
}

#[inline(always)]
fn with(class: EventClass, change: impl FnOnce(&mut EventBudget)) {
    let _ = maps::with_event_budget(class, change);
}
