//! What one source may send: packets, SYNs and bytes.

use guard_common::{
    limit::{DEBTS, Limit},
    packet::{IpPacket, Transport},
    reason::Reason,
    source::Slot,
};

use crate::{maps, pipeline::Refused, settings, stages::rules::Standing};

/// The reasons of the limits of packets and SYNs, in the order of their debts.
const REASONS: [Reason; DEBTS] = [Reason::LimitPackets, Reason::LimitConnections];

/// Charges a packet to its source, unless that is allowed. A refused packet costs nothing.
#[inline(always)]
pub(crate) fn charge(packet: &IpPacket, standing: Standing, now: u32) -> Result<(), Refused> {
    let (limits, limit_bytes) = (settings::limits(), settings::limit_bytes());
    let counted = limits[0].is_on() || limits[1].is_on();
    if standing == Standing::Allowed || !(counted || limit_bytes.is_on()) {
        return Ok(());
    }
    let slot = Slot::of(packet.source, settings::ipv6_mask(), settings::hash_seed());
    let set = slot.set & settings::set_mask();

    let quote = match maps::sources(set) {
        Some(set) if counted => {
            let units = [1, opens(packet)];
            let quote = set.quote(slot.tag, now, &limits, units);
            Some(quote.map_err(|limit| Refused(REASONS[limit & 1]))?)
        }
        _ => None,
    };
    if limit_bytes.is_on() && guard_charge_bytes(set, slot.tag, now, packet.frame_len) != 0 {
        return Err(Refused(Reason::LimitBytes));
    }
    if let Some(quote) = quote {
        quote.pay();
    }
    Ok(())
}

/// Charges `bytes` to a source; not zero when that is over the limit. Off by default, and so a
/// function of its own, which the verifier goes through once.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_charge_bytes(set: u32, tag: u32, now: u32, bytes: u32) -> u32 {
    let Some(set) = maps::source_bytes(set) else {
        return 0;
    };
    match set.quote(tag, now, &[settings::limit_bytes(), Limit::OFF], [bytes, 0]) {
        Ok(quote) => {
            quote.pay();
            0
        }
        Err(_) => 1,
    }
}

#[inline(always)]
fn opens(packet: &IpPacket) -> u32 {
    match &packet.transport {
        Transport::Tcp(tcp) => u32::from(tcp.opens),
        _ => 0,
    }
}
