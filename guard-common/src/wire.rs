//! What crosses the line between kernel and user space: map keys, map values and events.
//!
//! Every type is `repr(C)` without implicit padding, its size asserted; a change of any of them
//! is a change of [`ABI_VERSION`].

use crate::{
    connection::Outcome,
    limit::{DEBTS, Limit},
    protocol::Protocol,
    reason::{Reason, Verdict},
};

/// Version of everything in this file. Pins live under it. Whoever changes what the values of a map
/// mean that outlives a program raises its layout in `guard-userspace/src/kernel/estate.rs` too.
pub const ABI_VERSION: u32 = 9;

/// Most interfaces one agent protects.
pub const MAX_INTERFACES: u32 = 16;
/// Most services one agent knows. No map has room for so many unless there are.
pub const MAX_SERVICES: u32 = 1_024;
/// Position, among the limits of services, of those that tell who owes least to any. Those of a
/// service are at its position plus one.
pub const SLOWEST_SERVICE: u32 = 0;
/// Bytes of a payload that an event carries at most.
pub const EXCERPT_LEN: usize = 976;

/// Which clock the packet path reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Clock {
    /// `bpf_jiffies64`: a tick is one jiffy.
    Jiffies = 0,
    /// `bpf_ktime_get_coarse_ns`: a tick is [`COARSE_TICK_NS`].
    Coarse = 1,
    /// The word in the map `CLOCK`, in nanoseconds: a tick is [`COARSE_TICK_NS`]. For tests.
    Manual = 2,
}

impl Clock {
    /// Every clock.
    pub const ALL: [Self; 3] = [Self::Jiffies, Self::Coarse, Self::Manual];

    /// The stable word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jiffies => "jiffies",
            Self::Coarse => "coarse",
            Self::Manual => "manual",
        }
    }
}

/// Binary digits that a clock of nanoseconds drops to make ticks.
pub const COARSE_TICK_SHIFT: u32 = 20;
/// Nanoseconds of a tick of the coarse and the manual clock.
pub const COARSE_TICK_NS: u64 = 1 << COARSE_TICK_SHIFT;

/// What lets everything pass for a while, whatever else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Bypass {
    /// Tick from which on it is over, not wrapped; zero when there is none.
    pub until: u64,
}

/// Everything the program is told once, when it is loaded. The verifier takes it as constant and
/// deletes what is switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Packets and SYNs, whose debts share a table.
    pub limits: [Limit; DEBTS],
    /// Bytes, in a table of their own since they are off by default.
    pub limit_bytes: Limit,
    /// Budgets of the whole host, by [`Budget`].
    pub budgets: [Limit; Budget::COUNT as usize],
    /// Which kinds of packets have one whoever sends them, by the flags of [`Shape`].
    ///
    /// [`Shape`]: crate::facts::Shape
    pub budgeted: u64,
    /// Packets and SYNs of an IPv4 /24 or IPv6 /48.
    pub aggregates: [Limit; DEBTS],
    /// Makes slots unpredictable from outside.
    pub hash_seed: [u64; 2],
    /// Which part of an IPv6 address is the source: two words in network order.
    pub ipv6_mask: [u64; 2],
    /// [`ABI_VERSION`].
    pub abi_version: u32,
    /// A [`Clock`].
    pub clock: u32,
    /// Sets of the source table less one; their number is a power of two.
    pub set_mask: u32,
    /// Not zero: nothing is dropped, and what would have been is counted as such.
    pub dry_run: u32,
    /// Interfaces protected.
    pub interfaces: u32,
    /// Not zero: there are services, so their ports are looked up.
    pub services: u32,
    /// Lines of the table of IPv4 addresses less one; their number is a power of two.
    pub address_mask_v4: u32,
    /// The same for IPv6.
    pub address_mask_v6: u32,
    /// Words of the filter of IPv4 addresses less one; their number is a power of two.
    pub filter_mask_v4: u32,
    /// The same for IPv6.
    pub filter_mask_v6: u32,
    /// Ticks of a second, at least 1.
    pub ticks_per_second: u32,
    /// Events a second, CPU and [`EventClass`].
    pub event_budget: u32,
    /// Sets of the table of networks less one; their number is a power of two.
    pub network_mask: u32,
    /// Lines of the table of known sources less one; their number is a power of two.
    pub known_mask: u32,
    /// Ticks for which a source is known after the host last sent it something.
    pub known_ticks: u32,
    /// Not zero: some service has limits of its own.
    pub service_limits: u32,
    /// The host's ephemeral ports: the first in the low half, the last in the high one.
    pub ephemeral_ports: u32,
    /// Not zero: the program answers with more than the action, see [`Told`]. For test-runs only.
    pub tells: u32,
    /// Not zero: packets that claim to come from where they go to are dropped.
    pub refuses_land: u32,
    /// Not zero: only segments that an established socket sends make their peer known. Frames of a
    /// test-run come from no socket.
    pub asks_sockets: u32,
    /// Lines of the table of connections less one; their number is a power of two.
    pub connection_mask: u32,
    /// Sets of the table of what sources send by connections, less one; their number is a power of
    /// two.
    pub conduct_mask: u32,
    /// Lines of the table of offenders less one; their number is a power of two.
    pub offender_mask: u32,
    /// Ticks for which a source may stay over its limit before it is banned. Zero: nobody is.
    pub ban_after: u32,
    /// Not zero: it is found out of some connections whether they are encrypted.
    pub checks: u32,
    /// Not zero: of some that the host opens, too.
    pub checks_calls: u32,
    /// Not zero: some connections are broken off.
    pub resets: u32,
    /// Lines of the table of handshakes less one; their number is a power of two.
    pub opening_mask: u32,
    /// Sets of the table of connections that are not known yet, less one; their number is a power
    /// of two.
    pub talk_mask: u32,
    /// Lines of the table of connections that are known, less one; their number is a power of two.
    pub settled_mask: u32,
    /// Connections a second and CPU whose first kilobytes go to user space.
    pub sample_budget: u32,
    /// Not zero: it matters whom the host talks with.
    pub notes_known: u32,
    /// Not zero: what is a [lifeline](crate::lifeline) passes where it would be refused.
    pub protects_self: u32,
    /// Ticks for which the host waits for an answer of a resolver.
    pub question_ticks: u32,
    /// Packets that a CPU tells of, in so many ticks at most, for the sake of who sends most: see
    /// [`crate::talkers`]. Zero: none.
    pub talker_budget: u32,
    /// Ticks of a period of that budget, at least 1.
    pub talker_ticks: u32,
}

/// What changes while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Variables {
    /// Which half of the ranges holds, of IPv4 and of IPv6: 1 or 2; zero says that there are none.
    pub halves: [u32; 2],
    /// Not zero: prefixes of the operator may be among them, of IPv4 and of IPv6. Whatever else a
    /// single address is listed for yields to those.
    pub operator_prefixes: [u32; 2],
}

impl Variables {
    /// Those of a program that has just been loaded.
    pub const NONE: Self = Self {
        halves: [0; 2],
        operator_prefixes: [0; 2],
    };
}

/// What the program answers when [`Settings::tells`]: the action, and which verdict and reason it
/// stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told(pub u32);

impl Told {
    /// Adds verdict and reason to the action.
    #[inline(always)]
    #[must_use]
    pub const fn new(action: u32, verdict: Verdict, reason: Reason) -> Self {
        Self(action | (verdict as u32) << 8 | (reason as u32) << 16)
    }

    /// Verdict and reason; nothing when there are none of such numbers.
    #[must_use]
    pub fn read(self) -> Option<(Verdict, Reason)> {
        let verdict = Verdict::ALL.get((self.0 >> 8 & 0xff) as usize)?;
        Some((*verdict, Reason::from_number((self.0 >> 16) as u8)?))
    }
}

impl Settings {
    /// Protects nothing: no rules, no limits, no services.
    pub const OFF: Self = Self {
        limits: [Limit::OFF; DEBTS],
        limit_bytes: Limit::OFF,
        budgets: [Limit::OFF; Budget::COUNT as usize],
        budgeted: 0,
        aggregates: [Limit::OFF; DEBTS],
        hash_seed: [0; 2],
        ipv6_mask: [u64::MAX, 0],
        abi_version: ABI_VERSION,
        clock: Clock::Jiffies as u32,
        set_mask: 0,
        dry_run: 0,
        interfaces: 1,
        services: 0,
        address_mask_v4: 0,
        address_mask_v6: 0,
        filter_mask_v4: 0,
        filter_mask_v6: 0,
        ticks_per_second: 1,
        event_budget: 0,
        network_mask: 0,
        known_mask: 0,
        known_ticks: 0,
        service_limits: 0,
        ephemeral_ports: 0,
        tells: 0,
        refuses_land: 0,
        asks_sockets: 0,
        connection_mask: 0,
        conduct_mask: 0,
        offender_mask: 0,
        ban_after: 0,
        checks: 0,
        checks_calls: 0,
        resets: 0,
        opening_mask: 0,
        talk_mask: 0,
        settled_mask: 0,
        sample_budget: 0,
        notes_known: 0,
        protects_self: 0,
        question_ticks: 0,
        talker_budget: 0,
        talker_ticks: 1,
    };
}

/// Kinds of packets that all sources together have one budget for. A packet is of one of the first
/// four at most; the last two are what [lifelines](crate::lifeline) may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Budget {
    /// ICMP and ICMPv6, but for neighbour discovery.
    Icmp = 0,
    /// Fragments of any protocol, first ones too.
    Fragments = 1,
    /// UDP datagrams that are whole.
    Udp = 2,
    /// TCP segments that open no connection, of sources that are not known.
    Stray = 3,
    /// All packets of sources that are not known. Beside the others: a packet may be of it too.
    NewSources = 4,
    /// Answers of the host's resolvers that would have been refused.
    Answers = 5,
    /// Segments of administrators' SSH connections that would have been refused.
    Administrators = 6,
}

impl Budget {
    /// How many there are.
    pub const COUNT: u32 = 7;
}

/// Packets and bytes under one verdict and reason, one a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Packets.
    pub packets: u64,
    /// Their bytes: link-layer header and IP packet, without Ethernet padding.
    pub bytes: u64,
}

impl Counter {
    /// How many counters an interface has.
    pub const PER_INTERFACE: u32 = (Verdict::COUNT * Reason::COUNT) as u32;

    /// Position of a counter. `interface` is the position of the interface in `INTERFACES`.
    #[inline(always)]
    #[must_use]
    pub const fn position(interface: u32, verdict: Verdict, reason: Reason) -> u32 {
        interface * Self::PER_INTERFACE + verdict as u32 * Reason::COUNT as u32 + reason as u32
    }
}

/// An IPv4 address in network order, as the kernel's longest-prefix trie wants its bytes.
pub type Ipv4Word = u32;
/// An IPv6 address in network order, aligned as 32-bit words.
pub type Ipv6Words = [u32; 4];

/// What is said of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Rule {
    /// Skip deny and limits.
    Allow = 1,
    /// Drop.
    Deny = 2,
    /// The address is the host's own: nobody else has it.
    Own = 3,
    /// Drop: a feed lists it. Any of the operator's entries goes before it.
    Feed = 4,
    /// Drop, for having stayed over its limit. Any entry goes before it.
    Ban = 5,
}

/// Who a rule comes from. Of the rules that hold an address those of the first layer decide, and of
/// these the most specific one; but a ban of a single address goes before a feed's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The operator, or the host itself: allow, deny, own addresses.
    Operator,
    /// A feed.
    Feed,
    /// The limiter.
    Ban,
}

/// A rule as the tables hold it: a [`Rule`] in the lowest three bits, its number above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct RuleWord(pub u32);

impl RuleWord {
    /// No rule.
    pub const NONE: Self = Self(0);
    /// Numbers are below this.
    pub const NUMBERS: u32 = 1 << (u32::BITS - Self::RULE_BITS);
    const RULE_BITS: u32 = 3;

    /// The rule of that number, below [`RuleWord::NUMBERS`].
    #[inline(always)]
    #[must_use]
    pub const fn new(rule: Rule, number: u32) -> Self {
        Self(number << Self::RULE_BITS | rule as u32)
    }

    /// Whether there is one.
    #[inline(always)]
    #[must_use]
    pub const fn is_some(&self) -> bool {
        self.0 != 0
    }

    /// What it says, if there is one.
    #[inline(always)]
    #[must_use]
    pub const fn rule(self) -> Option<Rule> {
        match self.0 & 7 {
            1 => Some(Rule::Allow),
            2 => Some(Rule::Deny),
            3 => Some(Rule::Own),
            4 => Some(Rule::Feed),
            5 => Some(Rule::Ban),
            _ => None,
        }
    }

    /// Its number.
    #[inline(always)]
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0 >> Self::RULE_BITS
    }

    /// Who it comes from; nobody where there is no rule.
    #[inline(always)]
    #[must_use]
    pub const fn layer(self) -> Option<Layer> {
        match self.rule() {
            Some(Rule::Allow | Rule::Deny | Rule::Own) => Some(Layer::Operator),
            Some(Rule::Feed) => Some(Layer::Feed),
            Some(Rule::Ban) => Some(Layer::Ban),
            None => None,
        }
    }

    /// Whether it decides where the `other` one holds too, however specific that is.
    #[must_use]
    pub fn goes_before(self, other: Self) -> bool {
        match (self.layer(), other.layer()) {
            (Some(own), Some(other)) => own < other,
            (own, None) => own.is_some(),
            (None, Some(_)) => false,
        }
    }

    /// Whether it is the operator's, or the host's own.
    #[inline(always)]
    #[must_use]
    pub const fn is_operators(self) -> bool {
        matches!(self.layer(), Some(Layer::Operator))
    }
}

/// Key of a service's own list of IPv4 sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ServiceIpv4 {
    /// Position of the service; its 32 bits precede those of the address in the prefix.
    pub service: u32,
    /// Address in network order.
    pub address: Ipv4Word,
}

/// Key of a service's own list of IPv6 sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ServiceIpv6 {
    /// Position of the service; its 32 bits precede those of the address in the prefix.
    pub service: u32,
    /// Address in network order.
    pub address: Ipv6Words,
}

/// What a TCP port belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ServicePort {
    /// Position of the service plus one. Zero: none.
    pub service_plus_one: u16,
    /// Bits of [`ServicePort::CHECK`] and so on.
    pub flags: u16,
}

impl ServicePort {
    /// Find out whether its connections are encrypted.
    pub const CHECK: u16 = 1;
    /// Plaintext is flagged.
    pub const FLAG: u16 = 2;
    /// Plaintext is dropped.
    pub const DROP: u16 = 4;
    /// Only listed sources may come in.
    pub const ACL: u16 = 8;
    /// The service has limits of its own.
    pub const LIMITS: u16 = 16;
    /// Plaintext breaks its connection off.
    pub const RESET: u16 = 32;
    /// What matches nothing is refused too.
    pub const STRICT: u16 = 64;
}

/// What a source may send to a service: packets, SYNs and bytes.
pub type ServiceLimits = [Limit; 3];

/// Position of the count of a service's connections of an outcome and a protocol.
#[inline(always)]
#[must_use]
pub const fn outcome_position(service: u32, outcome: Outcome, protocol: Protocol) -> u32 {
    service * OUTCOMES_OF_SERVICE + outcome as u32 * Protocol::COUNT as u32 + protocol as u32
}

/// How many such counts a service has.
pub const OUTCOMES_OF_SERVICE: u32 = (Outcome::COUNT * Protocol::COUNT) as u32;

/// What is counted of connections that made room for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Evicted {
    /// Before it was known what they are.
    Talks = 0,
    /// Afterwards.
    Settled = 1,
}

impl Evicted {
    /// How many kinds there are.
    pub const COUNT: u32 = 2;
}

/// Events that share a budget, so that a flood of one kind does not silence the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum EventClass {
    /// Packets refused.
    Refused = 0,
    /// Plaintext on a service's port.
    Plaintext = 1,
    /// A source that has stayed over its limit. These have no budget: each source is told of once
    /// in the time that is tolerated.
    Offence = 2,
    /// What a connection is.
    Outcome = 3,
    /// The first kilobytes of a connection.
    Sample = 4,
    /// One of many packets, for the sake of who sends most. These have a pace of their own:
    /// [`crate::talkers::Pace`].
    Talker = 5,
}

impl EventClass {
    /// How many classes share an array of budgets: all but the last.
    pub const COUNT: u32 = 5;
}

/// Budget and fate of the events of one class, one a CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct EventBudget {
    /// Tick at which the running second started.
    pub second_start: u32,
    /// Events emitted in it.
    pub spent: u32,
    /// Handed to user space.
    pub emitted: u64,
    /// Left out since the budget was spent.
    pub suppressed: u64,
    /// Left out since the ring buffer was full.
    pub lost: u64,
}

/// One flagged or refused packet, or a connection. The start of the payload follows it in events of
/// [`EventClass::Plaintext`] and [`EventClass::Sample`], raw: it may hold credentials, so user space
/// redacts it before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// Source address; an IPv4 one in its IPv6-mapped form. Of talkers, of IPv6 the prefix.
    pub source: [u8; 16],
    /// Sequence number of a TCP segment; of samples, bytes since its sender's first one; of talkers,
    /// for how many candidates it stands; else 0.
    pub seq: u32,
    /// Position of the interface.
    pub interface: u32,
    /// Bytes of the packet, as in [`Counter::bytes`].
    pub packet_bytes: u32,
    /// Bytes of payload that follow.
    pub excerpt_len: u32,
    /// TCP port it comes from, or 0.
    pub source_port: u16,
    /// TCP port it goes to, or 0.
    pub port: u16,
    /// Position of the service plus one. Zero: none.
    pub service_plus_one: u16,
    /// A [`Verdict`].
    pub verdict: u8,
    /// A [`Reason`].
    pub reason: u8,
    /// A [`Protocol`].
    pub protocol: u8,
    /// An [`EventClass`].
    pub class: u8,
    /// Of connections: an [`Outcome`].
    pub outcome: u8,
    /// Of connections: a [`crate::connection::FirstSpeaker`]. Of samples: 1 when the client sends
    /// it, else 2.
    pub speaker: u8,
    /// Of connections: bits of [`Event::OUTBOUND`] and [`Event::EVADED`].
    pub notes: u8,
    /// Zero.
    pub reserved: [u8; 3],
}

impl Event {
    /// The host called.
    pub const OUTBOUND: u8 = 1;
    /// A byte of what was said first came twice, and differently.
    pub const EVADED: u8 = 2;
}

const _: () = {
    assert!(size_of::<Limit>() == 24);
    assert!(size_of::<Settings>() == 24 * 12 + 8 + 16 * 2 + 4 * 36);
    assert!(size_of::<Variables>() == 16);
    assert!(size_of::<Bypass>() == 8);
    assert!(size_of::<Counter>() == 16);
    assert!(size_of::<ServiceIpv4>() == 8);
    assert!(size_of::<ServiceIpv6>() == 20);
    assert!(size_of::<ServicePort>() == 4);
    assert!(size_of::<EventBudget>() == 32);
    assert!(size_of::<Event>() == 48);
};
