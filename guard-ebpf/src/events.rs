//! What user space is told of single packets: a sample, within a budget, without waking anybody.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use guard_common::{
    packet::{Address, IpPacket, Tcp, Transport},
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{Event, EventClass, Excerpt},
};

use crate::{maps, packet::XdpFrame, pipeline::Refused, settings};

/// Tells of a packet that was refused. Plaintext has told already: [`plaintext`].
#[inline(always)]
pub(crate) fn refused(frame: &XdpFrame<'_>, packet: &IpPacket, reason: Reason, now: u32) {
    if reason == Reason::Plaintext || !agreed(EventClass::Refused, now) {
        return;
    }
    let Some(mut entry) = maps::EVENTS.reserve::<Event>(0) else {
        return lost(EventClass::Refused);
    };
    entry.write(describe(frame, packet, Refused::verdict(), reason));
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// Tells of a plaintext payload, with its first bytes.
#[inline(always)]
pub(crate) fn plaintext(
    frame: &XdpFrame<'_>,
    packet: &IpPacket,
    tcp: &Tcp,
    found: &Plaintext,
    now: u32,
) {
    if !agreed(EventClass::Plaintext, now) {
        return;
    }
    let Some(mut entry) = maps::EVENTS.reserve::<Excerpt>(0) else {
        return lost(EventClass::Plaintext);
    };
    let mut event = describe(frame, packet, found.verdict, Reason::Plaintext);
    event.protocol = found.protocol as u8;
    event.service_plus_one = found.service_plus_one;
    frame.excerpt(tcp, event, &mut entry);
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
}

/// A plaintext payload on a service's port, and what became of it.
pub(crate) struct Plaintext {
    pub(crate) protocol: Protocol,
    pub(crate) service_plus_one: u16,
    pub(crate) verdict: Verdict,
}

#[inline(always)]
fn describe(frame: &XdpFrame<'_>, packet: &IpPacket, verdict: Verdict, reason: Reason) -> Event {
    let (source_port, port, seq) = match &packet.transport {
        Transport::Tcp(tcp) => (tcp.source_port, tcp.port, tcp.seq),
        _ => (0, 0, 0),
    };
    Event {
        source: address_bytes(packet.source),
        seq,
        interface: frame.interface(),
        packet_bytes: packet.frame_len,
        excerpt_len: 0,
        source_port,
        port,
        service_plus_one: 0,
        verdict: verdict as u8,
        reason: reason as u8,
        protocol: Protocol::Undecided as u8,
        reserved: [0; 7],
    }
}

/// An IPv4 address in its IPv6-mapped form (RFC 4291 section 2.5.5.2).
#[inline(always)]
fn address_bytes(address: Address) -> [u8; 16] {
    let [high, low] = match address {
        Address::V4(word) => [0, u64::from(u32::from_be(word)) | 0xffff_0000_0000],
        Address::V6([high, low]) => [u64::from_be(high), u64::from_be(low)],
    };
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
    maps::with_event_budget(class, |budget| {
        budget.emitted -= 1;
        budget.lost += 1;
    });
}
