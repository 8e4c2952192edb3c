//! Whether a service's connections are encrypted. Most segments are of connections of which that is
//! known, and end here after a look at one cache line; the others are heard: see `hearing.rs`.

use guard_common::{
    connection::{Outcome, settled::State},
    facts::{Facts, Shape},
    packet::{TCP_FIN, TCP_RST, TCP_SYN},
    reason::Reason,
    source::Slot,
    wire::{EventClass, ServicePort},
};

use crate::{
    events,
    hearing::{Said, guard_called},
    maps,
    packet::XdpFrame,
    pipeline::{Refusal, Refused},
    settings,
};

/// Flags that change what is known of a connection.
const NOTABLE: u8 = TCP_SYN | TCP_FIN | TCP_RST;

/// Finds out what a connection is. Plaintext where encryption is required is flagged: the packet
/// passes under that reason, or is refused, as the service says.
#[inline(always)]
pub(crate) fn check(
    frame: &XdpFrame<'_>,
    facts: &Facts,
    service: ServicePort,
) -> Result<Option<Reason>, Refused> {
    if !settings::checks() || !facts.shape.has(Shape::TCP) {
        return Ok(None);
    }
    let mut service = service;
    let mut by_client = true;
    if service.flags & ServicePort::CHECK == 0 && settings::checks_calls() {
        service = maps::called_port(facts.tcp.source_port());
        by_client = false;
    }
    if service.flags & ServicePort::CHECK == 0 {
        return Ok(None);
    }
    let hash = facts.connection();
    let says_something = facts.payload_len != 0;
    if by_client && facts.tcp.flags() & TCP_SYN != 0 && !says_something {
        guard_called(hash, facts.tcp.seq().wrapping_add(1), facts.now);
        return Ok(None);
    }
    if is_settled(
        hash,
        facts.tcp.flags(),
        facts.now,
        by_client && says_something,
    ) {
        return Ok(None);
    }
    match frame.heard(facts, service, by_client, hash) {
        Said::Nothing => Ok(None),
        Said::Flagged => Ok(Some(Reason::Plaintext)),
        Said::Refused => Err(Refused(Reason::Plaintext, Refusal::Drop)),
        Said::Reset => Err(Refused(Reason::Plaintext, Refusal::Reset)),
    }
}

/// Whether all is known of the connection that a segment changes nothing of.
#[inline(always)]
pub(crate) fn is_settled(hash: u64, flags: u8, now: u32, asks: bool) -> bool {
    const SERVED: u32 = Outcome::PlaintextServed as u32;
    if flags & NOTABLE != 0 {
        return false;
    }
    let slot = Slot::from_hash(hash);
    let Some(found) = maps::settled(slot.set).and_then(|line| line.find(slot.tag)) else {
        return false;
    };
    let state = found.state();
    if state.has(State::SAMPLED | State::REFUSED) {
        return false;
    }
    // Of requests in clear one in a while is told of.
    if asks && state.outcome() == SERVED && events::may(EventClass::Plaintext, now) {
        return false;
    }
    found.touch(now);
    true
}
