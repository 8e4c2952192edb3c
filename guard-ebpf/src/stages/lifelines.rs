//! What the host lives by: answers of its resolvers to what it has asked them, and the SSH
//! connections of its administrators. They are looked for only where a packet would be refused, so
//! nobody else pays for them, and pass within a budget of their own.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};
use guard_common::{
    departure::{Departure, Talk},
    facts::{Facts, Shape},
    lifeline::{Awaited, DNS_PORT, Datagram, question},
    packet::Address,
    reason::Reason,
    source,
    wire::Budget,
};

use crate::{
    maps,
    packet::{Scattered, XdpFrame},
    pipeline::Refused,
    settings,
    stages::limits::charge_budget,
};

/// Lets a packet pass that is `refused`, if it is of a lifeline.
#[inline(always)]
pub(crate) fn spare(
    frame: &XdpFrame<'_>,
    facts: &Facts,
    refused: Refused,
) -> Result<Reason, Refused> {
    if settings::protects_self() && is_lifeline(frame, facts) {
        return Ok(Reason::ProtectSelf);
    }
    Err(refused)
}

#[inline(always)]
fn is_lifeline(frame: &XdpFrame<'_>, facts: &Facts) -> bool {
    let Some(lifelines) = maps::lifelines() else {
        return false;
    };
    // A part of a packet could be of anything.
    if facts.shape.has(Shape::FRAGMENT) {
        return false;
    }
    if facts.shape.has(Shape::TALKS) && lifelines.is_ssh(facts.tcp.port()) {
        return guard_administrator(facts.connection(), facts.tcp.seq(), facts.now) != 0;
    }
    if !lifelines.may_hold(facts.address()) {
        return false;
    }
    if facts.shape.has(Shape::UDP) {
        return guard_datagram(frame.raw(), facts.now) != 0;
    }
    if facts.tcp.source_port() == DNS_PORT && !facts.shape.has(Shape::OPENS) {
        let (seed, ports) = (settings::hash_seed(), facts.tcp.ports());
        let asked = question(facts.source(), facts.local, ports, false, seed);
        return guard_answer(asked, facts.now) != 0;
    }
    false
}

/// Whether a segment is of an administrator's connection, whose budget has room. A function of its
/// own, as those that follow: each way to refuse a packet leads here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_administrator(connection: u64, seq: u32, now: u32) -> u32 {
    let awaited = maps::administrator(connection);
    let is_own = awaited.is_some_and(|awaited| awaited.admits(seq));
    u32::from(is_own && charge_budget(Budget::Administrators, now))
}

/// Whether a question was asked, and the budget of answers has room.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_answer(question: u64, now: u32) -> u32 {
    let is_asked = maps::is_asked(question, now, settings::question_ticks());
    u32::from(is_asked && charge_budget(Budget::Answers, now))
}

/// The same of a datagram, whose ports nobody else needs: they are read here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_datagram(ctx: *mut xdp_md, now: u32) -> u32 {
    let ctx = XdpContext::new(ctx);
    let frame = XdpFrame::new(&ctx);
    let Some(frame) = Scattered::new(&frame) else {
        return 0;
    };
    let Some(datagram) = Datagram::read(&frame) else {
        return 0;
    };
    if datagram.ports >> 16 != u32::from(DNS_PORT) {
        return 0;
    }
    let Datagram {
        source,
        local,
        ports,
    } = datagram;
    let seed = settings::hash_seed();
    guard_answer(question(Address::of(source), local, ports, true, seed), now)
}

const DATAGRAM: u32 = 1;
const SEGMENT: u32 = 2;

/// Notes what the host says to its resolvers and its administrators.
#[inline(always)]
pub(crate) fn note(departure: &Departure, talk: Talk, now: u32) {
    let (ports, ack, kind) = match talk {
        Talk::Call { ports } => (ports, 0, 0),
        Talk::Segment { ports, ack } => (ports, ack, SEGMENT),
    };
    let asks = ports >> 16 == u32::from(DNS_PORT);
    let answers = kind == SEGMENT
        && maps::lifelines().is_some_and(|lifelines| lifelines.is_ssh(ports as u16));
    if !asks && !answers {
        return;
    }
    let datagram = if departure.is_datagram() { DATAGRAM } else { 0 };
    let [high, low] = departure.peer;
    let ends = u64::from(departure.local) << 32 | u64::from(ports);
    let ack_and_now = u64::from(ack) << 32 | u64::from(now);
    guard_lifeline(high, low, ends, ack_and_now, kind | datagram);
}

/// Notes it, if the peer is one of them. A function of its own: little that leaves concerns them.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_lifeline(high: u64, low: u64, ends: u64, ack_and_now: u64, kind: u32) -> u32 {
    let (local, ports) = ((ends >> 32) as u32, ends as u32);
    let (ack, now) = ((ack_and_now >> 32) as u32, ack_and_now as u32);
    let (peer, seed) = (Address::of([high, low]), settings::hash_seed());
    if kind & SEGMENT != 0 {
        let connection = source::connection(peer, local, ports, seed);
        maps::note_administrator(connection, Awaited::from(ack));
    }
    let asks = ports >> 16 == u32::from(DNS_PORT);
    if asks && maps::lifelines().is_some_and(|lifelines| lifelines.holds([high, low])) {
        let is_datagram = kind & DATAGRAM != 0;
        maps::note_question(question(peer, local, ports, is_datagram, seed), now);
    }
    0
}
