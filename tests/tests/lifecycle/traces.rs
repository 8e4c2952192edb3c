//! Whatever an agent could leave behind.

use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use aya::{maps::loaded_maps, programs::loaded_programs};
use lab::{agent::Folder, link::Interface, process::Server};

use crate::PATIENCE;

/// Programs and maps of one process, by the kernel's numbers, which are not used twice for long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelObjects {
    pub(crate) programs: BTreeSet<u32>,
    pub(crate) maps: BTreeSet<u32>,
}

impl KernelObjects {
    /// Those the process holds open.
    pub(crate) fn of(server: &Server) -> Result<Self> {
        let mut objects = Self::default();
        for entry in fs::read_dir(format!("/proc/{}/fdinfo", server.pid()))? {
            // A connection's file may be closed meanwhile.
            let Ok(info) = fs::read_to_string(entry?.path()) else {
                continue;
            };
            let number = |name: &str| {
                let value = info.lines().find_map(|line| line.strip_prefix(name));
                value.and_then(|value| value.trim().parse::<u32>().ok())
            };
            objects.programs.extend(number("prog_id:"));
            objects.maps.extend(number("map_id:"));
        }
        Ok(objects)
    }

    /// Those of them that the kernel still has. Other tests' come and go while it lists them.
    fn still_there(&self) -> Self {
        let programs = loaded_programs().filter_map(Result::ok);
        let programs: BTreeSet<u32> = programs.map(|program| program.id()).collect();
        let maps = loaded_maps().filter_map(Result::ok);
        let maps: BTreeSet<u32> = maps.map(|map| map.id()).collect();
        Self {
            programs: &self.programs & &programs,
            maps: &self.maps & &maps,
        }
    }

    /// Waits until the kernel, which takes its time to free them, has none of them.
    pub(crate) fn wait_until_gone(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.still_there();
            if left == Self::default() {
                return;
            }
            assert!(Instant::now() < deadline, "{left:?} of {self:?} stay");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Nothing on the interface, in the folders and in the kernel.
pub(crate) fn assert_nothing_is_left(
    interface: &Interface,
    folder: &Folder,
    objects: &KernelObjects,
) -> Result<()> {
    assert_eq!(interface.xdp()?, None);
    assert_no_files(folder)?;
    objects.wait_until_gone();
    Ok(())
}

/// No pins, no socket, and in the state folder at most the lock, which is worth nothing by itself, and
/// the key that tells credentials apart, which is the installation's.
pub(crate) fn assert_no_files(folder: &Folder) -> Result<()> {
    assert_eq!(folder.pins(), <[std::path::PathBuf; 0]>::default());
    assert!(!folder.bpffs().exists(), "the pins' folder stays");
    assert!(!folder.socket().exists(), "the socket stays");
    if folder.state().exists() {
        let entries = fs::read_dir(folder.state())?;
        let mut names: Vec<_> = entries
            .map(|entry| Ok(entry?.file_name()))
            .collect::<Result<_>>()?;
        names.retain(|name| name != "credentials.key");
        assert_eq!(names, ["agent.lock"]);
    }
    Ok(())
}
