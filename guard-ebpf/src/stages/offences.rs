//! Who stays over its limit by segments of its own connections: the agent bans such sources. Nothing
//! is decided here, and nothing that could be forged counts.
//!
//! What a source sends by its connections is charged to limits like its own, in a table of their
//! own. So whoever sends from a forged address can spend the limit of the address, but not make its
//! owner an offender.

use guard_common::{
    facts::{Facts, Shape},
    limit::{Limit, Quote},
    source::Slot,
};

use crate::{
    events, maps,
    packet::XdpFrame,
    settings,
    stages::{
        limits::{Atomic, hash_of},
        rules::Standing,
    },
};

/// Notes how the source of a segment behaves, and tells the agent when it has been over its limit
/// for too long.
#[inline(always)]
pub(crate) fn note(frame: &XdpFrame<'_>, facts: &Facts, standing: Standing) {
    if !settings::bans() || standing == Standing::Allowed || !facts.shape.has(Shape::TALKS) {
        return;
    }
    let connection = facts.connection();
    let segment = u64::from(facts.tcp.seq()) << 32 | u64::from(facts.now);
    if guard_offence(hash_of(facts), connection, segment, facts.bytes) != 0 {
        events::offence(frame, facts);
    }
}

/// Whether the source of this hash has been over its limit for too long. `segment` holds its
/// sequence number and the running tick. A function of its own: it concerns few hosts.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_offence(hash: u64, connection: u64, segment: u64, bytes: u32) -> u32 {
    let (seq, now) = ((segment >> 32) as u32, segment as u32);
    if !maps::is_awaited(connection, seq) {
        return 0;
    }
    let slot = Slot::from_hash(hash);
    let Some(set) = maps::conduct(slot.set & settings::conduct_mask()) else {
        return 0;
    };
    let [packets, _] = settings::limits();
    let limits: [Limit; 2] = [packets, settings::limit_bytes()];
    let least = || set.least(now, &limits);
    let within = set
        .quote(slot.tag, now, &limits, [1, bytes], least)
        .map(Quote::pay::<Atomic>);
    u32::from(within.is_err() && maps::note_offence(hash, now))
}
