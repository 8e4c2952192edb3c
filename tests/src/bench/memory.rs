//! Memory of maps, as the kernel counts it.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;

/// What one map takes.
#[derive(Clone, Debug)]
pub struct MapMemory {
    /// Its name, as the kernel keeps it: at most 15 bytes.
    pub name: String,
    /// Its memory, `memlock` of its file's `fdinfo`.
    pub bytes: u64,
}

/// Bytes by map, of the maps that this process has open.
pub(super) fn open_maps() -> Result<BTreeMap<u32, u64>> {
    let mut maps = BTreeMap::new();
    for file in fs::read_dir("/proc/self/fdinfo").context("cannot see the open files")? {
        // The file that lists them is gone by now.
        let Ok(text) = fs::read_to_string(file?.path()) else {
            continue;
        };
        if let (Some(id), Some(bytes)) = (field(&text, "map_id"), field(&text, "memlock")) {
            maps.insert(u32::try_from(id)?, bytes);
        }
    }
    Ok(maps)
}

/// The maps that were opened since there were only those of `before`, the largest first.
pub(super) fn opened_since(before: &BTreeMap<u32, u64>) -> Result<Vec<MapMemory>> {
    let mut maps = Vec::new();
    for (id, bytes) in open_maps()? {
        if !before.contains_key(&id) {
            let info = MapInfo::from_id(id).context("asking the kernel about a map")?;
            let name = info.name_as_str().unwrap_or_default().to_owned();
            maps.push(MapMemory { name, bytes });
        }
    }
    maps.sort_by(|one, other| (other.bytes, &one.name).cmp(&(one.bytes, &other.name)));
    Ok(maps)
}

fn field(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(found, _)| *found == name)?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let text = "pos:\t0\nmap_id_x:\t5\nmemlock:\t4096\nmap_id:\t12\n";
        assert_eq!(field(text, "map_id"), Some(12));
        assert_eq!(field(text, "memlock"), Some(4096));
        assert_eq!(field(text, "id"), None);
    }
}
