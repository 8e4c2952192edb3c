//! What user space is told so that it can say who sends most: some of all packets that were
//! counted, whatever became of them.

use aya_ebpf::bindings::BPF_RB_NO_WAKEUP;
use guard_common::{
    packet::Address,
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{Event, EventClass},
};

use crate::{events, maps, settings};

/// A packet that was counted.
pub(crate) struct Counted {
    /// Where it says it comes from; zero where it says nothing of the kind.
    pub(crate) address: [u64; 2],
    pub(crate) bytes: u32,
    pub(crate) now: u32,
}

impl Counted {
    /// One without a source: no IP packet, or one whose headers are unsound.
    #[inline(always)]
    pub(crate) fn nobodys(bytes: u32) -> Self {
        Self {
            address: [0; 2],
            bytes,
            now: 0,
        }
    }

    /// Tells of it, within the CPU's budget.
    #[inline(always)]
    pub(crate) fn tell(&self, interface: u32, verdict: Verdict, reason: Reason) {
        let [high, low] = self.address;
        let judged = u64::from(interface) | (verdict as u64) << 32 | (reason as u64) << 40;
        guard_talker(high, low, judged, self.bytes, self.now);
    }
}

/// Tells of a packet by its address, what became of it (interface, verdict and reason in one word),
/// its bytes and the tick. A function of its own: it concerns few packets.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_talker(high: u64, low: u64, judged: u64, bytes: u32, now: u32) -> u32 {
    if high == 0 && low == 0 {
        return 0;
    }
    let stands_for = maps::next_talker(now);
    if stands_for == 0 {
        return 0;
    }
    let Some(mut entry) = maps::EVENTS.reserve::<Event>(0) else {
        return 0;
    };
    entry.write(Event {
        source: events::address_bytes(source_of([high, low])),
        seq: stands_for,
        interface: judged as u32,
        packet_bytes: bytes,
        excerpt_len: 0,
        source_port: 0,
        port: 0,
        service_plus_one: 0,
        verdict: (judged >> 32) as u8,
        reason: (judged >> 40) as u8,
        protocol: Protocol::Unknown as u8,
        class: EventClass::Talker as u8,
        outcome: 0,
        speaker: 0,
        notes: 0,
        reserved: [0; 3],
    });
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    stands_for
}

/// Whom the address belongs to: of IPv6, the prefix.
#[inline(always)]
fn source_of(address: [u64; 2]) -> [u64; 2] {
    match Address::of(address) {
        Address::V4(_) => address,
        Address::V6([high, low]) => {
            let [of_high, of_low] = settings::ipv6_mask();
            [high & of_high, low & of_low]
        }
    }
}
