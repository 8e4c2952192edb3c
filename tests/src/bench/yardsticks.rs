//! Whom guard is held against: filters that know sources and nothing else.

use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, Pod, TestRun as _, TestRunOptions,
    maps::{HashMap, MapData},
    programs::{Xdp, XdpMode},
};

use super::xdp_filter::{Features, XdpFilter};
use crate::{
    Namespace, counters,
    link::{Cable, Interface},
    object,
};

/// `XDP_DROP` and `XDP_PASS`.
const DROP: u32 = 1;
const PASS: u32 = 2;

/// What they are called.
const FILTERS: [(&str, Features); 2] = [
    ("xdp-filter (ip)", Features::Addresses),
    ("xdp-filter (all)", Features::All),
];
const HASH: &str = "hash drop";
/// Its name in the lab's object.
const HASH_PROGRAM: &str = "hash_drop";

/// Loaded, to deny the same sources.
pub struct Yardsticks {
    programs: Vec<(&'static str, Xdp)>,
    /// What holds them.
    _hash: Ebpf,
    _filters: Vec<XdpFilter>,
}

impl Yardsticks {
    /// Loads them. Without xdp-filter on this machine it is left out.
    ///
    /// # Errors
    /// The kernel refuses one.
    pub fn new(denied: &[IpAddr]) -> Result<Self> {
        let (mut programs, mut filters) = (Vec::new(), Vec::new());
        if XdpFilter::is_installed() {
            let namespace = Namespace::new("yardsticks")?;
            for ((name, features), ends) in FILTERS
                .into_iter()
                .zip([["eth0", "eth1"], ["eth2", "eth3"]])
            {
                let [end, other] = ends.map(|end| (&namespace, end));
                let (interface, _) = Cable::new(end, other).lay()?;
                let filter = XdpFilter::load(&interface, features, denied)?;
                programs.push((name, filter.program()?));
                filters.push(filter);
            }
        }
        let mut hash = denying(denied)?;
        let info = object::xdp(&mut hash, HASH_PROGRAM)?.info()?;
        programs.push((HASH, super::xdp_filter::from_info(info)?));
        Ok(Self {
            programs,
            _hash: hash,
            _filters: filters,
        })
    }

    /// Their programs, by name.
    pub fn programs(&self) -> &[(&'static str, Xdp)] {
        &self.programs
    }

    /// Sees to it that all of them drop this frame, or that all pass it.
    ///
    /// # Errors
    /// One does not.
    pub fn ensure_drop(&self, frame: &[u8], drop: bool) -> Result<()> {
        for (name, program) in &self.programs {
            let options = TestRunOptions {
                data_in: Some(frame),
                ..TestRunOptions::default()
            };
            let said = program.test_run(options)?.return_value;
            let wanted = if drop { DROP } else { PASS };
            ensure!(said == wanted, "{name} says {said} and not {wanted}");
        }
        Ok(())
    }
}

/// The look-up alone on an interface; off it again when dropped.
#[derive(Debug)]
pub struct HashDrop {
    _object: Ebpf,
}

impl HashDrop {
    /// Attaches it natively, to drop what comes from these sources and pass everything else.
    ///
    /// # Errors
    /// The interface has no native mode or another program already.
    pub fn attach(interface: &Interface, denied: &[IpAddr]) -> Result<Self> {
        let object = denying(denied)?;
        let object = counters::attach_of(object, interface, HASH_PROGRAM, XdpMode::Driver)?;
        Ok(Self { _object: object })
    }
}

/// The lab's object, whose look-up denies these sources.
fn denying(denied: &[IpAddr]) -> Result<Ebpf> {
    let mut object = object::load(&mut EbpfLoader::new())?;
    for address in denied {
        match address {
            IpAddr::V4(address) => deny(&mut object, "DENIED_V4", address.octets())?,
            IpAddr::V6(address) => deny(&mut object, "DENIED_V6", address.octets())?,
        }
    }
    Ok(object)
}

fn deny<K: Pod>(object: &mut Ebpf, map: &str, source: K) -> Result<()> {
    let map = object.map_mut(map).with_context(|| format!("no {map}"))?;
    let mut denied: HashMap<&mut MapData, K, u8> = map.try_into()?;
    Ok(denied.insert(source, 1, 0)?)
}
