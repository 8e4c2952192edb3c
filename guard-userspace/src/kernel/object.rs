//! Loads the kernel side and fills its maps.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, LpmTrie, Map, MapData, MapError, lpm_trie::Key},
};
use guard_common::{
    addresses::{IPV4_WAYS, IPV6_WAYS, Ipv4Line, Ipv6Line},
    limit::WAYS,
    protocol::Protocol,
    wire::{
        Counter, Ipv4Word, Ipv6Words, Rule, ServiceIpv4, ServiceIpv6, ServicePort, payload_position,
    },
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{RuleCounts, addresses::v4_word, plan::Plan};
use crate::status::MapStatus;

/// The compiled kernel side, embedded by the build script.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/guard-ebpf"));

/// Bits of the service's position, which precede those of the address in an ACL's key.
const SERVICE_BITS: u32 = 32;

/// Whether the programs may log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Logging {
    On,
    /// The verifier deletes the code.
    Off,
}

/// The kernel side as `plan` wants it: maps made and filled, no program verified yet.
pub(super) fn load(plan: &Plan, logging: Logging) -> Result<Ebpf> {
    let rules = &plan.rules;
    let (acl_v4, acl_v6) = split(plan.acl.iter().map(|(service, net)| (*net, *service)));
    let bytes_sets = if plan.settings.limit_bytes.is_on() {
        plan.source_sets
    } else {
        1
    };
    let payloads = payload_position(plan.settings.services.max(1), Protocol::ALL[0]);

    let log_level = match logging {
        Logging::On => u8::MAX,
        Logging::Off => 0_u8,
    };

    let mut ebpf = EbpfLoader::new()
        .override_global("AYA_LOG_LEVEL", &log_level, true)
        .override_global("SETTINGS", &plan.settings, true)
        .map_max_entries("SOURCES", plan.source_sets)
        .map_max_entries("SOURCE_BYTES", bytes_sets)
        .map_max_entries(
            "COUNTERS",
            plan.settings.interfaces * Counter::PER_INTERFACE,
        )
        .map_max_entries("PAYLOADS", payloads)
        .map_max_entries("ADDRESSES_V4", entries(&rules.addresses_v4.lines))
        .map_max_entries("ADDRESSES_V6", entries(&rules.addresses_v6.lines))
        .map_max_entries("RULES_V4", entries(&rules.nets_v4))
        .map_max_entries("RULES_V6", entries(&rules.nets_v6))
        .map_max_entries("ACL_V4", entries(&acl_v4))
        .map_max_entries("ACL_V6", entries(&acl_v6))
        .load(OBJECT)
        .context("the kernel does not take the maps of the kernel side")?;

    fill_lines(&mut ebpf, "ADDRESSES_V4", &rules.addresses_v4.lines)?;
    fill_lines(&mut ebpf, "ADDRESSES_V6", &rules.addresses_v6.lines)?;
    fill_trie(
        &mut ebpf,
        "RULES_V4",
        rules
            .nets_v4
            .iter()
            .map(|(net, rule)| (rule_v4(*net), *rule as u32)),
    )?;
    fill_trie(
        &mut ebpf,
        "RULES_V6",
        rules
            .nets_v6
            .iter()
            .map(|(net, rule)| (rule_v6(*net), *rule as u32)),
    )?;
    fill_trie(
        &mut ebpf,
        "ACL_V4",
        acl_v4
            .iter()
            .map(|(net, service)| (acl_v4_key(*net, *service), 1)),
    )?;
    fill_trie(
        &mut ebpf,
        "ACL_V6",
        acl_v6
            .iter()
            .map(|(net, service)| (acl_v6_key(*net, *service), 1)),
    )?;
    fill_ports(&mut ebpf, plan)?;
    Ok(ebpf)
}

/// The map `name` of the kernel side.
pub(super) fn map<'a, M>(ebpf: &'a mut Ebpf, name: &str) -> Result<M>
where
    M: TryFrom<&'a mut Map>,
    M::Error: std::error::Error + Send + Sync + 'static,
{
    let map = ebpf
        .map_mut(name)
        .with_context(|| format!("the object has no map {name}"))?;
    M::try_from(map).with_context(|| format!("map {name} is not what it should be"))
}

/// Rules that are in force, by the map that holds them, counted in the kernel.
pub(super) fn count_rules(ebpf: &mut Ebpf) -> Result<BTreeMap<&'static str, RuleCounts>> {
    let v4: Array<&mut MapData, Ipv4Line> = map(ebpf, "ADDRESSES_V4")?;
    let addresses_v4 = count_lines(v4.iter(), Ipv4Line::rules)?;
    let v6: Array<&mut MapData, Ipv6Line> = map(ebpf, "ADDRESSES_V6")?;
    let addresses_v6 = count_lines(v6.iter(), Ipv6Line::rules)?;
    let v4: LpmTrie<&mut MapData, Ipv4Word, u32> = map(ebpf, "RULES_V4")?;
    let rules_v4 = count(v4.iter().map(|entry| entry.map(|(_, rule)| rule)))?;
    let v6: LpmTrie<&mut MapData, Ipv6Words, u32> = map(ebpf, "RULES_V6")?;
    let rules_v6 = count(v6.iter().map(|entry| entry.map(|(_, rule)| rule)))?;
    Ok(BTreeMap::from([
        ("ADDRESSES_V4", addresses_v4),
        ("ADDRESSES_V6", addresses_v6),
        ("RULES_V4", rules_v4),
        ("RULES_V6", rules_v6),
    ]))
}

fn count_lines<L, R: IntoIterator<Item = u32>>(
    lines: impl Iterator<Item = Result<L, MapError>>,
    rules: impl Fn(&L) -> R,
) -> Result<RuleCounts> {
    let mut counts = RuleCounts::default();
    for line in lines {
        for rule in rules(&line.context("reading the addresses")?) {
            counts.add(rule);
        }
    }
    Ok(counts)
}

fn count(rules: impl Iterator<Item = Result<u32, MapError>>) -> Result<RuleCounts> {
    let mut counts = RuleCounts::default();
    for rule in rules {
        counts.add(rule.context("reading the rules")?);
    }
    Ok(counts)
}

impl RuleCounts {
    fn add(&mut self, rule: u32) {
        if rule == Rule::Allow as u32 {
            self.allow += 1;
        } else {
            self.deny += 1;
        }
    }
}

/// What fits in the tables, and how many rules those of rules hold.
pub(super) fn tables(
    ebpf: &mut Ebpf,
    in_force: &BTreeMap<&'static str, RuleCounts>,
) -> Result<Vec<MapStatus>> {
    let mut tables = Vec::new();
    for (name, ways) in [
        ("SOURCES", WAYS),
        ("SOURCE_BYTES", WAYS),
        ("OPENINGS", 1),
        ("ADDRESSES_V4", IPV4_WAYS),
        ("ADDRESSES_V6", IPV6_WAYS),
        ("RULES_V4", 1),
        ("RULES_V6", 1),
    ] {
        let entries = in_force.get(name).map(|counts| counts.allow + counts.deny);
        tables.push(MapStatus {
            map: name.to_lowercase(),
            capacity: max_entries(ebpf, name)? * ways as u64,
            entries,
        });
    }
    Ok(tables)
}

fn max_entries(ebpf: &mut Ebpf, name: &str) -> Result<u64> {
    let map = ebpf
        .map(name)
        .with_context(|| format!("the object has no map {name}"))?;
    let (Map::Array(data) | Map::LpmTrie(data)) = map else {
        bail!("map {name} is not what it should be")
    };
    let info = data
        .info()
        .with_context(|| format!("asking the kernel about {name}"))?;
    Ok(info.max_entries().into())
}

/// Networks by family, each with what belongs to it.
type Split<T> = (Vec<(Ipv4Net, T)>, Vec<(Ipv6Net, T)>);

fn split<T>(nets: impl Iterator<Item = (IpNet, T)>) -> Split<T> {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (net, value) in nets {
        match net {
            IpNet::V4(net) => v4.push((net, value)),
            IpNet::V6(net) => v6.push((net, value)),
        }
    }
    (v4, v6)
}

/// A map cannot have room for nothing.
fn entries<T>(entries: &[T]) -> u32 {
    u32::try_from(entries.len().max(1)).unwrap_or(u32::MAX)
}

/// Lines without an address are zeros already.
fn fill_lines<L: Pod + Default + PartialEq>(
    ebpf: &mut Ebpf,
    name: &str,
    lines: &[L],
) -> Result<()> {
    let mut array: Array<&mut MapData, L> = map(ebpf, name)?;
    for (line, position) in lines.iter().zip(0..) {
        if *line != L::default() {
            array
                .set(position, line, 0)
                .with_context(|| format!("filling {name}"))?;
        }
    }
    Ok(())
}

fn fill_trie<K: Pod>(
    ebpf: &mut Ebpf,
    name: &str,
    entries: impl Iterator<Item = (Key<K>, u32)>,
) -> Result<()> {
    let mut trie: LpmTrie<&mut MapData, K, u32> = map(ebpf, name)?;
    for (key, value) in entries {
        trie.insert(&key, value, 0)
            .with_context(|| format!("filling {name}"))?;
    }
    Ok(())
}

fn fill_ports(ebpf: &mut Ebpf, plan: &Plan) -> Result<()> {
    let mut ports: Array<&mut MapData, ServicePort> = map(ebpf, "PORTS")?;
    for (range, entry) in &plan.ports {
        for port in range.clone() {
            ports
                .set(u32::from(port), entry, 0)
                .context("filling PORTS")?;
        }
    }
    Ok(())
}

fn rule_v4(net: Ipv4Net) -> Key<Ipv4Word> {
    Key::new(u32::from(net.prefix_len()), v4_word(net))
}

fn rule_v6(net: Ipv6Net) -> Key<Ipv6Words> {
    Key::new(u32::from(net.prefix_len()), v6_words(net))
}

fn acl_v4_key(net: Ipv4Net, service: u32) -> Key<ServiceIpv4> {
    let key = ServiceIpv4 {
        service,
        address: v4_word(net),
    };
    Key::new(SERVICE_BITS + u32::from(net.prefix_len()), key)
}

fn acl_v6_key(net: Ipv6Net, service: u32) -> Key<ServiceIpv6> {
    let key = ServiceIpv6 {
        service,
        address: v6_words(net),
    };
    Key::new(SERVICE_BITS + u32::from(net.prefix_len()), key)
}

fn v6_words(net: Ipv6Net) -> Ipv6Words {
    let octets = net.network().octets();
    std::array::from_fn(|word| {
        let at = word * 4;
        u32::from_ne_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]])
    })
}
