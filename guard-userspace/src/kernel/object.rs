//! Loads the kernel side and fills its maps.

use std::{io, ops::RangeInclusive};

use anyhow::{Context as _, Error, Result, bail};
use aya::{
    Ebpf, EbpfError, EbpfLoader, Pod,
    maps::{Array, LpmTrie, Map, MapData, MapError, lpm_trie::Key},
};
use guard_common::{
    connection::{opening::OPENING_WAYS, settled::SETTLED_WAYS},
    known::KNOWN_WAYS,
    limit::WAYS,
    offence::{CONNECTION_WAYS, OFFENDER_WAYS},
    wire::{Ipv6Words, SLOWEST_SERVICE, ServiceIpv4, ServiceIpv6, ServiceLimits, ServicePort},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{estate, place::Generation, plan::Plan};
use crate::status::MapStatus;

/// The compiled kernel side, embedded by the build script.
pub(super) static OBJECT: &[u8] =
    aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/guard-ebpf"));

/// Bits of the service's position, which precede those of the address in an ACL's key.
const SERVICE_BITS: u32 = 32;

/// The kernel side as `plan` wants it: maps made and filled, no program verified yet.
///
/// Maps that are pinned in `generation` are taken from there.
pub(super) fn load(plan: &Plan, generation: Option<&Generation>) -> Result<Ebpf> {
    let (acl_v4, acl_v6) = split(plan.acl.iter().map(|(service, net)| (*net, *service)));

    let mut loader = EbpfLoader::new();
    loader
        .override_global("AYA_LOG_LEVEL", &u8::MAX, true)
        .override_global("SETTINGS", &plan.settings, true)
        .map_max_entries("COUNTERS", plan.entries("COUNTERS").unwrap_or(1))
        .map_max_entries("RULE_HITS", plan.rule_numbers())
        .map_max_entries("ACL_V4", entries(&acl_v4))
        .map_max_entries("ACL_V6", entries(&acl_v6));
    for (name, entries) in plan.table_sizes() {
        loader.map_max_entries(name, entries);
    }
    plan.sizes().set(&mut loader);
    if let Some(generation) = generation {
        generation.lend(&mut loader, estate::names());
    }
    let mut ebpf = loader.load(OBJECT).map_err(|error| {
        let why = if is_out_of_memory(&error) {
            "the kernel has no memory for the tables of the kernel side: shorten the lists, or \
                 give the host more memory"
        } else {
            "the kernel does not take the maps of the kernel side"
        };
        Error::new(error).context(why)
    })?;

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
    fill_ports(&mut ebpf, "PORTS", &plan.ports)?;
    if plan.settings.checks_calls != 0 {
        fill_ports(&mut ebpf, "CALLED_PORTS", &plan.called_ports)?;
    }
    let mut limits: Array<&mut MapData, ServiceLimits> = map(&mut ebpf, "SERVICE_LIMITS")?;
    let slowest = (SLOWEST_SERVICE, plan.slowest_service());
    let each = (SLOWEST_SERVICE + 1..).zip(plan.service_limits.iter().copied());
    for (position, limit) in each.chain([slowest]) {
        limits
            .set(position, limit, 0)
            .context("filling SERVICE_LIMITS")?;
    }
    Ok(ebpf)
}

fn is_out_of_memory(error: &EbpfError) -> bool {
    let EbpfError::MapError(MapError::CreateError { io_error, .. }) = error else {
        return false;
    };
    io_error.kind() == io::ErrorKind::OutOfMemory
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

/// What fits in the tables that traffic fills.
pub(super) fn tables(ebpf: &Ebpf) -> Result<Vec<MapStatus>> {
    let mut tables = Vec::new();
    for (name, ways) in [
        ("SOURCES", WAYS),
        ("SOURCE_BYTES", WAYS),
        ("SERVICE_SOURCES", WAYS),
        ("SERVICE_BYTES", WAYS),
        ("NETWORKS", WAYS),
        ("KNOWN", KNOWN_WAYS),
        ("CONNECTIONS", CONNECTION_WAYS),
        ("CONDUCT", WAYS),
        ("OFFENDERS", OFFENDER_WAYS),
        ("OPENINGS", OPENING_WAYS),
        ("TALKS", 1),
        ("SETTLED", SETTLED_WAYS),
    ] {
        tables.push(MapStatus {
            map: name.to_lowercase(),
            capacity: max_entries(ebpf, name)? * ways as u64,
            entries: None,
        });
    }
    Ok(tables)
}

fn max_entries(ebpf: &Ebpf, name: &str) -> Result<u64> {
    let map = ebpf
        .map(name)
        .with_context(|| format!("the object has no map {name}"))?;
    let Map::Array(data) = map else {
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

fn fill_ports(
    ebpf: &mut Ebpf,
    name: &str,
    wanted: &[(RangeInclusive<u16>, ServicePort)],
) -> Result<()> {
    let mut ports: Array<&mut MapData, ServicePort> = map(ebpf, name)?;
    for (range, entry) in wanted {
        for port in range.clone() {
            ports
                .set(u32::from(port), entry, 0)
                .with_context(|| format!("filling {name}"))?;
        }
    }
    Ok(())
}

fn acl_v4_key(net: Ipv4Net, service: u32) -> Key<ServiceIpv4> {
    let key = ServiceIpv4 {
        service,
        address: u32::from_ne_bytes(net.network().octets()),
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
