//! Every map: what it holds, who writes it and who reads it.

use core::cell::UnsafeCell;

use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LpmTrie, PerCpuArray, RingBuf, lpm_trie::Key},
};
use guard_common::{
    addresses::{Filter, Ipv4Line, Ipv6Line, Line as _},
    connection::{
        opening::Openings,
        settled::Settled,
        talk::{TALK_WAYS, Talk},
    },
    known::Known,
    lifeline::{Awaited, Lifelines, MAX_ADMINISTRATORS},
    limit::Set,
    offence::{Connections, Offenders},
    packet::{Address, IpPacket},
    ranges::{Ipv4Range, Ipv6Range, ROOTS, Root},
    source::Slot,
    talkers::{self, Pace},
    wire::{
        Budget, Bypass, Counter, EventBudget, EventClass, Evicted, Ipv4Word, Ipv6Words,
        MAX_INTERFACES, RuleWord, ServiceIpv4, ServiceIpv6, ServiceLimits, ServicePort, Variables,
    },
};

use crate::{hearing::Heeded, packet::Headers, settings};

/// Allocate a trie's nodes as they come; the kernel demands it.
const NO_PREALLOC: u32 = 1;
/// Puts the values on pages of their own, so that a [`Set`] lies in one cache line.
const MMAPABLE: u32 = 1 << 10;
/// Lines of questions, eight each: 8,192 in 64 KiB, what a busy host asks in ten seconds.
const QUESTION_LINES: u32 = 1 << 10;

/// A value that several CPUs use at once.
#[repr(transparent)]
struct Shared<T>(T);

// SAFETY: the kernel's memory model lets CPUs race on aligned words, and `Set` is made of such;
// what a lost race costs stands there.
unsafe impl Sync for Shared<Set> {}
// SAFETY: as above.
unsafe impl Sync for Shared<Known> {}
// SAFETY: as above.
unsafe impl Sync for Shared<Connections> {}
// SAFETY: as above.
unsafe impl Sync for Shared<Offenders> {}
// SAFETY: as above.
unsafe impl Sync for Shared<Openings> {}
// SAFETY: as above; what both programs write is exchanged.
unsafe impl Sync for Shared<Talk> {}
// SAFETY: as above.
unsafe impl Sync for Shared<Settled> {}
// SAFETY: as above; it is only read here.
unsafe impl Sync for Shared<UnsafeCell<Variables>> {}

/// A variable, read anew each time.
macro_rules! variable {
    ($($field:tt)+) => {
        // SAFETY: an aligned word, which the agent writes whole.
        unsafe { (&raw const (*VARIABLES.0.get()).$($field)+).read_volatile() }
    };
}

/// Families of addresses, as [`Variables::halves`] has them.
#[derive(Clone, Copy)]
pub(crate) enum Family {
    V4,
    V6,
}

/// Interface indexes, by position. Agent writes, program reads.
#[map]
static INTERFACES: Array<u32> = Array::with_max_entries(MAX_INTERFACES, 0);

/// Nanoseconds of the manual clock. Tests write, program reads.
#[map]
static CLOCK: Array<u64> = Array::with_max_entries(1, 0);

/// Packets and bytes by interface, verdict and reason. Program writes, agent reads.
#[map]
static COUNTERS: PerCpuArray<Counter> =
    PerCpuArray::with_max_entries(MAX_INTERFACES * Counter::PER_INTERFACE, 0);

/// Connections by service, outcome and protocol. Program writes, agent reads.
#[map]
static OUTCOMES: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);
/// Connections that made room for others, by [`Evicted`]. Program writes, agent reads.
#[map]
static EVICTED: PerCpuArray<u64> = PerCpuArray::with_max_entries(Evicted::COUNT, 0);

/// Rules for single addresses. Agent writes, program reads.
#[map]
static ADDRESSES_V4: Array<Ipv4Line> = Array::with_max_entries(1, MMAPABLE);
/// The same for IPv6.
#[map]
static ADDRESSES_V6: Array<Ipv6Line> = Array::with_max_entries(1, MMAPABLE);

/// Which addresses may be among those. Agent writes, program reads.
#[map]
static FILTER_V4: Array<Filter> = Array::with_max_entries(1, MMAPABLE);
/// The same for IPv6.
#[map]
static FILTER_V6: Array<Filter> = Array::with_max_entries(1, MMAPABLE);

/// Rules for prefixes. Two halves: the agent writes the one that the program does not read, or behind
/// what is read.
#[map]
static RANGES_V4: Array<Ipv4Range> = Array::with_max_entries(2, MMAPABLE);
/// The same for IPv6.
#[map]
static RANGES_V6: Array<Ipv6Range> = Array::with_max_entries(2, MMAPABLE);

/// Which ranges an address may be in, in halves as the ranges are. Agent writes, also those that are
/// read; program reads.
#[map]
static ROOTS_V4: Array<Root> = Array::with_max_entries(2 * ROOTS, MMAPABLE);
/// The same for IPv6.
#[map]
static ROOTS_V6: Array<Root> = Array::with_max_entries(2 * ROOTS, MMAPABLE);

/// What changes while the program runs. Agent writes, program reads.
static VARIABLES: Shared<UnsafeCell<Variables>> = Shared(UnsafeCell::new(Variables::NONE));

/// Packets that a rule decided, by its number. Program writes, agent reads.
#[map]
static RULE_HITS: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

/// What each of the host's TCP ports belongs to. Agent writes, programs read.
#[map]
static PORTS: Array<ServicePort> = Array::with_max_entries(1 << 16, 0);
/// What each TCP port of others belongs to. Agent writes, programs read.
#[map]
static CALLED_PORTS: Array<ServicePort> = Array::with_max_entries(1, 0);

/// Who may reach a service that has a list. Agent writes, program reads.
#[map]
static ACL_V4: LpmTrie<ServiceIpv4, u32> = LpmTrie::with_max_entries(1, NO_PREALLOC);
/// The same for IPv6.
#[map]
static ACL_V6: LpmTrie<ServiceIpv6, u32> = LpmTrie::with_max_entries(1, NO_PREALLOC);

/// What sources owe to the limits of packets and SYNs. Program writes and reads.
#[map]
static SOURCES: Array<Shared<Set>> = Array::with_max_entries(1, MMAPABLE);
/// What sources owe to the limit of bytes. Program writes and reads.
#[map]
static SOURCE_BYTES: Array<Shared<Set>> = Array::with_max_entries(1, MMAPABLE);

/// What tells who owes least to services, and what each lets a source send, by its position plus one.
/// Agent writes, program reads.
#[map]
static SERVICE_LIMITS: Array<ServiceLimits> = Array::with_max_entries(1, 0);
/// What sources owe to services' limits of packets and SYNs. Program writes and reads.
#[map]
static SERVICE_SOURCES: Array<Shared<Set>> = Array::with_max_entries(1, MMAPABLE);
/// What sources owe to services' limits of bytes. Program writes and reads.
#[map]
static SERVICE_BYTES: Array<Shared<Set>> = Array::with_max_entries(1, MMAPABLE);
/// What IPv4 /24s and IPv6 /48s owe. Program writes and reads.
#[map]
static NETWORKS: Array<Shared<Set>> = Array::with_max_entries(1, MMAPABLE);
/// Whom the host's own stack talks with. The program of what leaves writes, that of what comes in
/// reads.
#[map]
static KNOWN: Array<Shared<Known>> = Array::with_max_entries(1, MMAPABLE);

/// Connections that the host keeps up. The program of what leaves writes, that of what comes in
/// reads.
#[map]
static CONNECTIONS: Array<Shared<Connections>> = Array::with_max_entries(1, MMAPABLE);
/// What sources owe to the limits of packets and bytes by segments of their connections alone.
/// Program writes and reads.
#[map]
static CONDUCT: Array<Shared<Set>> = Array::with_max_entries(1, MMAPABLE);
/// Sources that are over their limit by those alone. Program writes and reads.
#[map]
static OFFENDERS: Array<Shared<Offenders>> = Array::with_max_entries(1, MMAPABLE);

/// Whom the host asks for names, and where its administrators come in. Agent writes, programs read.
#[map]
static LIFELINES: Array<Lifelines> = Array::with_max_entries(1, 0);
/// Connections of the host's administrators, and what it waits for in each, as [`Awaited`] has it.
/// Agent adds and takes off, the program of what leaves writes, that of what comes in reads.
#[map]
static ADMINISTRATORS: HashMap<u64, u64> = HashMap::with_max_entries(MAX_ADMINISTRATORS, 0);
/// What the host has asked its resolvers. The program of what leaves writes, that of what comes in
/// reads.
#[map]
static QUESTIONS: Array<Shared<Known>> = Array::with_max_entries(QUESTION_LINES, MMAPABLE);

/// What the whole host owes to its budgets, by [`Budget`]. Program writes and reads.
#[map]
static BUDGETS: Array<Shared<Set>> = Array::with_max_entries(Budget::COUNT, MMAPABLE);

/// Sequence numbers of handshakes. Programs write and read.
#[map]
static OPENINGS: Array<Shared<Openings>> = Array::with_max_entries(1, MMAPABLE);
/// Connections of which it is not known yet what they are, in sets. Programs write and read.
#[map]
static TALKS: Array<Shared<Talk>> = Array::with_max_entries(TALK_WAYS, MMAPABLE);
/// Connections of which it is. Programs write and read.
#[map]
static SETTLED: Array<Shared<Settled>> = Array::with_max_entries(1, MMAPABLE);
/// Which of the connections that are not known yet is looked at next for having been quiet too
/// long. Program writes and reads.
#[map]
static SWEEP: Array<u32> = Array::with_max_entries(1, 0);
/// The segment that is being heard. Programs write and read.
#[map]
static HEARD: PerCpuArray<Heeded> = PerCpuArray::with_max_entries(1, 0);

/// Budget of events by class. Program writes and reads, agent reads.
#[map]
static EVENT_BUDGET: PerCpuArray<EventBudget> = PerCpuArray::with_max_entries(EventClass::COUNT, 0);

/// How fast each CPU tells of talkers. Program writes and reads.
#[map]
static TALKER_PACE: PerCpuArray<Pace> = PerCpuArray::with_max_entries(1, 0);

/// Copies of headers that cannot be read where they are. Program writes and reads.
#[map]
static HEADERS: PerCpuArray<Headers> = PerCpuArray::with_max_entries(1, 0);

/// Packets whose headers are not laid out plainly. Program writes and reads.
#[map]
static PARSED: PerCpuArray<IpPacket> = PerCpuArray::with_max_entries(1, 0);

/// Flagged and refused packets. Program writes, agent reads.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Until when everything passes. Agent writes, programs read; they do so only of packets that would
/// be refused.
#[map]
static BYPASS: Array<Bypass> = Array::with_max_entries(1, 0);

/// The tick until which everything passes.
#[inline(always)]
pub(crate) fn bypassed_until() -> u64 {
    BYPASS.get(0).map_or(0, |bypass| bypass.until)
}

/// Index of the interface at `position`, zero when there is none.
#[inline(always)]
pub(crate) fn interface_index(position: u32) -> u32 {
    INTERFACES.get(position).copied().unwrap_or(0)
}

#[inline(always)]
pub(crate) fn manual_clock_ns() -> u64 {
    CLOCK.get(0).copied().unwrap_or(0)
}

#[inline(always)]
pub(crate) fn headers() -> Option<*mut Headers> {
    HEADERS.get_ptr_mut(0)
}

#[inline(always)]
pub(crate) fn parsed() -> Option<*mut IpPacket> {
    PARSED.get_ptr_mut(0)
}

/// Counts a packet; whether it is one that may tell who sends most.
#[inline(always)]
pub(crate) fn count(position: u32, bytes: u32) -> bool {
    let Some(counter) = COUNTERS.get_ptr_mut(position) else {
        return false;
    };
    // SAFETY: the element belongs to this CPU, and nothing else holds a reference to it.
    let counter = unsafe { &mut *counter };
    counter.packets += 1;
    counter.bytes += u64::from(bytes);
    talkers::is_candidate(counter.packets)
}

/// For how many candidates one at tick `now` stands when it is to be told of, else 0.
#[inline(always)]
pub(crate) fn next_talker(now: u32) -> u32 {
    let Some(pace) = TALKER_PACE.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: the element belongs to this CPU, and nothing else holds a reference to it.
    let pace = unsafe { &mut *pace };
    pace.next(now, settings::talker_ticks(), settings::talker_budget())
}

#[inline(always)]
pub(crate) fn count_outcome(position: u32) {
    if let Some(count) = OUTCOMES.get_ptr_mut(position) {
        // SAFETY: the element belongs to this CPU, and nothing else holds a reference to it.
        unsafe { *count += 1 };
    }
}

#[inline(always)]
pub(crate) fn count_evicted(kind: Evicted) {
    if let Some(count) = EVICTED.get_ptr_mut(kind as u32) {
        // SAFETY: the element belongs to this CPU, and nothing else holds a reference to it.
        unsafe { *count += 1 };
    }
}

/// The rule for exactly this address, whose number is `hash`.
#[inline(always)]
pub(crate) fn address_v4(source: Ipv4Word, hash: u64) -> RuleWord {
    let filter = FILTER_V4.get(hash as u32 & settings::filter_mask_v4());
    if !filter.is_some_and(|word| word.may_hold(hash)) {
        return RuleWord::NONE;
    }
    let line = ADDRESSES_V4.get(hash as u32 & settings::address_mask_v4());
    line.map_or(RuleWord::NONE, |line| line.find(source))
}

#[inline(always)]
pub(crate) fn address_v6(source: [u64; 2], hash: u64) -> RuleWord {
    let filter = FILTER_V6.get(hash as u32 & settings::filter_mask_v6());
    if !filter.is_some_and(|word| word.may_hold(hash)) {
        return RuleWord::NONE;
    }
    let line = ADDRESSES_V6.get(hash as u32 & settings::address_mask_v6());
    line.map_or(RuleWord::NONE, |line| line.find(source))
}

/// Which half of the ranges holds, from 1; zero where there are none.
#[inline(always)]
pub(crate) fn half(family: Family) -> u32 {
    match family {
        Family::V4 => variable!(halves[0]),
        Family::V6 => variable!(halves[1]),
    }
}

/// Whether prefixes of the operator may be among the ranges.
#[inline(always)]
pub(crate) fn has_operator_prefixes(family: Family) -> bool {
    match family {
        Family::V4 => variable!(operator_prefixes[0]) != 0,
        Family::V6 => variable!(operator_prefixes[1]) != 0,
    }
}

/// A root that the agent may be changing: all of it as it was, or all as it is.
#[inline(always)]
fn whole(root: Option<&Root>) -> Option<Root> {
    // SAFETY: a valid reference, to a word that the kernel aligns as such.
    root.map(|root| unsafe { (&raw const *root).read_volatile() })
}

/// The rule of the range that an address, in the host's order, is in.
#[inline(always)]
pub(crate) fn range_v4(half: u32, address: u32) -> RuleWord {
    let Some(root) = whole(ROOTS_V4.get((half - 1) * ROOTS + Root::of_v4(address))) else {
        return RuleWord::NONE;
    };
    let starts = |at| {
        RANGES_V4
            .get(at)
            .is_some_and(|range| range.start <= address)
    };
    let range = RANGES_V4.get(root.search(starts));
    range.map_or(RuleWord::NONE, |range| range.rule)
}

#[inline(always)]
pub(crate) fn range_v6(half: u32, [high, low]: [u64; 2]) -> RuleWord {
    let Some(root) = whole(ROOTS_V6.get((half - 1) * ROOTS + Root::of_v6(high))) else {
        return RuleWord::NONE;
    };
    let starts = |at| {
        let range = RANGES_V6.get(at);
        range.is_some_and(|range| range.high < high || range.high == high && range.low <= low)
    };
    let range = RANGES_V6.get(root.search(starts));
    range.map_or(RuleWord::NONE, |range| range.rule)
}

#[inline(always)]
pub(crate) fn count_rule(number: u32) {
    if let Some(count) = RULE_HITS.get_ptr_mut(number) {
        // SAFETY: the element belongs to this CPU, and nothing else holds a reference to it.
        unsafe { *count += 1 };
    }
}

#[inline(always)]
pub(crate) fn service_port(port: u16) -> ServicePort {
    PORTS.get(u32::from(port)).copied().unwrap_or_default()
}

/// Whether the list of `service` holds `source`.
#[inline(always)]
pub(crate) fn acl_holds(service: u32, source: Address) -> bool {
    match source {
        Address::V4(address) => ACL_V4
            .get(Key::new(64, ServiceIpv4 { service, address }))
            .is_some(),
        Address::V6(words) => {
            let address = trie_words(words);
            let key = Aligned {
                before: [],
                key: Key::new(160, ServiceIpv6 { service, address }),
            };
            ACL_V6.get(&key.key).is_some()
        }
    }
}

#[inline(always)]
pub(crate) fn sources(set: u32) -> Option<&'static Set> {
    SOURCES.get(set).map(|Shared(set)| set)
}

#[inline(always)]
pub(crate) fn source_bytes(set: u32) -> Option<&'static Set> {
    SOURCE_BYTES.get(set).map(|Shared(set)| set)
}

#[inline(always)]
pub(crate) fn service_limits(service_plus_one: u32) -> Option<&'static ServiceLimits> {
    SERVICE_LIMITS.get(service_plus_one)
}

#[inline(always)]
pub(crate) fn service_sources(set: u32) -> Option<&'static Set> {
    SERVICE_SOURCES.get(set).map(|Shared(set)| set)
}

#[inline(always)]
pub(crate) fn service_bytes(set: u32) -> Option<&'static Set> {
    SERVICE_BYTES.get(set).map(|Shared(set)| set)
}

#[inline(always)]
pub(crate) fn networks(set: u32) -> Option<&'static Set> {
    NETWORKS.get(set).map(|Shared(set)| set)
}

/// Whether the host talks with the source of this hash.
#[inline(always)]
pub(crate) fn is_known(hash: u64, now: u32) -> bool {
    let slot = Slot::from_hash(hash);
    let line = KNOWN.get(slot.set & settings::known_mask());
    line.is_some_and(|Shared(line)| line.holds(slot.tag, now, settings::known_ticks()))
}

/// Notes that it does.
#[inline(always)]
pub(crate) fn note_known(hash: u64, now: u32) {
    let slot = Slot::from_hash(hash);
    if let Some(Shared(line)) = KNOWN.get(slot.set & settings::known_mask()) {
        line.note(slot.tag, now, settings::ticks_per_second());
    }
}

/// Notes which sequence number the host waits for in the connection of this hash.
#[inline(always)]
pub(crate) fn note_connection(hash: u64, ack: u32) {
    let slot = Slot::from_hash(hash);
    if let Some(Shared(line)) = CONNECTIONS.get(slot.set & settings::connection_mask()) {
        line.note(slot.tag, ack);
    }
}

/// Whether a segment is one that the host may wait for in the connection of this hash.
#[inline(always)]
pub(crate) fn is_awaited(hash: u64, seq: u32) -> bool {
    let slot = Slot::from_hash(hash);
    let line = CONNECTIONS.get(slot.set & settings::connection_mask());
    line.is_some_and(|Shared(line)| line.awaits(slot.tag, seq))
}

#[inline(always)]
pub(crate) fn lifelines() -> Option<&'static Lifelines> {
    LIFELINES.get(0)
}

/// What the host waits for in the connection of this hash, if it is an administrator's.
#[inline(always)]
pub(crate) fn administrator(hash: u64) -> Option<Awaited> {
    // SAFETY: one aligned word, of which the program of what leaves writes all or nothing.
    let awaited = ADMINISTRATORS
        .get_ptr(hash)
        .map(|word| unsafe { word.read_volatile() });
    awaited.map(Awaited)
}

/// Notes what it waits for there, if it is an administrator's.
#[inline(always)]
pub(crate) fn note_administrator(hash: u64, awaited: Awaited) {
    if let Some(word) = ADMINISTRATORS.get_ptr_mut(hash) {
        // SAFETY: one aligned word, written whole.
        unsafe { word.write_volatile(awaited.0) };
    }
}

/// Whether the host has asked the question of this hash in the last `ticks`.
#[inline(always)]
pub(crate) fn is_asked(hash: u64, now: u32, ticks: u32) -> bool {
    let slot = Slot::from_hash(hash);
    let line = QUESTIONS.get(slot.set & (QUESTION_LINES - 1));
    line.is_some_and(|Shared(line)| line.holds(slot.tag, now, ticks))
}

/// Notes that it asks.
#[inline(always)]
pub(crate) fn note_question(hash: u64, now: u32) {
    let slot = Slot::from_hash(hash);
    if let Some(Shared(line)) = QUESTIONS.get(slot.set & (QUESTION_LINES - 1)) {
        line.note(slot.tag, now, settings::ticks_per_second());
    }
}

#[inline(always)]
pub(crate) fn conduct(set: u32) -> Option<&'static Set> {
    CONDUCT.get(set).map(|Shared(set)| set)
}

/// Notes that the source of this hash is over its limit; whether it has been for too long.
#[inline(always)]
pub(crate) fn note_offence(hash: u64, now: u32) -> bool {
    let slot = Slot::from_hash(hash);
    let line = OFFENDERS.get(slot.set & settings::offender_mask());
    line.is_some_and(|Shared(line)| line.note(slot.tag, now, settings::patience()))
}

#[inline(always)]
pub(crate) fn budget(budget: Budget) -> Option<&'static Set> {
    BUDGETS.get(budget as u32).map(|Shared(set)| set)
}

#[inline(always)]
pub(crate) fn called_port(port: u16) -> ServicePort {
    CALLED_PORTS
        .get(u32::from(port))
        .copied()
        .unwrap_or_default()
}

#[inline(always)]
pub(crate) fn openings(line: u32) -> Option<&'static Openings> {
    OPENINGS
        .get(line & settings::opening_mask())
        .map(|Shared(line)| line)
}

#[inline(always)]
pub(crate) fn settled(line: u32) -> Option<&'static Settled> {
    SETTLED
        .get(line & settings::settled_mask())
        .map(|Shared(line)| line)
}

/// Position of the first connection of a set.
#[inline(always)]
pub(crate) fn talk_set(set: u32) -> u32 {
    (set & settings::talk_mask()) * TALK_WAYS
}

#[inline(always)]
pub(crate) fn talk(position: u32) -> Option<&'static Talk> {
    TALKS.get(position).map(|Shared(talk)| talk)
}

/// The segment that this CPU hears.
#[inline(always)]
pub(crate) fn hearing() -> Option<*mut Heeded> {
    HEARD.get_ptr_mut(0)
}

/// Whose turn it is to be looked at for having been quiet too long, and the next one's.
#[inline(always)]
pub(crate) fn sweep_next() -> u32 {
    let talks = (settings::talk_mask() + 1) * TALK_WAYS;
    let Some(next) = SWEEP.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: one aligned word; only the agent runs the program that uses it.
    unsafe {
        let position = *next & (talks - 1);
        *next = position + 1;
        position
    }
}

/// Runs `change` on this CPU's budget of `class`.
#[inline(always)]
pub(crate) fn with_event_budget<T>(
    class: EventClass,
    change: impl FnOnce(&mut EventBudget) -> T,
) -> Option<T> {
    let budget = EVENT_BUDGET.get_ptr_mut(class as u32)?;
    // SAFETY: the element belongs to this CPU, and nothing else holds a reference to it.
    Some(change(unsafe { &mut *budget }))
}

/// Puts an IPv6 address in a key, which itself is aligned to nothing, at a multiple of 8: the
/// compiler writes it as two words, and the verifier takes no others on the stack.
#[repr(C, align(8))]
struct Aligned<const BEFORE: usize, K> {
    before: [u32; BEFORE],
    key: Key<K>,
}

/// The same bytes in words of 32 bits, as the trie's key is aligned.
#[inline(always)]
fn trie_words([high, low]: [u64; 2]) -> Ipv6Words {
    let halves = |word: u64| {
        let bytes = word.to_ne_bytes();
        [
            u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
            u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        ]
    };
    let ([a, b], [c, d]) = (halves(high), halves(low));
    [a, b, c, d]
}
