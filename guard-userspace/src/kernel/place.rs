//! Where one kernel side leaves to the next what it has learned: pins on a BPF file system.
//!
//! ```text
//! PLACE/                 0700, locked by the agent that uses it
//!   links/xdp_3          the link that keeps the program on interface 3, where it shall outlive us
//!   v6/1/COUNTERS        the maps of a kernel side: under the ABI version, a folder for each
//! ```
//!
//! A pin is the key to what it pins, so only we may look into these folders.

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{Ebpf, EbpfLoader, maps::MapData};
use guard_common::wire::ABI_VERSION;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use tracing::{error, warn};

use super::{ARRIVALS, DEPARTURES, PROGRAM, linked::Linked};

/// Below the place, where the links are pinned.
const LINKS: &str = "links";

/// A folder on a BPF file system that nobody else uses.
#[derive(Debug)]
pub struct Place {
    root: Root,
}

#[derive(Debug)]
enum Root {
    /// One that others can mount or name: what is pinned in it outlives us.
    Folder { path: PathBuf, _lock: File },
    /// A BPF file system that is mounted nowhere: only this process can reach it, and it ends with
    /// the process.
    Private(OwnedFd),
}

/// Which program a link keeps on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// The one that judges what arrives.
    Xdp,
    /// The one that sees what leaves.
    Egress,
    /// The one that sees what passes to the stack.
    Ingress,
}

impl Hook {
    const ALL: [Self; 3] = [Self::Xdp, Self::Egress, Self::Ingress];

    /// The program that belongs there.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Xdp => PROGRAM,
            Self::Egress => DEPARTURES,
            Self::Ingress => ARRIVALS,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Xdp => "xdp",
            Self::Egress => "egress",
            Self::Ingress => "ingress",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A link that an earlier agent left.
#[derive(Debug)]
pub struct Left {
    /// Which program it keeps.
    pub hook: Hook,
    /// On which interface, by the kernel's number.
    pub interface: u32,
    path: PathBuf,
}

impl Place {
    /// Takes `folder`, which it makes where it is not there. Where that is on no BPF file system, a
    /// private one does, and nothing can outlive the agent; nothing where that is not to be had
    /// either, which takes `CAP_SYS_ADMIN`: then no program can take over from another.
    ///
    /// # Errors
    /// The folder is another's, or another agent uses it.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        if Self::possible(folder) {
            own_folder(folder)?;
            let lock = lock(folder)?;
            own_folder(&folder.join(LINKS))?;
            let root = Root::Folder {
                path: folder.to_owned(),
                _lock: lock,
            };
            return Ok(Some(Self { root }));
        }
        warn!(
            folder = %folder.display(),
            "no BPF file system there, so nothing is pinned, and protection ends with the agent: \
             `mount -t bpf bpf /sys/fs/bpf`"
        );
        Ok(Self::private()
            .inspect_err(|error| warn!(error = format!("{error:#}"), "no reload is possible"))
            .ok())
    }

    /// One that only this process can reach, and that ends with it.
    ///
    /// # Errors
    /// The process may not mount file systems, which takes `CAP_SYS_ADMIN`.
    pub fn private() -> Result<Self> {
        private_root().map(|root| Self { root })
    }

    /// Takes `folder`, whosever it is, to look what an earlier agent left in it; nothing where there
    /// is no such folder.
    ///
    /// # Errors
    /// An agent uses it.
    pub fn find(folder: &Path) -> Result<Option<Self>> {
        if !folder.is_dir() || !Self::possible(folder) {
            return Ok(None);
        }
        let root = Root::Folder {
            path: folder.to_owned(),
            _lock: lock(folder)?,
        };
        Ok(Some(Self { root }))
    }

    /// Whether pins can be made at `folder` or where it will be.
    pub fn possible(folder: &Path) -> bool {
        folder
            .ancestors()
            .find(|place| place.exists())
            .and_then(|place| statfs(place).ok())
            .is_some_and(|found| found.filesystem_type() == BPF_FS_MAGIC)
    }

    /// Whether what is pinned here outlives us.
    pub fn is_lasting(&self) -> bool {
        matches!(self.root, Root::Folder { .. })
    }

    pub(super) fn path(&self) -> PathBuf {
        match &self.root {
            Root::Folder { path, .. } => path.clone(),
            Root::Private(fd) => PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())),
        }
    }

    /// Where the link is or will be pinned that keeps a program on an interface.
    pub(super) fn link(&self, hook: Hook, interface: u32) -> PathBuf {
        self.path().join(LINKS).join(format!("{hook}_{interface}"))
    }

    /// The program that such a link keeps, by the kernel's number, where there is one. A pin of
    /// something else in its place is none.
    pub fn linked(&self, hook: Hook, interface: u32) -> Option<u32> {
        let linked = Linked::at(&self.link(hook, interface))?;
        linked.is_ours(hook, interface).then_some(linked.program_id)
    }

    /// Every link that is pinned here. What has a name of another form is not ours.
    pub fn links(&self) -> Vec<Left> {
        let entries = fs::read_dir(self.path().join(LINKS));
        let entries = entries.into_iter().flatten().flatten();
        let mut links: Vec<Left> = entries.filter_map(|entry| left(&entry.path())).collect();
        links.sort_by_key(|left| (left.interface, left.hook as u32));
        links
    }

    /// The folder of the maps of the kernel side of this number.
    pub(super) fn generation(&self, abi: u32, number: u32) -> PathBuf {
        let (version, number) = (format!("v{abi}"), number.to_string());
        self.path().join(version).join(number)
    }

    /// Removes the maps' pins of every kernel side but one, also of other versions.
    pub(super) fn sweep(&self, current: Option<&Path>) {
        for version in folders(&self.path()).filter(|path| is_version(path)) {
            let generations = folders(&version).filter(|path| is_generation(path));
            for generation in generations.filter(|path| Some(path.as_path()) != current) {
                clear(&generation);
            }
            // It goes when it is empty.
            let _ = fs::remove_dir(version);
        }
    }

    /// Removes every pin of ours. The programs that links kept on interfaces are taken off.
    pub fn clear(&self) {
        for left in self.links() {
            left.remove();
        }
        self.sweep(None);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Folders go only when they are empty: what is in them outlives us, or is not ours.
        let root = self.path();
        for folder in folders(&root).filter(|path| is_version(path)) {
            let _ = fs::remove_dir(folder);
        }
        let _ = fs::remove_dir(root.join(LINKS));
        let _ = fs::remove_dir(root);
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

impl Left {
    /// The program that is kept by what is pinned there, whatever it is called, by the kernel's
    /// number.
    pub fn program_id(&self) -> Option<u32> {
        Some(Linked::at(&self.path)?.program_id)
    }

    /// Whether what is pinned there is what it is called, or was: of an interface that is gone it
    /// keeps nothing.
    pub fn is_genuine(&self) -> bool {
        Linked::at(&self.path).is_some_and(|linked| {
            linked.is_ours(self.hook, self.interface) || linked.is_defunct(self.hook)
        })
    }

    /// Removes the pin: the program is taken off, unless somebody else holds the link.
    pub fn remove(&self) {
        if let Err(error) = remove(&self.path) {
            error!(pin = %self.path.display(), %error, "the pin stays behind");
        }
    }
}

fn left(path: &Path) -> Option<Left> {
    let (hook, interface) = path.file_name()?.to_str()?.split_once('_')?;
    Some(Left {
        hook: Hook::ALL.into_iter().find(|known| known.name() == hook)?,
        interface: interface.parse().ok()?,
        path: path.to_owned(),
    })
}

fn is_version(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix('v'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

fn is_generation(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.parse::<u32>().is_ok())
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

/// Removes a folder of pins.
fn clear(folder: &Path) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for pin in entries
        .map(|entry| entry.path())
        .filter(|path| !path.is_dir())
    {
        if let Err(error) = remove(&pin) {
            error!(pin = %pin.display(), %error, "the pin stays behind");
        }
    }
    // Folders go only when they are empty: other things in them are not ours.
    let _ = fs::remove_dir(folder);
}

/// The pinned maps of one kernel side. Dropping it removes the pins, and nothing else.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) number: u32,
    folder: PathBuf,
    leaves: bool,
}

impl Generation {
    /// An empty one. What an agent that was killed left under this number is removed.
    pub(super) fn make(place: &Place, number: u32) -> Result<Self> {
        let folder = place.generation(ABI_VERSION, number);
        clear(&folder);
        if let Some(version) = folder.parent() {
            own_folder(version)?;
        }
        own_folder(&folder)?;
        Ok(Self {
            number,
            folder,
            leaves: false,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a map is or will be pinned.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Pins a map here that is pinned at `from`.
    pub(super) fn take(&self, name: &str, from: &Path) -> Result<()> {
        let map = MapData::from_pin(from).with_context(|| format!("opening {}", from.display()))?;
        let path = self.path(name);
        map.pin(&path)
            .with_context(|| format!("cannot pin {}", path.display()))
    }

    /// Has these maps taken from here, as far as they are here, and left here.
    pub(super) fn lend(
        &self,
        loader: &mut EbpfLoader<'_>,
        names: impl Iterator<Item = &'static str>,
    ) {
        for name in names {
            loader.map_pin_path(name, self.path(name));
        }
    }

    /// Pins what the loader has not.
    pub(super) fn complete(&self, ebpf: &Ebpf) -> Result<()> {
        for (name, map) in ebpf.maps() {
            let path = self.path(name);
            // The section of constants is no map of ours.
            if !name.starts_with('.') && !path.exists() {
                map.pin(&path)
                    .with_context(|| format!("cannot pin {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// The pins stay when this is dropped.
    pub(super) fn leave(&mut self) {
        self.leaves = true;
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        if !self.leaves && !std::thread::panicking() {
            clear(&self.folder);
        }
    }
}

pub(super) fn remove(pin: &Path) -> io::Result<()> {
    match fs::remove_file(pin) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn private_root() -> Result<Root> {
    let context = fsopen("bpf", FsOpenFlags::FSOPEN_CLOEXEC).context("opening a bpffs")?;
    fsconfig_create(&context).context("making a bpffs")?;
    let flags = FsMountFlags::FSMOUNT_CLOEXEC;
    let root = fsmount(&context, flags, MountAttrFlags::empty()).context("mounting a bpffs")?;
    let links = format!("/proc/self/fd/{}/{LINKS}", root.as_raw_fd());
    fs::create_dir(links).context("a folder on it")?;
    Ok(Root::Private(root))
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

/// Makes a folder that only we can look into.
pub(super) fn own_folder(folder: &Path) -> Result<()> {
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
