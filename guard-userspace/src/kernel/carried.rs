//! What kernel sides before this one counted, by words: their counts had other places.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result};
use aya::{
    Pod,
    maps::{Map, MapData, PerCpuArray},
};
use guard_common::wire::Counter;
use serde::{Deserialize, Serialize};

use super::{
    counts::Counts,
    estate::{Labels, is_called},
    place::Generation,
};

/// Counts by interface, verdict and reason, and by service, outcome and protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Carried {
    packets: BTreeMap<String, [u64; 2]>,
    connections: BTreeMap<String, u64>,
}

/// Counts that are read at once.
const AT_ONCE: u32 = 1 << 10;
/// What separates words in a key; none of them has one.
const SEPARATOR: char = ' ';

fn key(words: [&str; 3]) -> String {
    let [one, two, three] = words;
    format!("{one}{SEPARATOR}{two}{SEPARATOR}{three}")
}

impl Carried {
    /// Packets and bytes of an interface under a verdict and reason.
    pub(super) fn packets(&self, words: [&str; 3]) -> Counter {
        if self.packets.is_empty() {
            return Counter::default();
        }
        let counted = self.packets.get(&key(words)).copied();
        let [packets, bytes] = counted.unwrap_or_default();
        Counter { packets, bytes }
    }

    /// Connections of a service under an outcome and protocol.
    pub(super) fn connections(&self, words: [&str; 3]) -> u64 {
        if self.connections.is_empty() {
            return 0;
        }
        self.connections.get(&key(words)).copied().unwrap_or(0)
    }

    /// Adds what the maps pinned in `folder` counted, whose places are by `labels`, as far as `next`
    /// does not go on counting in them.
    pub(super) fn add_left(
        &mut self,
        folder: &Path,
        labels: &Labels,
        next: &Generation,
    ) -> Result<()> {
        let is_left = |path: &Path, name: &str| {
            let id = |path: &Path| Some(MapData::from_pin(path).ok()?.info().ok()?.id());
            id(path) != id(&next.path(name))
        };
        // What counted something else has nothing to say of this. That was told.
        let counts = |path: &Path, name| is_left(path, name) && is_called(path, name);
        let packets = folder.join("COUNTERS");
        if counts(&packets, "COUNTERS") {
            self.add_packets(&packets, labels)?;
        }
        let connections = folder.join("OUTCOMES");
        if counts(&connections, "OUTCOMES") {
            self.add_connections(&connections, labels)?;
        }
        Ok(())
    }

    /// Adds what the map pinned at `path` counted, whose places are by `labels`.
    fn add_packets(&mut self, path: &Path, labels: &Labels) -> Result<()> {
        let counts: PerCpuArray<MapData, Counter> = open(path)?;
        let words = each(&labels.interfaces, &labels.verdicts, &labels.reasons);
        for (position, words) in (0..).zip(words) {
            // An array that is shorter than its labels say ends here.
            let Ok(per_cpu) = counts.get(&position, 0) else {
                break;
            };
            let [packets, bytes] = self.packets.entry(words).or_default();
            for counter in per_cpu.iter() {
                *packets = packets.saturating_add(counter.packets);
                *bytes = bytes.saturating_add(counter.bytes);
            }
        }
        self.packets.retain(|_, counted| *counted != [0, 0]);
        Ok(())
    }

    /// The same of connections.
    fn add_connections(&mut self, path: &Path, labels: &Labels) -> Result<()> {
        let counts = Counts::new(Map::PerCpuArray(map(path)?))
            .with_context(|| path.display().to_string())?;
        let mut words = each(&labels.services, &labels.outcomes, &labels.protocols);
        for first in (0..counts.len()).step_by(AT_ONCE as usize) {
            let positions = first..counts.len().min(first + AT_ONCE);
            for (count, words) in counts.read(positions)?.into_iter().zip(&mut words) {
                if count != 0 {
                    let counted = self.connections.entry(words).or_default();
                    *counted = counted.saturating_add(count);
                }
            }
        }
        Ok(())
    }
}

/// Keys in the order of the places they stand for.
fn each(first: &[String], second: &[String], third: &[String]) -> impl Iterator<Item = String> {
    first.iter().flat_map(move |one| {
        second
            .iter()
            .flat_map(move |two| third.iter().map(move |three| key([one, two, three])))
    })
}

fn open<T: Pod>(path: &Path) -> Result<PerCpuArray<MapData, T>> {
    PerCpuArray::try_from(Map::PerCpuArray(map(path)?)).with_context(|| path.display().to_string())
}

fn map(path: &Path) -> Result<MapData> {
    MapData::from_pin(path).with_context(|| format!("opening {}", path.display()))
}
