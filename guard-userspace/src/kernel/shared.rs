//! What one program leaves to the next: maps that hold what was learned from traffic, and links.
//!
//! They change hands as pins, on a BPF file system that is mounted nowhere: only this process can
//! reach it, and it ends with the process.

use std::{
    fs,
    os::fd::{AsRawFd as _, OwnedFd},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use aya::EbpfLoader;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

/// The maps that a new program takes over.
const MAPS: [&str; 25] = [
    "INTERFACES",
    "CLOCK",
    "COUNTERS",
    "OUTCOMES",
    "EVICTED",
    "SOURCES",
    "SOURCE_BYTES",
    "SERVICE_SOURCES",
    "SERVICE_BYTES",
    "NETWORKS",
    "KNOWN",
    "CONNECTIONS",
    "CONDUCT",
    "OFFENDERS",
    "LIFELINES",
    "ADMINISTRATORS",
    "QUESTIONS",
    "BUDGETS",
    "OPENINGS",
    "TALKS",
    "SETTLED",
    "SWEEP",
    "EVENT_BUDGET",
    "HEADERS",
    "EVENTS",
];

/// A BPF file system of our own.
#[derive(Debug)]
pub(super) struct Shared {
    root: OwnedFd,
}

impl Shared {
    /// Makes one.
    ///
    /// # Errors
    /// The process may not mount file systems, which takes `CAP_SYS_ADMIN`.
    pub(super) fn new() -> Result<Self> {
        let context = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC).context("opening a bpffs")?;
        fsconfig_create(&context).context("making a bpffs")?;
        let flags = FsMountFlags::FSMOUNT_CLOEXEC;
        let root = fsmount(&context, flags, MountAttrFlags::empty()).context("mounting a bpffs")?;
        Ok(Self { root })
    }

    /// Where `name` is or will be pinned.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.root.as_raw_fd()))
    }

    /// Has the maps taken from here, as far as they are here, and left here.
    pub(super) fn lend(&self, loader: &mut EbpfLoader<'_>) {
        for name in MAPS {
            loader.map_pin_path(name, self.path(name));
        }
    }

    /// Keeps a map from the next program, which makes one of its own.
    pub(super) fn forget(&self, name: &str) -> Result<()> {
        fs::remove_file(self.path(name)).with_context(|| format!("unpinning {name}"))
    }
}
