//! Pins the maps in a folder of our own, where `bpftool map` finds them while the agent runs.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::Ebpf;
use guard_common::wire::ABI_VERSION;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

/// The pinned maps. Dropping it removes the pins, and nothing else.
#[derive(Debug)]
pub struct Pins {
    folder: PathBuf,
    pinned: Vec<PathBuf>,
    /// Keeps other agents out as long as it is open.
    _lock: File,
}

impl Pins {
    /// Whether pins can be made at `folder` or where it will be.
    pub fn possible(folder: &Path) -> bool {
        folder
            .ancestors()
            .find(|place| place.exists())
            .and_then(|place| statfs(place).ok())
            .is_some_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
    }

    /// Pins every map below `folder`, under the ABI version. Pins of these names that a killed
    /// agent left there are removed first; a running agent's folder is refused.
    pub(super) fn make(ebpf: &Ebpf, folder: &Path) -> Result<Self> {
        own_folder(folder)?;
        let lock = lock(folder)?;
        let folder = folder.join(format!("v{ABI_VERSION}"));
        own_folder(&folder)?;
        let mut pins = Self {
            folder,
            pinned: Vec::new(),
            _lock: lock,
        };
        pins.renew(ebpf)?;
        Ok(pins)
    }

    /// Pins the maps of `ebpf` in the place of those that are there.
    pub(super) fn renew(&mut self, ebpf: &Ebpf) -> Result<()> {
        for (name, map) in ebpf.maps() {
            // The section of constants is no map of ours.
            if !name.starts_with('.') {
                let path = self.folder.join(name);
                remove(&path)
                    .and_then(|()| map.pin(&path).map_err(io::Error::other))
                    .with_context(|| format!("cannot pin {}", path.display()))?;
                if !self.pinned.contains(&path) {
                    self.pinned.push(path);
                }
            }
        }
        Ok(())
    }
}

fn remove(pin: &Path) -> io::Result<()> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        for pin in &self.pinned {
            if let Err(error) = remove(pin) {
                tracing::error!(pin = %pin.display(), %error, "the pin stays behind");
            }
        }
        // Folders go only when they are empty: other things in them are not ours.
        for folder in self.folder.ancestors().take(2) {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Locks the folder itself: a BPF file system holds no files.
fn lock(folder: &Path) -> Result<File> {
    let file = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another guard agent pins its maps in {}: give this one a folder of its own with \
             --bpffs",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", folder.display()))
        }
    }
}

/// Makes a folder that only we can look into. A pin is the key to what it pins.
fn own_folder(folder: &Path) -> Result<()> {
    let made = fs::DirBuilder::new()
        .mode(0o700)
        .recursive(true)
        .create(folder);
    made.with_context(|| {
        format!(
            "cannot make the folder {}: make it for this user, or choose another with --bpffs",
            folder.display()
        )
    })?;
    let found = fs::symlink_metadata(folder)
        .with_context(|| format!("cannot look at {}", folder.display()))?;
    ensure!(
        found.is_dir()
            && found.uid() == nix::unistd::geteuid().as_raw()
            && found.mode() & 0o077 == 0,
        "{} is not a folder of ours alone: remove it, or choose another with --bpffs",
        folder.display()
    );
    Ok(())
}
