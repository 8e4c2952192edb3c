//! What a TCP payload on a service's port starts with, and what is done about plaintext.
//!
//! Signatures are looked for at the start of every segment, so that nothing that is forgotten
//! under a flood hides a request. That a payload matches *nothing* is worth counting only for a
//! connection's first one, so the sequence number after its SYN is remembered in a small table
//! that later connections overwrite.

use guard_common::{
    facts::{Facts, Shape},
    protocol::{HEAD_MIN, Protocol},
    reason::{Reason, Verdict},
    source,
    wire::{ServicePort, payload_position},
};

use crate::{
    events::{self, Plaintext},
    maps,
    packet::XdpFrame,
    pipeline::Refused,
    settings,
};

/// Classifies the payload. Plaintext where encryption is required is flagged: the packet passes
/// under that reason, or is refused, as the service says.
#[inline(always)]
pub(crate) fn check(
    frame: &XdpFrame<'_>,
    facts: &Facts,
    service: ServicePort,
) -> Result<Option<Reason>, Refused> {
    // Only TCP ports have a service.
    if service.flags & ServicePort::CHECK == 0 {
        return Ok(None);
    }
    let opening = Opening::of(facts);
    if facts.shape.has(Shape::OPENS) {
        opening.remember(facts);
    }
    if facts.payload_len == 0 {
        return Ok(None);
    }
    let protocol = classify(frame, facts);
    if protocol == Protocol::Undecided && !opening.is_first(facts) {
        return Ok(None);
    }
    let position = u32::from(service.service_plus_one) - 1;
    maps::count_payload(payload_position(position, protocol));
    if !protocol.is_plaintext() || service.flags & ServicePort::FLAG == 0 {
        return Ok(None);
    }
    let refuse = service.flags & ServicePort::DROP != 0;
    let verdict = if refuse {
        Refused::verdict()
    } else {
        Verdict::Pass
    };
    let found = Plaintext {
        protocol,
        service_plus_one: service.service_plus_one,
        verdict,
    };
    events::plaintext(frame, facts, &found);
    if refuse {
        Err(Refused(Reason::Plaintext))
    } else {
        Ok(Some(Reason::Plaintext))
    }
}

#[inline(always)]
fn classify(frame: &XdpFrame<'_>, facts: &Facts) -> Protocol {
    if (facts.payload_len as usize) < HEAD_MIN {
        return Protocol::Undecided;
    }
    frame.head(facts).map_or(Protocol::Undecided, Protocol::of)
}

/// Where a connection's first sequence number is remembered. The slot holds a tag of the
/// connection in its high half and the number its first payload will have in its low half.
struct Opening {
    position: u32,
    tag: u64,
}

impl Opening {
    #[inline(always)]
    fn of(facts: &Facts) -> Self {
        let hash = source::connection(facts.source(), facts.ports(), settings::hash_seed());
        // The lowest bit of the tag is set, so that no connection looks like an empty slot.
        Self {
            position: hash as u32,
            tag: (hash | 1 << 32) & !0xffff_ffff,
        }
    }

    #[inline(always)]
    fn remember(&self, facts: &Facts) {
        maps::set_opening(
            self.position,
            self.tag | u64::from(facts.seq.wrapping_add(1)),
        );
    }

    /// Whether this is the connection's first payload. It is so once.
    #[inline(always)]
    fn is_first(&self, facts: &Facts) -> bool {
        // A payload that comes with the SYN follows it in the sequence (RFC 7413).
        let seq = facts
            .seq
            .wrapping_add(u32::from(facts.shape.has(Shape::OPENS)));
        let first = maps::opening(self.position) == self.tag | u64::from(seq);
        if first {
            maps::set_opening(self.position, 0);
        }
        first
    }
}
