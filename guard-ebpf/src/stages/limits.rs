//! What may be sent: by a source, by a source to a service, by the network around a source, by all
//! sources together of a kind of packets, and by all that are not known.
//!
//! Every limit that applies is asked before any is charged: a refused packet costs nothing.

use core::{arch::asm, cell::Cell};

use guard_common::{
    facts::{Facts, Shape},
    limit::{Limit, Quote, Tariff, Words},
    packet::Address,
    reason::Reason,
    source::{self, Slot, mix},
    wire::{Budget, SLOWEST_SERVICE, ServicePort},
};

use crate::{forget::forget, maps, pipeline::Refused, settings, stages::rules::Standing};

/// Charges a packet to everything that limits it, unless its source is allowed.
#[inline(always)]
pub(crate) fn charge(
    facts: &Facts,
    standing: Standing,
    service: ServicePort,
) -> Result<(), Refused> {
    if standing == Standing::Allowed {
        return Ok(());
    }
    let hash = hash_of(facts);
    let is_new = settings::asks_who_is_known() && !maps::is_known(hash, facts.now);
    let budget = budget_of(facts, is_new);
    if let Some(budget) = budget
        && guard_budget(budget as u32, facts.now, ASK) != WITHIN
    {
        return Err(Reason::LimitProtocol.into());
    }
    // Before what is kept of each source: of a flood from forged ones none is found there.
    let is_gated = is_new && settings::has_budget(Budget::NewSources);
    if is_gated && !has_room(Budget::NewSources, facts.now) {
        return Err(Reason::NewSources.into());
    }
    let service = limited(service);
    let charged = if service != 0 || settings::limits_networks() {
        guard_further(hash, network_of(facts), pack(facts, service), facts.bytes)
    } else {
        charge_source(hash, facts)
    };
    if charged != WITHIN {
        return Err(Reason::known(forget(charged.into()) as u8).into());
    }
    if is_gated {
        pay(Budget::NewSources, facts.now);
    }
    if let Some(budget) = budget {
        guard_budget(budget as u32, facts.now, PAY);
    }
    Ok(())
}

/// Words of a map, which all CPUs share.
pub(crate) struct Atomic;

impl Words for Atomic {
    #[inline(always)]
    fn add(word: &Cell<u64>, number: u64) {
        // SAFETY: an aligned word of a map, valid as long as the program runs.
        unsafe {
            asm!(
                "lock *(u64 *)({word} + 0) += {number}",
                word = in(reg) word.as_ptr(),
                number = in(reg) number,
                options(nostack),
            );
        }
    }

    #[inline(always)]
    #[cfg(target_arch = "bpf")]
    fn exchange(word: &Cell<u64>, old: u64, new: u64) -> bool {
        let found: u64;
        // SAFETY: as above.
        unsafe {
            asm!(
                "r0 = cmpxchg_64({word} + 0, r0, {new})",
                word = in(reg) word.as_ptr(),
                new = in(reg) new,
                inout("r0") old => found,
                options(nostack),
            );
        }
        found == old
    }

    #[inline(always)]
    fn forget(number: u64) -> u64 {
        forget(number)
    }

    /// Where the crate is only checked: that machine has no such register.
    #[cfg(not(target_arch = "bpf"))]
    fn exchange(word: &Cell<u64>, old: u64, new: u64) -> bool {
        guard_common::limit::Alone::exchange(word, old, new)
    }
}

/// What charging comes to: the number of the reason that refuses, or this.
const WITHIN: u32 = Reason::Pass as u32;
const ASK: u32 = 0;
/// Flags that tell segments of no connection, of which only one is set: first segments and parts of
/// packets are none.
const STRAY: u32 = Shape::TCP | Shape::OPENS | Shape::FRAGMENT;
const PAY: u32 = 1;

/// Who is charged.
#[inline(always)]
pub(crate) fn hash_of(facts: &Facts) -> u64 {
    match facts.source() {
        Address::V4(_) => facts.hash,
        Address::V6(words) => source::prefix(words, settings::ipv6_mask(), settings::hash_seed()),
    }
}

/// The host's budget for packets of this kind, if there is a limit to it.
#[inline(always)]
fn budget_of(facts: &Facts, is_new: bool) -> Option<Budget> {
    let shape = facts.shape;
    let budget = if shape.has(settings::budgeted()) {
        if shape.has(Shape::FRAGMENT) {
            Budget::Fragments
        } else if shape.has(Shape::ICMP) {
            Budget::Icmp
        } else {
            Budget::Udp
        }
    } else if is_new && shape.0 & STRAY == Shape::TCP {
        Budget::Stray
    } else {
        return None;
    };
    settings::has_budget(budget).then_some(budget)
}

/// Whether a [`Budget`] but those of lifelines has room for a packet, which is charged to it when it
/// is to `pay`. A function of its own, since the verifier would go through it for each kind.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_budget(budget: u32, now: u32, pay: u32) -> u32 {
    const ICMP: u32 = Budget::Icmp as u32;
    const FRAGMENTS: u32 = Budget::Fragments as u32;
    const STRAY: u32 = Budget::Stray as u32;
    const NEW_SOURCES: u32 = Budget::NewSources as u32;

    let budget = match budget {
        ICMP => Budget::Icmp,
        FRAGMENTS => Budget::Fragments,
        STRAY => Budget::Stray,
        NEW_SOURCES => Budget::NewSources,
        _ => Budget::Udp,
    };
    let limits = [settings::budget(budget), Limit::OFF];
    let Some(set) = maps::budget(budget) else {
        return WITHIN;
    };
    match set.quote(THE_HOST, now, &limits, [1, 0], || 0) {
        Ok(quote) if pay == PAY => quote.pay::<Atomic>(),
        Ok(_) => {}
        Err(_) => return Reason::LimitProtocol as u32,
    }
    WITHIN
}

/// Whether a budget has room for a packet.
#[inline(always)]
fn has_room(budget: Budget, now: u32) -> bool {
    let limit = settings::budget(budget);
    maps::budget(budget).is_none_or(|set| set.has_room(THE_HOST, now, &limit))
}

/// Charges a packet to a budget that had room for it.
#[inline(always)]
fn pay(budget: Budget, now: u32) {
    let Limit { cost, full, .. } = settings::budget(budget);
    let tariff = Tariff {
        costs: [cost, 0],
        full: [full, 0],
    };
    let again = maps::budget(budget)
        .and_then(|set| set.charge_again::<Atomic>(THE_HOST, now, tariff, [true, false]));
    if again.is_none() {
        guard_budget(budget as u32, now, PAY);
    }
}

/// Charges a packet to a budget that is the host's own, if that has room.
#[inline(always)]
pub(crate) fn charge_budget(budget: Budget, now: u32) -> bool {
    let Some(set) = maps::budget(budget) else {
        return true;
    };
    let limits = [settings::budget(budget), Limit::OFF];
    let quote = set.quote(THE_HOST, now, &limits, [1, 0], || 0);
    quote.map(Quote::pay::<Atomic>).is_ok()
}

/// The only tag there is in the set of a budget.
const THE_HOST: u32 = 1;

/// Charges a packet to its source, the usual case: nothing else limits it.
#[inline(always)]
fn charge_source(hash: u64, facts: &Facts) -> u32 {
    let slot = Slot::from_hash(hash);
    let at = slot.set & settings::set_mask();
    let opens = u32::from(facts.shape.has(Shape::OPENS));
    let bytes = || {
        if settings::limits_bytes() {
            guard_bytes(at, slot.tag, facts.now, facts.bytes, PAY)
        } else {
            WITHIN
        }
    };
    if !settings::limits_sources() {
        return bytes();
    }
    if !settings::limits_bytes()
        && let Some(set) = maps::sources(at)
        && let Some(charged) = set.charge_again::<Atomic>(
            slot.tag,
            facts.now,
            settings::tariff(),
            [true, facts.shape.has(Shape::OPENS)],
        )
    {
        return charged.map_or_else(over, |()| WITHIN);
    }
    charge_to(slot, facts.now, opens, bytes)
}

/// Charges a packet to the source in `slot` if that has room for it, and then `further` too.
#[inline(always)]
fn charge_to(slot: Slot, now: u32, opens: u32, further: impl FnOnce() -> u32) -> u32 {
    let at = slot.set & settings::set_mask();
    let Some(set) = maps::sources(at) else {
        return WITHIN;
    };
    let least = || forget(guard_least(at, now).into()) as usize;
    match set.quote(slot.tag, now, &settings::limits(), [1, opens], least) {
        Ok(quote) => {
            let over = further();
            if over == WITHIN {
                quote.pay::<Atomic>();
            }
            over
        }
        Err(limit) => over(limit),
    }
}

/// The reason for which a packet over this limit is refused: packets are the first, SYNs the second.
#[inline(always)]
fn over(limit: usize) -> u32 {
    match limit {
        0 => Reason::LimitPackets as u32,
        _ => Reason::LimitConnections as u32,
    }
}

/// The place in a set for a source that it does not know. A function of its own, since it is long
/// and known sources do without.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_least(set: u32, now: u32) -> u32 {
    maps::sources(set).map_or(0, |set| set.least(now, &settings::limits())) as u32
}

/// Asks whether a source may send so many `bytes` more, and charges them when it is to `pay`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_bytes(set: u32, tag: u32, now: u32, bytes: u32, pay: u32) -> u32 {
    let Some(set) = maps::source_bytes(set) else {
        return WITHIN;
    };
    let limits = [settings::limit_bytes(), Limit::OFF];
    let least = || set.least(now, &limits);
    match set.quote(tag, now, &limits, [bytes, 0], least) {
        Ok(quote) if pay == PAY => quote.pay::<Atomic>(),
        Ok(_) => {}
        Err(_) => return Reason::LimitBytes as u32,
    }
    WITHIN
}

/// Position plus one of a service that has limits of its own, else 0.
#[inline(always)]
fn limited(service: ServicePort) -> u16 {
    if service.flags & ServicePort::LIMITS != 0 {
        service.service_plus_one
    } else {
        0
    }
}

/// The tick, the [`limited`] service and whether the packet opens a connection, in one word.
#[inline(always)]
fn pack(facts: &Facts, service_plus_one: u16) -> u64 {
    let opens = u64::from(facts.shape.has(Shape::OPENS));
    u64::from(facts.now) | u64::from(service_plus_one) << 32 | opens << 48
}

/// The network around a source: an IPv4 /24 or an IPv6 /48.
#[inline(always)]
fn network_of(facts: &Facts) -> u64 {
    if settings::limits_networks() {
        source::network(facts.source(), settings::hash_seed())
    } else {
        0
    }
}

/// Charges a packet that more than its source's limit applies to. `packed` is what
/// [`pack`] made. A function of its own: nothing of this concerns anybody where services
/// and networks have no limits.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_further(hash: u64, network: u64, packed: u64, bytes: u32) -> u32 {
    let (now, opens) = (packed as u32, (packed >> 48) as u32 & 1);
    let slot = Slot::from_hash(hash);
    let charged = Behind {
        hash,
        network,
        packed,
        bytes,
    };
    charge_to(slot, now, opens, || {
        let over = behind(&charged, ASK);
        if over != WITHIN {
            return over;
        }
        behind(&charged, PAY);
        WITHIN
    })
}

/// A packet to the limits behind those of its source for packets and SYNs.
struct Behind {
    hash: u64,
    network: u64,
    /// What [`pack`] made.
    packed: u64,
    bytes: u32,
}

/// Asks them, or charges them.
#[inline(always)]
fn behind(packet: &Behind, pay: u32) -> u32 {
    let Behind {
        hash,
        network,
        packed,
        bytes,
    } = *packet;
    let (now, service_and_opens) = (packed as u32, (packed >> 32) as u32 & 0x1_ffff);
    if settings::limits_bytes() {
        let slot = Slot::from_hash(hash);
        let over = guard_bytes(slot.set & settings::set_mask(), slot.tag, now, bytes, pay);
        if over != WITHIN {
            return over;
        }
    }
    if settings::service_limits() && service_and_opens & 0xffff != 0 {
        let over = guard_service(hash, now, service_and_opens, pay);
        if over != WITHIN {
            return over;
        }
        let over = guard_service_bytes(hash, now, service_and_opens, bytes, pay);
        if over != WITHIN {
            return over;
        }
    }
    if settings::limits_networks() {
        return guard_network(network, now, service_and_opens >> 16, pay);
    }
    WITHIN
}

/// Asks whether a source may send a packet to a service, and charges it when it is to `pay`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_service(hash: u64, now: u32, service: u32, pay: u32) -> u32 {
    let (slot, opens) = (service_slot(hash, service), service >> 16 & 1);
    let limits = maps::service_limits(service & 0xffff);
    let set = maps::service_sources(slot.set & settings::set_mask());
    let (Some([packets, connections, _]), Some(set)) = (limits, set) else {
        return WITHIN;
    };
    let limits = [*packets, *connections];
    if !limits.iter().any(Limit::is_on) {
        return WITHIN;
    }
    let least = || {
        let slowest = maps::service_limits(SLOWEST_SERVICE);
        slowest.map_or(0, |[packets, connections, _]| {
            set.least(now, &[*packets, *connections])
        })
    };
    match set.quote(slot.tag, now, &limits, [1, opens], least) {
        Ok(quote) if pay == PAY => quote.pay::<Atomic>(),
        Ok(_) => {}
        Err(_) => return Reason::LimitService as u32,
    }
    WITHIN
}

/// The same for its bytes.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_service_bytes(hash: u64, now: u32, service: u32, bytes: u32, pay: u32) -> u32 {
    let slot = service_slot(hash, service);
    let limits = maps::service_limits(service & 0xffff);
    let set = maps::service_bytes(slot.set & settings::set_mask());
    let (Some([.., limit]), Some(set)) = (limits, set) else {
        return WITHIN;
    };
    if !limit.is_on() {
        return WITHIN;
    }
    let limits = [*limit, Limit::OFF];
    let least = || {
        let slowest = maps::service_limits(SLOWEST_SERVICE);
        slowest.map_or(0, |[.., bytes]| set.least(now, &[*bytes, Limit::OFF]))
    };
    match set.quote(slot.tag, now, &limits, [bytes, 0], least) {
        Ok(quote) if pay == PAY => quote.pay::<Atomic>(),
        Ok(_) => {}
        Err(_) => return Reason::LimitService as u32,
    }
    WITHIN
}

/// Where a source stands in the tables of a service.
#[inline(always)]
fn service_slot(hash: u64, service: u32) -> Slot {
    Slot::from_hash(mix(hash ^ u64::from(service & 0xffff)))
}

/// Asks whether a network may send a packet, and charges it when it is to `pay`.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_network(hash: u64, now: u32, opens: u32, pay: u32) -> u32 {
    let slot = Slot::from_hash(hash);
    let Some(set) = maps::networks(slot.set & settings::network_mask()) else {
        return WITHIN;
    };
    let limits = settings::aggregates();
    match set.quote(slot.tag, now, &limits, [1, opens], || {
        set.least(now, &limits)
    }) {
        Ok(quote) if pay == PAY => quote.pay::<Atomic>(),
        Ok(_) => {}
        Err(_) => return Reason::LimitAggregate as u32,
    }
    WITHIN
}
