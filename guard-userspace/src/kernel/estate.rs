//! What a kernel side leaves to the one after it, be that of this agent or of the next, and what of
//! it the next one can go on with.
//!
//! The maps are pinned ([`Place`]); the *deed*, a file in the state folder, says what lies in them: by
//! which seed sources are placed, and which word each count stands for. So counts survive also where
//! their place has changed: with other interfaces or services, or another version of guard.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use aya_obj::Object;
use guard_common::{
    connection::Outcome,
    protocol::Protocol,
    reason::{Reason, Verdict},
    wire::{ABI_VERSION, Clock},
};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::{
    Plan, Tick,
    carried::Carried,
    object::OBJECT,
    place::{Generation, Place},
};
use crate::state_file::{self, Lasting, Loaded};

/// The deed, in the state folder.
const FILE: &str = "estate.json";
/// What names this boot of the kernel: pins do not survive another.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// On what the meaning of a map depends beside its layout.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    /// On nothing.
    None,
    /// On the order of the interfaces, and of the words packets are counted under.
    Interfaces,
    /// On the order of the services, and of the words connections are counted under.
    Services,
    /// On both.
    Both,
}

/// A map that a new program takes over.
struct Inherited {
    name: &'static str,
    /// Version of what its values mean. Raise it with every change of them, and with it
    /// [`ABI_VERSION`].
    layout: u32,
    names: Names,
}

const fn map(name: &'static str, layout: u32, names: Names) -> Inherited {
    Inherited {
        name,
        layout,
        names,
    }
}

const MAPS: [Inherited; 26] = [
    map("INTERFACES", 1, Names::Interfaces),
    map("CLOCK", 1, Names::None),
    map("COUNTERS", 1, Names::Interfaces),
    map("OUTCOMES", 1, Names::Services),
    map("EVICTED", 1, Names::None),
    map("SOURCES", 1, Names::None),
    map("SOURCE_BYTES", 1, Names::None),
    map("SERVICE_SOURCES", 1, Names::Services),
    map("SERVICE_BYTES", 1, Names::Services),
    map("NETWORKS", 1, Names::None),
    map("KNOWN", 1, Names::None),
    map("CONNECTIONS", 1, Names::None),
    map("CONDUCT", 1, Names::None),
    map("OFFENDERS", 1, Names::None),
    map("BUDGETS", 1, Names::None),
    map("OPENINGS", 1, Names::None),
    map("TALKS", 2, Names::Both),
    map("SETTLED", 1, Names::None),
    map("SWEEP", 1, Names::None),
    map("EVENT_BUDGET", 1, Names::None),
    map("HEADERS", 1, Names::None),
    map("EVENTS", 1, Names::Both),
    map("BYPASS", 1, Names::None),
    map("LIFELINES", 1, Names::None),
    map("ADMINISTRATORS", 1, Names::None),
    map("QUESTIONS", 1, Names::None),
];

/// The words that positions of counts stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Labels {
    pub(super) interfaces: Vec<String>,
    pub(super) services: Vec<String>,
    pub(super) verdicts: Vec<String>,
    pub(super) reasons: Vec<String>,
    pub(super) outcomes: Vec<String>,
    pub(super) protocols: Vec<String>,
}

impl Labels {
    pub(super) fn new(interfaces: Vec<String>, services: Vec<String>) -> Self {
        let words = |words: &[&str]| words.iter().copied().map(str::to_owned).collect();
        Self {
            interfaces,
            services,
            verdicts: words(&Verdict::ALL.map(Verdict::name)),
            reasons: words(&Reason::ALL.map(Reason::name)),
            outcomes: words(&Outcome::ALL.map(Outcome::name)),
            protocols: words(&Protocol::ALL.map(Protocol::name)),
        }
    }

    /// Whether what depends on these names means the same under `other`.
    fn agree(&self, other: &Self, names: Names) -> bool {
        let packets = || {
            (&self.interfaces, &self.verdicts, &self.reasons)
                == (&other.interfaces, &other.verdicts, &other.reasons)
        };
        let connections = || {
            (&self.services, &self.outcomes, &self.protocols)
                == (&other.services, &other.outcomes, &other.protocols)
        };
        match names {
            Names::None => true,
            Names::Interfaces => packets(),
            Names::Services => connections(),
            Names::Both => packets() && connections(),
        }
    }
}

/// What is written down of a kernel side.
///
/// Another version of guard may read it, or have written it. What it knows of more is passed over;
/// of what it lacks nothing is presumed: the maps whose meaning depends on that start afresh.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Deed {
    boot_id: String,
    abi: u32,
    generation: u32,
    /// The kernel's number of the map that counts packets: pins that are not those meant have another.
    counters_id: u32,
    /// By which the places of sources are found; no map goes on without it.
    hash_seed: Option<[u64; 2]>,
    /// In which times are; none goes on without it either.
    clock: Option<String>,
    tick_ns: Option<u64>,
    layouts: BTreeMap<String, u32>,
    labels: Labels,
    carried: Carried,
}

/// What an earlier kernel side has left.
#[derive(Debug)]
pub struct Estate {
    folder: PathBuf,
    deed: Deed,
}

impl Estate {
    /// What an agent has left whose pins are in `place` and whose state is in `state_dir`, if the
    /// two belong together and are of this boot.
    pub(crate) fn find(place: &Place, state_dir: &Path) -> Loaded<Option<Self>> {
        let otherwise = "what an earlier agent learned and counted is lost";
        let deed = state_file::load_if_there(state_dir, FILE, otherwise);
        deed.map(|deed| Self::of(deed?, place))
    }

    fn of(deed: Deed, place: &Place) -> Option<Self> {
        if !place.is_lasting() || deed.boot_id != boot_id() {
            return None;
        }
        let folder = place.generation(deed.abi, deed.generation);
        let counters = MapData::from_pin(folder.join("COUNTERS")).ok()?;
        if counters.info().ok()?.id() != deed.counters_id {
            warn!("the pinned maps are not those of an agent with this state: starting afresh");
            return None;
        }
        Some(Self { folder, deed })
    }

    /// Its clock, and what makes the places of sources unpredictable.
    pub fn clock(&self) -> Option<(Tick, [u64; 2])> {
        self.deed.clock()
    }

    /// The number for the kernel side after it.
    pub(super) fn next_generation(&self) -> u32 {
        self.deed.generation.wrapping_add(1)
    }

    /// Pins in `generation` what a kernel side as `plan` wants it can go on with.
    pub(super) fn hand_to(&self, generation: &Generation, plan: &Plan) -> Result<()> {
        let object = Object::parse(OBJECT).context("the kernel side")?;
        let (mut left, mut false_pins) = (Vec::new(), Vec::new());
        for map in &MAPS {
            let name = map.name;
            let path = self.folder.join(name);
            if self.deed.layouts.contains_key(name) && !is_called(&path, name) {
                false_pins.push(name);
            } else if self.deed.means_the_same(map, plan) && fits(&path, &object, name, plan) {
                generation.take(name, &path)?;
            } else {
                left.push(name);
            }
        }
        if !false_pins.is_empty() {
            warn!(
                pins = false_pins.join(" "),
                "pins of an earlier agent's maps are gone, or not what they are called: these maps \
                 start afresh"
            );
        }
        info!(
            afresh = left.join(" "),
            "going on with what an earlier agent left"
        );
        Ok(())
    }

    /// What it counted, as far as `generation` does not go on counting it. To be asked when nothing
    /// counts there any more.
    pub(super) fn carried(&self, generation: &Generation) -> Result<Carried> {
        let mut carried = self.deed.carried.clone();
        carried.add_left(&self.folder, &self.deed.labels, generation)?;
        Ok(carried)
    }
}

impl Deed {
    fn clock(&self) -> Option<(Tick, [u64; 2])> {
        let named = self.clock.as_deref()?;
        let clock = Clock::ALL.into_iter().find(|clock| clock.name() == named)?;
        let ns = self.tick_ns.filter(|ns| *ns > 0)?;
        Some((Tick { clock, ns }, self.hash_seed?))
    }

    /// Whether what is in a map means to a kernel side as `plan` wants it what it meant to this one.
    fn means_the_same(&self, map: &Inherited, plan: &Plan) -> bool {
        self.clock().map(|(_, seed)| seed) == Some(plan.settings.hash_seed)
            && self.layouts.get(map.name) == Some(&map.layout)
            && self.labels.agree(&plan.labels, map.names)
    }
}

/// Whether the map pinned at `path` is called `name`, as far as the kernel keeps names. Two maps may have
/// one shape, and pins have whatever name somebody gives them.
pub(super) fn is_called(path: &Path, name: &str) -> bool {
    let info = MapData::from_pin(path).and_then(|map| map.info());
    info.is_ok_and(|info| info.name() == kernel_name(name))
}

/// What the kernel keeps of a name.
fn kernel_name(name: &str) -> &[u8] {
    /// Without the zero at the end.
    const LEN: usize = 15;
    &name.as_bytes()[..name.len().min(LEN)]
}

/// Whether a pinned map has the shape that `plan` gives it. The kernel does not ask.
fn fits(path: &Path, object: &Object, name: &str, plan: &Plan) -> bool {
    let Some(wanted) = object.maps.get(name) else {
        return false;
    };
    let Ok(map) = MapData::from_pin(path) else {
        return false;
    };
    let Ok(info) = map.info() else { return false };
    let entries = plan.entries(name).unwrap_or(wanted.max_entries());
    info.map_type()
        .is_ok_and(|kind| kind as u32 == wanted.map_type())
        && info.key_size() == wanted.key_size()
        && info.value_size() == wanted.value_size()
        && info.max_entries() == entries
}

/// The maps that a kernel side of this agent takes over from the one before: those whose size is
/// the same under both plans.
pub(super) fn same_maps(old: &Plan, new: &Plan) -> impl Iterator<Item = &'static str> {
    let same = |map: &&Inherited| {
        old.entries(map.name) == new.entries(map.name) && old.labels.agree(&new.labels, map.names)
    };
    MAPS.iter().filter(same).map(|map| map.name)
}

/// Every map that is taken over, as far as it fits.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    MAPS.iter().map(|map| map.name)
}

/// Writes down what the maps of `generation` hold, for the next agent.
pub(super) fn write(
    state_dir: &Path,
    generation: &Generation,
    plan: &Plan,
    carried: &Carried,
) -> Result<()> {
    let counters = generation.path("COUNTERS");
    let counters = MapData::from_pin(&counters)
        .and_then(|map| map.info())
        .with_context(|| format!("asking the kernel about {}", counters.display()))?;
    let deed = Deed {
        boot_id: boot_id(),
        abi: ABI_VERSION,
        generation: generation.number,
        counters_id: counters.id(),
        hash_seed: Some(plan.settings.hash_seed),
        clock: Some(plan.tick.clock.name().to_owned()),
        tick_ns: Some(plan.tick.ns),
        layouts: MAPS
            .iter()
            .map(|map| (map.name.to_owned(), map.layout))
            .collect(),
        labels: plan.labels.clone(),
        carried: carried.clone(),
    };
    state_file::save(state_dir, FILE, &deed, Lasting::Agent)
}

/// Takes the deed away: there is nothing left that it speaks of.
pub fn forget(state_dir: &Path) -> io::Result<()> {
    match fs::remove_file(state_dir.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn boot_id() -> String {
    let id = fs::read_to_string(BOOT_ID).unwrap_or_default();
    id.trim().to_owned()
}

#[cfg(test)]
mod tests;
