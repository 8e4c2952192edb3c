//! What all sources together may send of a kind of packets, and what one source may send: packets,
//! SYNs and bytes.

use guard_common::{
    limit::Limit,
    packet::{IpPacket, Transport},
    reason::Reason,
    source::Slot,
    wire::Budget,
};

use crate::{maps, pipeline::Refused, settings, stages::rules::Standing};

/// Charges a packet to the host's budget and to its source, unless that is allowed. A refused
/// packet costs nothing.
#[inline(always)]
pub(crate) fn charge(packet: &IpPacket, standing: Standing, now: u32) -> Result<(), Refused> {
    if standing == Standing::Allowed {
        return Ok(());
    }
    let budget = budget_of(packet);
    if let Some(budget) = budget
        && guard_budget(budget as u32, now, ASK) != WITHIN
    {
        return Err(Refused(Reason::LimitProtocol));
    }
    charge_source(packet, now)?;
    if let Some(budget) = budget {
        guard_budget(budget as u32, now, PAY);
    }
    Ok(())
}

/// The host's budget for packets of this kind, if there is a limit to it.
#[inline(always)]
fn budget_of(packet: &IpPacket) -> Option<Budget> {
    let budget = match packet.transport {
        _ if packet.fragment => Budget::Fragments,
        Transport::Icmp => Budget::Icmp,
        Transport::Udp => Budget::Udp,
        _ => return None,
    };
    settings::budget(budget).is_on().then_some(budget)
}

const ASK: u32 = 0;
const PAY: u32 = 1;

/// Whether a [`Budget`] has room for a packet, which is charged to it when it is to `pay`. A
/// function of its own for the same reason as [`guard_charge`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_budget(budget: u32, now: u32, pay: u32) -> u32 {
    const ICMP: u32 = Budget::Icmp as u32;
    const FRAGMENTS: u32 = Budget::Fragments as u32;
    /// The only one there is in the set.
    const TAG: u32 = 1;

    let budget = match budget {
        ICMP => Budget::Icmp,
        FRAGMENTS => Budget::Fragments,
        _ => Budget::Udp,
    };
    let Some(set) = maps::budget(budget) else {
        return WITHIN;
    };
    match set.quote(TAG, now, &[settings::budget(budget), Limit::OFF], [1, 0]) {
        Ok(quote) if pay == PAY => quote.pay(),
        Ok(_) => {}
        Err(_) => return OVER_PACKETS,
    }
    WITHIN
}

/// Charges a packet to its source.
#[inline(always)]
fn charge_source(packet: &IpPacket, now: u32) -> Result<(), Refused> {
    if !counts_packets() && !settings::limit_bytes().is_on() {
        return Ok(());
    }
    let slot = Slot::of(packet.source, settings::ipv6_mask(), settings::hash_seed());
    let set = slot.set & settings::set_mask();
    match guard_charge(set, slot.tag, now, packet.frame_len, opens(packet)) {
        WITHIN => Ok(()),
        OVER_PACKETS => Err(Refused(Reason::LimitPackets)),
        OVER_CONNECTIONS => Err(Refused(Reason::LimitConnections)),
        _ => Err(Refused(Reason::LimitBytes)),
    }
}

// What charging comes to. The limits over follow `WITHIN` in the order of their debts.
const WITHIN: u32 = 0;
const OVER_PACKETS: u32 = 1;
const OVER_CONNECTIONS: u32 = 2;
const OVER_BYTES: u32 = 3;

/// Charges one packet of so many `bytes`, which `opens` a connection or not, to the source `tag` in
/// `set`. A function of its own, which the verifier goes through once and not once for each way
/// that leads here; the call costs a nanosecond.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_charge(set: u32, tag: u32, now: u32, bytes: u32, opens: u32) -> u32 {
    let quote = match maps::sources(set) {
        Some(set) if counts_packets() => {
            match set.quote(tag, now, &settings::limits(), [1, opens]) {
                Ok(quote) => Some(quote),
                Err(limit) => return OVER_PACKETS + limit as u32,
            }
        }
        _ => None,
    };
    if settings::limit_bytes().is_on() && guard_charge_bytes(set, tag, now, bytes) != WITHIN {
        return OVER_BYTES;
    }
    if let Some(quote) = quote {
        quote.pay();
    }
    WITHIN
}

/// Charges `bytes` to a source.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_charge_bytes(set: u32, tag: u32, now: u32, bytes: u32) -> u32 {
    let Some(set) = maps::source_bytes(set) else {
        return WITHIN;
    };
    let quote = set.quote(tag, now, &[settings::limit_bytes(), Limit::OFF], [bytes, 0]);
    match quote {
        Ok(quote) => {
            quote.pay();
            WITHIN
        }
        Err(_) => OVER_BYTES,
    }
}

/// Whether packets or SYNs have a limit.
#[inline(always)]
fn counts_packets() -> bool {
    settings::limits().iter().any(Limit::is_on)
}

#[inline(always)]
fn opens(packet: &IpPacket) -> u32 {
    match &packet.transport {
        Transport::Tcp(tcp) => u32::from(tcp.opens),
        _ => 0,
    }
}
