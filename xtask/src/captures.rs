//! Fetches real captures: the packet files that Debian's tcpdump is tested with.
//!
//! Machines rarely have source packages among what apt looks at, so it is told of the sources at
//! the machine's own mirrors in a folder of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt::{self, Apt, KEYRING},
    packages, progress, workspace,
};

/// The source package.
const SOURCE: &str = "tcpdump";

/// Where the packet files are kept, whatever the target folder: the tests look for them there.
pub(crate) fn folder() -> PathBuf {
    workspace::root().join("target/captures").join(SOURCE)
}

/// Fetches the packet files unless they are there already.
pub(crate) fn fetch() -> Result<()> {
    let kept = folder();
    if kept.is_dir() {
        return Ok(());
    }
    say!("fetching the packet files of Debian's {SOURCE}: real captures for the tests");
    let sources = apt::origins("the captures of the tests")?
        .into_iter()
        .map(|origin| {
            format!(
                "deb-src [signed-by={KEYRING}] {} {}\n",
                origin.mirror, origin.suite
            )
        })
        .collect::<Vec<_>>();
    let apt = Apt::new(kept.with_file_name("apt"), "source lists", &sources)?;
    let downloads = apt.folder.join("source");
    fs::create_dir_all(&downloads).context("cannot make a folder for a source")?;
    let mut source = apt.own(packages::apt_get());
    source.current_dir(&downloads);
    source.args(["source", "--download-only", SOURCE]);
    progress::run("source package", &mut source)?;
    unpack(&archive(&downloads)?, &apt.folder.join("unpacked"), &kept)?;
    apt.remove()
}

/// The source as its authors published it: Debian's changes are in a file of their own.
fn archive(downloads: &Path) -> Result<PathBuf> {
    let entries =
        fs::read_dir(downloads).with_context(|| format!("cannot read {}", downloads.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(".orig.tar.") && !name.ends_with(".asc") {
            return Ok(path);
        }
    }
    bail!("apt-get has downloaded no source of {SOURCE}")
}

/// Keeps the packet files among the tests of a source in `kept`, which is there only when all are.
fn unpack(archive: &Path, unpacked: &Path, kept: &Path) -> Result<()> {
    fs::create_dir_all(unpacked).context("cannot make a folder for the packet files")?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--strip-components=2", "--wildcards"]);
    tar.arg("--file").arg(archive);
    tar.arg("--directory").arg(unpacked);
    tar.args(["*/tests/*.pcap", "*/tests/*.pcapng"]);
    progress::run("packet files", &mut tar)?;
    fs::rename(unpacked, kept).with_context(|| format!("cannot create {}", kept.display()))
}
