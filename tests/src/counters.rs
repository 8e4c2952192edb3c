//! Independent counters at the receiving end of a cable, to hold guard's own against.

use std::{collections::BTreeMap, net::Ipv4Addr};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader,
    maps::{MapData, PerCpuArray, PerCpuHashMap},
    programs::{SchedClassifier, TcAttachType, XdpMode, tc::qdisc_add_clsact},
};

use crate::{link::Interface, object};

/// An XDP program that counts every frame and drops it; detached when dropped.
pub struct DropCounter {
    received: PerCpuArray<MapData, u64>,
    _object: Ebpf,
}

impl DropCounter {
    /// Attaches to the interface, natively.
    pub fn attach(interface: &Interface) -> Result<Self> {
        Self::attach_as(interface, XdpMode::Driver)
    }

    /// Attaches to the interface in the kernel's generic path.
    pub fn attach_generic(interface: &Interface) -> Result<Self> {
        Self::attach_as(interface, XdpMode::Skb)
    }

    fn attach_as(interface: &Interface, mode: XdpMode) -> Result<Self> {
        let mut object = attach(interface, "count_drop", mode)?;
        let map = object.take_map("RECEIVED").context("no map RECEIVED")?;
        Ok(Self {
            received: map.try_into()?,
            _object: object,
        })
    }

    /// Frames received so far.
    pub fn received(&self) -> Result<u64> {
        Ok(self.received.get(&0, 0)?.iter().sum())
    }
}

/// An XDP program that drops every frame and does nothing else; detached when dropped.
#[derive(Debug)]
pub struct EmptyDrop {
    _object: Ebpf,
}

impl EmptyDrop {
    /// Attaches to the interface, natively.
    pub fn attach(interface: &Interface) -> Result<Self> {
        let object = attach(interface, "drop_all", XdpMode::Driver)?;
        Ok(Self { _object: object })
    }
}

/// An XDP program that drops every IPv4 packet after it has read the source; detached when dropped.
#[derive(Debug)]
pub struct ReadDrop {
    _object: Ebpf,
}

impl ReadDrop {
    /// Attaches to the interface, natively.
    pub fn attach(interface: &Interface) -> Result<Self> {
        let object = attach(interface, "read_drop", XdpMode::Driver)?;
        Ok(Self { _object: object })
    }
}

/// Attaches a program of the lab's.
fn attach(interface: &Interface, name: &str, mode: XdpMode) -> Result<Ebpf> {
    let object = object::load(&mut EbpfLoader::new())?;
    attach_of(object, interface, name, mode)
}

/// Attaches a program of this object, which may have been told something before.
pub(crate) fn attach_of(
    mut object: Ebpf,
    interface: &Interface,
    name: &str,
    mode: XdpMode,
) -> Result<Ebpf> {
    let program = object::xdp(&mut object, name)?;
    interface.namespace().run(|| {
        program
            .attach(interface.name(), mode)
            .with_context(|| format!("cannot attach {name}"))?;
        Ok(())
    })?;
    Ok(object)
}

/// A classifier that counts the IPv4 packets that reach the host's stack, by source; detached when
/// dropped.
///
/// It runs after XDP, so it sees exactly what guard let through.
pub struct SourceCounter {
    received_from: PerCpuHashMap<MapData, [u8; 4], u64>,
    _object: Ebpf,
}

impl SourceCounter {
    /// Attaches to the ingress of the interface.
    pub fn attach(interface: &Interface) -> Result<Self> {
        let mut object = object::load(&mut EbpfLoader::new())?;
        let program: &mut SchedClassifier =
            object::program(&mut object, "count_source")?.try_into()?;
        program.load().context("the kernel refused count_source")?;
        interface.namespace().run(|| {
            // Kernels before 6.6 attach no classifier without it; the others do not mind it.
            let _ = qdisc_add_clsact(interface.name());
            program
                .attach(interface.name(), TcAttachType::Ingress)
                .context("cannot attach count_source")?;
            Ok(())
        })?;
        let map = object
            .take_map("RECEIVED_FROM")
            .context("no map RECEIVED_FROM")?;
        Ok(Self {
            received_from: map.try_into()?,
            _object: object,
        })
    }

    /// Packets received so far, by source.
    pub fn received(&self) -> Result<BTreeMap<Ipv4Addr, u64>> {
        let entries = self.received_from.iter().map(|entry| {
            let (source, counts) = entry?;
            Ok((Ipv4Addr::from(source), counts.iter().sum()))
        });
        entries.collect()
    }
}
