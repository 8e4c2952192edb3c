//! From configuration to what the kernel side is told: settings, table sizes and entries.

use std::{collections::HashSet, iter::empty, ops::RangeInclusive, time::Duration};

use guard_common::{
    limit::Limit,
    source::ipv6_mask,
    wire::{ABI_VERSION, Budget, Clock, Rule, ServicePort, Settings},
};
use ipnet::IpNet;

use super::addresses::Rules;
use crate::config::{Config, Encryption, Limits, OnPlaintext, Rate, Service};

/// Sets of the source table, four sources each: 262,144 sources in 4 MiB.
const SOURCE_SETS: u32 = 1 << 16;
/// Events a second, CPU and class.
const EVENT_BUDGET: u32 = 20;

/// The clock of the packet path and how long its tick is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// Which clock.
    pub clock: Clock,
    /// Nanoseconds of a tick, at least 1.
    pub ns: u64,
}

/// Everything the kernel side is told when it is loaded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Constants of the program.
    pub settings: Settings,
    /// Sets of each source table, a power of two.
    pub source_sets: u32,
    /// What the operator says of whom.
    pub rules: Rules,
    /// TCP ports of services.
    pub ports: Vec<(RangeInclusive<u16>, ServicePort)>,
    /// Who may reach a service, by its position.
    pub acl: Vec<(u32, IpNet)>,
}

impl Plan {
    /// A kernel side that protects nothing, as the start-up measurement needs it.
    #[must_use]
    pub fn idle() -> Self {
        let (ports, acl) = (Vec::new(), Vec::new());
        let rules = Rules::new(empty(), [0; 2]);
        Self {
            settings: Settings::OFF,
            source_sets: 1,
            rules,
            ports,
            acl,
        }
    }

    /// What `config` means on a clock with this `tick`. The `hash_seed` must be unpredictable.
    #[must_use]
    pub fn new(config: &Config, tick: Tick, hash_seed: [u64; 2]) -> Self {
        let rules = Rules::new(rules(config).into_iter(), hash_seed);
        let has_prefixes = |nets: usize, spilled: u64| u32::from(nets as u64 > spilled);
        let (v4, v6) = (&rules.addresses_v4, &rules.addresses_v6);
        let settings = Settings {
            limits: [
                per_packet(config.limits.packets, config.limits.burst, tick),
                per_packet(config.limits.connections, config.limits.burst, tick),
            ],
            limit_bytes: per_byte(&config.limits, tick),
            budgets: budgets(&config.limits, tick),
            hash_seed,
            ipv6_mask: ipv6_mask(config.limits.ipv6_prefix),
            abi_version: ABI_VERSION,
            clock: tick.clock as u32,
            set_mask: SOURCE_SETS - 1,
            dry_run: u32::from(config.dry_run),
            interfaces: config.interfaces.len().max(1) as u32,
            services: config.services.len() as u32,
            rules_v4: has_prefixes(rules.nets_v4.len(), v4.spilled),
            rules_v6: has_prefixes(rules.nets_v6.len(), v6.spilled),
            addresses_v4: u32::from(v4.entries > 0),
            addresses_v6: u32::from(v6.entries > 0),
            address_mask_v4: (v4.lines.len() - 1) as u32,
            address_mask_v6: (v6.lines.len() - 1) as u32,
            ticks_per_second: u32::try_from(1_000_000_000 / tick.ns.max(1)).unwrap_or(u32::MAX),
            event_budget: EVENT_BUDGET,
            tells: 0,
            reserved: 0,
        };
        Self {
            settings,
            source_sets: SOURCE_SETS,
            rules,
            ports: config.services.iter().zip(0..).flat_map(ports).collect(),
            acl: config.services.iter().zip(0..).flat_map(acl).collect(),
        }
    }
}

/// At equal length allow wins.
fn rules(config: &Config) -> Vec<(IpNet, Rule)> {
    let allowed: HashSet<IpNet> = config.allow.iter().map(|entry| entry.cidr).collect();
    let denied: HashSet<IpNet> = config.deny.iter().map(|entry| entry.cidr).collect();
    let overruled = |cidr: &IpNet| allowed.contains(cidr);
    let denied = denied.into_iter().filter(|cidr| !overruled(cidr));
    let denied = denied.map(|cidr| (cidr, Rule::Deny));
    let rules = allowed.iter().map(|cidr| (*cidr, Rule::Allow));
    rules.chain(denied).collect()
}

/// By [`Budget`].
fn budgets(limits: &Limits, tick: Tick) -> [Limit; Budget::COUNT as usize] {
    let rate = |budget| match budget {
        Budget::Icmp => limits.protocol.icmp,
        Budget::Fragments => limits.protocol.fragments,
        Budget::Udp => limits.protocol.udp,
    };
    [Budget::Icmp, Budget::Fragments, Budget::Udp]
        .map(|budget| per_packet(rate(budget), limits.burst, tick))
}

fn per_packet(rate: Option<Rate>, burst: Duration, tick: Tick) -> Limit {
    rate.map_or(Limit::OFF, |rate| {
        let allowance = rate.allowance(burst);
        Limit::per_packet(allowance.units, allowance.refill.as_nanos() as u64, tick.ns)
    })
}

fn per_byte(limits: &Limits, tick: Tick) -> Limit {
    limits.bytes.map_or(Limit::OFF, |rate| {
        let allowance = rate.allowance(limits.burst);
        Limit::per_byte(allowance.units, allowance.refill.as_nanos() as u64, tick.ns)
    })
}

fn ports(
    (service, position): (&Service, u16),
) -> impl Iterator<Item = (RangeInclusive<u16>, ServicePort)> {
    let entry = ServicePort {
        service_plus_one: position + 1,
        flags: flags(service),
    };
    service
        .ports
        .iter()
        .map(move |range| (range.clone(), entry))
}

fn flags(service: &Service) -> u16 {
    let check = match (service.encryption, service.on_plaintext) {
        (Encryption::Off, _) => 0,
        (Encryption::Optional, _) => ServicePort::CHECK,
        (Encryption::Required, OnPlaintext::Flag) => ServicePort::CHECK | ServicePort::FLAG,
        (Encryption::Required, OnPlaintext::Drop) => {
            ServicePort::CHECK | ServicePort::FLAG | ServicePort::DROP
        }
    };
    check
        | if service.allow.is_some() {
            ServicePort::ACL
        } else {
            0
        }
}

fn acl((service, position): (&Service, u32)) -> impl Iterator<Item = (u32, IpNet)> {
    service
        .allow
        .iter()
        .flatten()
        .map(move |net| (position, *net))
}
