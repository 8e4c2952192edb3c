//! Whatever an agent could leave behind.

use std::fs;

use anyhow::Result;
use lab::{agent::Folder, link::Interface, remains::Held};

/// Nothing on the interface, in the folders and in the kernel.
pub(crate) fn assert_nothing_is_left(
    interface: &Interface,
    folder: &Folder,
    objects: &Held,
) -> Result<()> {
    assert_eq!(interface.xdp()?, None);
    assert_no_files(folder)?;
    objects.wait_until_gone_but(&Held::default())
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
