//! From configuration to what the kernel side is told: settings, table sizes and entries.

use std::{collections::HashSet, fs, ops::RangeInclusive, sync::Arc, time::Duration};

use aya::util::online_cpus;
use guard_common::{
    connection::talk::TALK_WAYS,
    facts::Shape,
    limit::Limit,
    source::ipv6_mask,
    wire::{
        ABI_VERSION, Budget, Counter, OUTCOMES_OF_SERVICE, Rule, RuleWord, SLOWEST_SERVICE,
        ServiceLimits, ServicePort, Settings,
    },
};
use ipnet::IpNet;

use super::{estate::Labels, rules::Sizes, tick::Tick};
use crate::config::{
    self, Config, Direction, Encryption, Entry, Limits, OnPlaintext, Rate, Service,
};

/// Sets of the source table, four sources each: 262,144 sources in 4 MiB.
const SOURCE_SETS: u32 = 1 << 16;
/// Sets of the table of networks, four networks each.
const NETWORK_SETS: u32 = 1 << 14;
/// Lines of the table of known sources, eight sources each: 131,072 sources in 1 MiB.
const KNOWN_LINES: u32 = 1 << 14;
/// Lines of the table of connections, eight each: 131,072 connections in 1 MiB. Only where sources
/// are banned.
const CONNECTION_LINES: u32 = 1 << 14;
/// Sets of the table of what sources send by connections, four sources each. Only where sources are
/// banned.
const CONDUCT_SETS: u32 = 1 << 14;
/// Lines of the table of offenders, four each. Only where sources are banned.
const OFFENDER_LINES: u32 = 1 << 10;
/// Lines of the table of handshakes, four each: 131,072 in 2 MiB.
const OPENING_LINES: u32 = 1 << 15;
/// Sets of the table of connections that are not known yet, four each: 32,768 in 4 MiB.
const TALK_SETS: u32 = 1 << 13;
/// Lines of the table of connections that are known, eight each: 524,288 in 4 MiB.
const SETTLED_LINES: u32 = 1 << 16;
/// Connections a second and CPU whose first kilobytes go to user space.
const SAMPLE_BUDGET: u32 = 3;
/// For how long a source is known after the host last sent it something.
const KNOWN_FOR: Duration = Duration::from_hours(24);
/// For how long the host waits for an answer of a resolver: resolvers' clients give up after 5 s, and
/// ask again by the same port.
const QUESTION_FOR: Duration = Duration::from_secs(10);
/// What answers of resolvers may have, where they would be refused, in packets a second.
const ANSWERS: u64 = 1_000;
/// The same of administrators' SSH connections, all together.
const ADMINISTRATION: u64 = 2_000;
/// Where the kernel says which ports are ephemeral, and what it says unless told otherwise.
const EPHEMERAL_PORTS: (&str, [u16; 2]) =
    ("/proc/sys/net/ipv4/ip_local_port_range", [32_768, 60_999]);
/// Rules that can be added to a running agent and have a count of their own.
const SPARE_NUMBERS: u32 = 1 << 10;
/// Rules that have a count of their own, at most.
const MOST_COUNTED: u32 = 1 << 16;
const NS_PER_SECOND: u64 = 1_000_000_000;
/// Events a second, CPU and class.
const EVENT_BUDGET: u32 = 20;
/// How often a second the budget of talkers is there anew.
const TALKER_PERIODS: u32 = 8;
/// Talkers told of in such a period: by each CPU at most, and by all together.
const TALKER_BUDGET: [u32; 2] = [25, 100];

/// Everything the kernel side is told when it is loaded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Constants of the program.
    pub settings: Settings,
    /// The clock of the packet path.
    pub tick: Tick,
    /// What counts are called.
    pub(super) labels: Labels,
    /// Sets of each source table, a power of two.
    pub source_sets: u32,
    /// What the operator says of whom, each network once.
    pub rules: Vec<(IpNet, RuleWord)>,
    /// What feeds say, by their numbers. Any of the operator's rules goes before.
    pub feeds: Vec<FeedRules>,
    /// What a source may send to a service, by its position.
    pub service_limits: Vec<ServiceLimits>,
    /// TCP ports of the host's services.
    pub ports: Vec<(RangeInclusive<u16>, ServicePort)>,
    /// TCP ports of others' services, which the host calls.
    pub called_ports: Vec<(RangeInclusive<u16>, ServicePort)>,
    /// Who may reach a service, by its position.
    pub acl: Vec<(u32, IpNet)>,
}

/// What one feed says.
#[derive(Clone, Debug)]
pub struct FeedRules {
    /// Of each of its networks.
    pub word: RuleWord,
    /// In ascending order.
    pub nets: Arc<[IpNet]>,
}

impl FeedRules {
    /// What it says of exactly this network.
    pub fn of(&self, net: IpNet) -> Option<RuleWord> {
        let found = self.nets.binary_search(&net);
        found.is_ok().then_some(self.word)
    }
}

impl Plan {
    /// What `config` means on a clock with this `tick`. The `hash_seed` must be unpredictable.
    #[must_use]
    pub fn new(config: &Config, tick: Tick, hash_seed: [u64; 2]) -> Self {
        let budgets = budgets(&config.limits, tick);
        let settings = Settings {
            limits: [
                per_packet(config.limits.packets, config.limits.burst, tick),
                per_packet(config.limits.connections, config.limits.burst, tick),
            ],
            limit_bytes: per_byte(config.limits.bytes, config.limits.burst, tick),
            budgets,
            budgeted: budgeted(&budgets),
            aggregates: [
                per_packet(config.limits.aggregate.packets, config.limits.burst, tick),
                per_packet(
                    config.limits.aggregate.connections,
                    config.limits.burst,
                    tick,
                ),
            ],
            hash_seed,
            ipv6_mask: ipv6_mask(config.limits.ipv6_prefix),
            abi_version: ABI_VERSION,
            clock: tick.clock as u32,
            set_mask: SOURCE_SETS - 1,
            dry_run: u32::from(config.dry_run),
            interfaces: config.interfaces.len().max(1) as u32,
            services: config.services.len() as u32,
            address_mask_v4: 0,
            address_mask_v6: 0,
            filter_mask_v4: 0,
            filter_mask_v6: 0,
            ticks_per_second: tick.count(Duration::from_secs(1)),
            event_budget: EVENT_BUDGET,
            network_mask: NETWORK_SETS - 1,
            known_mask: KNOWN_LINES - 1,
            known_ticks: tick.count(KNOWN_FOR),
            service_limits: u32::from(
                config
                    .services
                    .iter()
                    .any(|service| !service.limits.is_off()),
            ),
            ephemeral_ports: ephemeral_ports(),
            tells: 0,
            refuses_land: 1,
            asks_sockets: 1,
            connection_mask: CONNECTION_LINES - 1,
            conduct_mask: CONDUCT_SETS - 1,
            offender_mask: OFFENDER_LINES - 1,
            ban_after: config
                .limits
                .ban
                .map_or(0, |ban| tick.count(ban.after).max(1)),
            opening_mask: OPENING_LINES - 1,
            talk_mask: TALK_SETS - 1,
            settled_mask: SETTLED_LINES - 1,
            sample_budget: SAMPLE_BUDGET,
            talker_budget: talker_budget(),
            talker_ticks: tick.count(Duration::from_secs(1) / TALKER_PERIODS).max(1),
            // What depends on more than one of the lists is told below.
            checks: 0,
            checks_calls: 0,
            resets: 0,
            notes_known: 0,
            protects_self: config.protect_self.into(),
            question_ticks: tick.count(QUESTION_FOR),
        };
        let services = config.services.iter().map(|service| service.name.clone());
        let mut plan = Self {
            settings,
            tick,
            labels: Labels::new(config.interfaces.clone(), services.collect()),
            source_sets: SOURCE_SETS,
            rules: rules(config),
            feeds: feeds(config),
            service_limits: config
                .services
                .iter()
                .map(|service| service_limits(&service.limits, config.limits.burst, tick))
                .collect(),
            ports: ports(config, Direction::Inbound),
            called_ports: ports(config, Direction::Outbound),
            acl: config.services.iter().zip(0..).flat_map(acl).collect(),
        };
        plan.settings.notes_known = plan.needs_known().into();
        plan.settings.checks_calls = checks(&plan.called_ports).into();
        plan.settings.checks = (checks(&plan.ports) || checks(&plan.called_ports)).into();
        let breaks_off = |(_, port): &(_, ServicePort)| port.flags & ServicePort::RESET != 0;
        plan.settings.resets = plan.ports.iter().any(breaks_off).into();
        plan.fit();
        plan
    }

    /// Changes the rules, and sees to it that they fit.
    pub fn lay_over(&mut self, change: impl FnOnce(&mut Vec<(IpNet, RuleWord)>)) {
        change(&mut self.rules);
        self.fit();
    }

    /// Sees to it that the rules fit.
    fn fit(&mut self) {
        let sizes = self.sizes();
        [self.settings.address_mask_v4, self.settings.address_mask_v6] = sizes.masks();
        [self.settings.filter_mask_v4, self.settings.filter_mask_v6] = sizes.filter_masks();
    }

    /// Every rule, also those before which others go.
    pub(super) fn all_rules(&self) -> impl Iterator<Item = (IpNet, RuleWord)> {
        let of_feeds = self.feeds.iter().flat_map(|feed| {
            let nets = feed.nets.iter();
            nets.map(|net| (*net, feed.word))
        });
        self.rules.iter().copied().chain(of_feeds)
    }

    /// Entries of the maps that are there for what is configured.
    pub(super) fn table_sizes(&self) -> [(&'static str, u32); 15] {
        let settings = &self.settings;
        let on = |is_on, entries| if is_on { entries } else { 1 };
        let counts_networks = settings.aggregates.iter().any(Limit::is_on);
        let bans = settings.ban_after != 0;
        let checks = settings.checks != 0;
        [
            ("SOURCES", self.source_sets),
            (
                "SOURCE_BYTES",
                on(settings.limit_bytes.is_on(), self.source_sets),
            ),
            (
                "SERVICE_SOURCES",
                on(settings.service_limits != 0, self.source_sets),
            ),
            (
                "SERVICE_BYTES",
                on(settings.service_limits != 0, self.source_sets),
            ),
            ("SERVICE_LIMITS", SLOWEST_SERVICE + 1 + settings.services),
            // What no service's port has is counted as the first one's.
            ("OUTCOMES", settings.services.max(1) * OUTCOMES_OF_SERVICE),
            ("NETWORKS", on(counts_networks, settings.network_mask + 1)),
            ("KNOWN", on(self.needs_known(), settings.known_mask + 1)),
            ("CONNECTIONS", on(bans, settings.connection_mask + 1)),
            ("CONDUCT", on(bans, settings.conduct_mask + 1)),
            ("OFFENDERS", on(bans, settings.offender_mask + 1)),
            ("OPENINGS", on(checks, settings.opening_mask + 1)),
            (
                "TALKS",
                on(checks, (settings.talk_mask + 1) * TALK_WAYS).max(TALK_WAYS),
            ),
            ("SETTLED", on(checks, settings.settled_mask + 1)),
            ("CALLED_PORTS", on(settings.checks_calls != 0, 1 << 16)),
        ]
    }

    /// Entries of a map whose size is not that of the object.
    pub(super) fn entries(&self, name: &str) -> Option<u32> {
        if name == "COUNTERS" {
            return Some(self.settings.interfaces * Counter::PER_INTERFACE);
        }
        let sizes = self.table_sizes();
        let found = sizes.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, entries)| entries)
    }

    pub(super) fn sizes(&self) -> Sizes {
        Sizes::of(self.all_rules())
    }

    /// Whether something depends on whom the host talks with.
    pub(super) fn needs_known(&self) -> bool {
        let is_on = |budget| self.settings.budgets[budget as usize].is_on();
        is_on(Budget::NewSources) || is_on(Budget::Stray) || self.settings.ban_after != 0
    }

    /// Whether what leaves has to be seen.
    pub(super) fn needs_departures(&self) -> bool {
        self.needs_known() || self.settings.checks != 0 || self.settings.protects_self != 0
    }

    /// What tells who owes least to services, which share their tables.
    pub(super) fn slowest_service(&self) -> ServiceLimits {
        let slower = |one: ServiceLimits, other: ServiceLimits| {
            [0, 1, 2].map(|at| Limit::slower(one[at], other[at]))
        };
        let services = self.service_limits.iter().copied();
        services.reduce(slower).unwrap_or([Limit::OFF; 3])
    }

    /// How many rules have a count of their own.
    pub(super) fn rule_numbers(&self) -> u32 {
        let feeds = self.feeds.iter().map(|feed| feed.word);
        let words = self.rules.iter().map(|(_, rule)| *rule).chain(feeds);
        let highest = words.map(RuleWord::number).max();
        let numbers = highest.unwrap_or(0).saturating_add(SPARE_NUMBERS);
        numbers.min(MOST_COUNTED)
    }
}

/// Feeds have the first numbers: each of them has a count of its own.
fn feeds(config: &Config) -> Vec<FeedRules> {
    let feeds = config.feeds.iter().zip(0..);
    feeds
        .map(|(feed, number)| FeedRules {
            word: RuleWord::new(Rule::Feed, number),
            nets: Arc::clone(&feed.nets),
        })
        .collect()
}

/// Rules are numbered by their entries, behind the feeds: those of `allow` first. At equal length
/// allow wins.
fn rules(config: &Config) -> Vec<(IpNet, RuleWord)> {
    let numbered = |list: &[Entry], rule, first| -> Vec<(IpNet, RuleWord)> {
        let entries = list.iter().zip(first..);
        entries
            .map(|(entry, number)| (entry.cidr, RuleWord::new(rule, number)))
            .collect()
    };
    let first = config.feeds.len() as u32;
    let mut rules = numbered(&config.allow, Rule::Allow, first);
    let allowed: HashSet<IpNet> = rules.iter().map(|(cidr, _)| *cidr).collect();
    let denied = numbered(&config.deny, Rule::Deny, first + config.allow.len() as u32);
    rules.extend(
        denied
            .into_iter()
            .filter(|(cidr, _)| !allowed.contains(cidr)),
    );
    rules
}

/// By [`Budget`].
fn budgets(limits: &Limits, tick: Tick) -> [Limit; Budget::COUNT as usize] {
    let configured = |rate| per_packet(rate, limits.burst, tick);
    let fixed = |packets| Limit::per_packet(packets, NS_PER_SECOND, tick.ns);
    [
        Budget::Icmp,
        Budget::Fragments,
        Budget::Udp,
        Budget::Stray,
        Budget::NewSources,
        Budget::Answers,
        Budget::Administrators,
    ]
    .map(|budget| match budget {
        Budget::Icmp => configured(limits.protocol.icmp),
        Budget::Fragments => configured(limits.protocol.fragments),
        Budget::Udp => configured(limits.protocol.udp),
        Budget::Stray => configured(limits.protocol.stray),
        Budget::NewSources => configured(limits.new_sources),
        Budget::Answers => fixed(ANSWERS),
        Budget::Administrators => fixed(ADMINISTRATION),
    })
}

/// Which kinds of packets have a budget whoever sends them.
fn budgeted(budgets: &[Limit]) -> u64 {
    let kinds = [
        (Budget::Icmp, Shape::ICMP),
        (Budget::Fragments, Shape::FRAGMENT),
        (Budget::Udp, Shape::UDP),
    ];
    let is_on = |(budget, _): &(Budget, u32)| budgets[*budget as usize].is_on();
    let on = kinds.into_iter().filter(is_on);
    on.fold(0, |flags, (_, flag)| flags | u64::from(flag))
}

fn per_packet(rate: Option<Rate>, burst: Duration, tick: Tick) -> Limit {
    rate.map_or(Limit::OFF, |rate| {
        let allowance = rate.allowance(burst);
        Limit::per_packet(allowance.units, allowance.refill.as_nanos() as u64, tick.ns)
    })
}

fn service_limits(limits: &config::ServiceLimits, burst: Duration, tick: Tick) -> ServiceLimits {
    [
        per_packet(limits.packets, burst, tick),
        per_packet(limits.connections, burst, tick),
        per_byte(limits.bytes, burst, tick),
    ]
}

/// Whether it is found out of some of these whether they are encrypted.
fn checks(ports: &[(RangeInclusive<u16>, ServicePort)]) -> bool {
    ports
        .iter()
        .any(|(_, port)| port.flags & ServicePort::CHECK != 0)
}

/// A CPU's share, so that a host of many CPUs does not spend itself on reading what they tell.
fn talker_budget() -> u32 {
    let [of_one, of_all] = TALKER_BUDGET;
    let cpus = online_cpus().map_or(of_all, |cpus| cpus.len() as u32);
    (of_all / cpus.max(1)).clamp(1, of_one)
}

/// First in the low half, last in the high one.
fn ephemeral_ports() -> u32 {
    let (path, default) = EPHEMERAL_PORTS;
    let read = fs::read_to_string(path).ok().and_then(|text| {
        let mut ports = text.split_whitespace().map(|port| port.parse::<u16>().ok());
        Some([ports.next()??, ports.next()??])
    });
    let [first, last] = read.unwrap_or(default);
    u32::from(first) | u32::from(last) << 16
}

fn per_byte(rate: Option<Rate>, burst: Duration, tick: Tick) -> Limit {
    rate.map_or(Limit::OFF, |rate| {
        let allowance = rate.allowance(burst);
        Limit::per_byte(allowance.units, allowance.refill.as_nanos() as u64, tick.ns)
    })
}

fn ports(config: &Config, direction: Direction) -> Vec<(RangeInclusive<u16>, ServicePort)> {
    let services = config.services.iter().zip(1..);
    services
        .filter(|(service, _)| service.direction == direction)
        .flat_map(|(service, service_plus_one)| {
            let entry = ServicePort {
                service_plus_one,
                flags: flags(service),
            };
            let ranges = service.ports.iter();
            ranges.map(move |range| (range.clone(), entry))
        })
        .collect()
}

fn flags(service: &Service) -> u16 {
    let check = match (service.encryption, service.on_plaintext) {
        (Encryption::Off, _) => 0,
        (Encryption::Optional, _) => ServicePort::CHECK,
        (Encryption::Required, OnPlaintext::Flag) => ServicePort::CHECK | ServicePort::FLAG,
        (Encryption::Required, OnPlaintext::Reset) => {
            ServicePort::CHECK | ServicePort::FLAG | ServicePort::RESET
        }
        (Encryption::Required, OnPlaintext::Drop) => {
            ServicePort::CHECK | ServicePort::FLAG | ServicePort::DROP
        }
    };
    let if_set = |is_set, flag| if is_set { flag } else { 0 };
    check
        | if_set(service.strict, ServicePort::STRICT)
        | if_set(service.allow.is_some(), ServicePort::ACL)
        | if_set(!service.limits.is_off(), ServicePort::LIMITS)
}

fn acl((service, position): (&Service, u32)) -> impl Iterator<Item = (u32, IpNet)> {
    service
        .allow
        .iter()
        .flatten()
        .map(move |net| (position, *net))
}
