//! A temporary folder that goes away with its value, and with it whatever was mounted inside.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::stale;

/// A private temporary folder.
#[derive(Debug)]
pub struct Scratch {
    folder: TempDir,
    mounts: Vec<PathBuf>,
}

impl Scratch {
    /// Creates an empty folder only root can enter.
    pub fn new() -> Result<Self> {
        stale::remove_once();
        let folder = tempfile::Builder::new()
            .prefix(&format!("{}{}-", stale::PREFIX, std::process::id()))
            .tempdir()
            .context("cannot create a temporary folder")?;
        Ok(Self {
            folder,
            mounts: Vec::new(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of an entry of the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Mounts a bpffs of its own on the entry `name` and returns its path.
    pub fn mount_bpffs(&mut self, name: &str) -> Result<PathBuf> {
        self.mount(name, "bpf", "mode=0700")
    }

    /// Mounts a file system of so many KiB on the entry `name` and returns its path.
    pub fn mount_small(&mut self, name: &str, kib: u32) -> Result<PathBuf> {
        self.mount(name, "tmpfs", &format!("mode=0700,size={kib}k"))
    }

    fn mount(&mut self, name: &str, kind: &str, options: &str) -> Result<PathBuf> {
        let path = self.join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        mount(
            Some(kind),
            &path,
            Some(kind),
            MsFlags::empty(),
            Some(options),
        )
        .with_context(|| format!("cannot mount a {kind} on {} (root?)", path.display()))?;
        self.mounts.push(path.clone());
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for path in self.mounts.drain(..) {
            // A folder that stays mounted is reported by whoever asserts that nothing is left.
            let _ = umount2(&path, MntFlags::MNT_DETACH);
        }
    }
}
