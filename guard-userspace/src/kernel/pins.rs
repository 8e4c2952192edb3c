//! The pins of the maps that the next kernel side goes on with, and whether they are there still.
//!
//! Without its pin a map ends with the agent, and with it what was learned.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use aya::maps::MapData;

use super::place::{own_folder, remove};

/// Those of one kernel side.
#[derive(Debug)]
pub(super) struct Pins {
    folder: PathBuf,
    all: Vec<Pin>,
}

#[derive(Debug)]
struct Pin {
    path: PathBuf,
    map: MapData,
    /// The file's number: another file of the same name has another.
    inode: u64,
}

impl Pins {
    /// Those of these maps, all of which are pinned in `folder`.
    pub(super) fn of(folder: &Path, names: impl Iterator<Item = &'static str>) -> Result<Self> {
        let pin = |name| {
            let path = folder.join(name);
            let inode = inode(&path).with_context(|| path.display().to_string())?;
            let map =
                MapData::from_pin(&path).with_context(|| format!("opening {}", path.display()))?;
            Ok(Pin { path, map, inode })
        };
        Ok(Self {
            folder: folder.to_owned(),
            all: names.map(pin).collect::<Result<_>>()?,
        })
    }

    /// Makes those again that somebody has removed, or put something else in the place of. How many
    /// these were; and what hinders others.
    pub(super) fn mend(&mut self) -> (u64, Result<()>) {
        let (mut lost, mut outcome) = (0, Ok(()));
        let is_there = |pin: &&mut Pin| inode(&pin.path).ok() == Some(pin.inode);
        for pin in self.all.iter_mut().filter(|pin| !is_there(pin)) {
            match pin.make_again(&self.folder) {
                Ok(()) => lost += 1,
                Err(error) => outcome = Err(error),
            }
        }
        (lost, outcome)
    }
}

impl Pin {
    fn make_again(&mut self, folder: &Path) -> Result<()> {
        // The folders may have gone with it.
        for folder in folder.parent().into_iter().chain([folder]) {
            own_folder(folder)?;
        }
        let Self {
            path,
            map,
            inode: own,
        } = self;
        remove(path).with_context(|| format!("what is in the place of {}", path.display()))?;
        map.pin(&*path)
            .with_context(|| format!("cannot pin {}", path.display()))?;
        *own = inode(path).with_context(|| path.display().to_string())?;
        Ok(())
    }
}

fn inode(path: &Path) -> io::Result<u64> {
    Ok(fs::symlink_metadata(path)?.ino())
}
