//! Fetches real captures: the packet files that Debian's tcpdump, wireshark and ndpi are tested with.
//!
//! Machines rarely have source packages among what apt looks at, so it is told of the sources at
//! the machine's own mirrors in a folder of its own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    apt::{self, Apt, KEYRING, Origin},
    packages, progress, workspace,
};

/// A source package with packet files.
struct Source {
    /// The package.
    name: &'static str,
    /// How many folders its packet files are in.
    depth: usize,
    /// Which of its files they are.
    files: &'static [&'static str],
}

const SOURCES: [Source; 3] = [
    Source {
        name: "tcpdump",
        depth: 2,
        files: &["*/tests/*.pcap", "*/tests/*.pcapng"],
    },
    Source {
        name: "wireshark",
        depth: 3,
        files: &["*/test/captures/*"],
    },
    Source {
        name: "ndpi",
        depth: 3,
        files: &["*/tests/pcap/*"],
    },
];

/// Where the packet files are kept, whatever the target folder: the tests look for them there.
pub(crate) fn folder() -> PathBuf {
    workspace::root().join("target/captures")
}

/// Fetches the packet files unless they are there already.
pub(crate) fn fetch() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|source| source.name).collect();
    say!(
        "fetching the packet files of Debian's {}: real captures for the tests",
        names.join(", ")
    );
    let origins = apt::origins("the captures of the tests")?;
    let apt = Apt::new(folder().join("apt"), "source lists", &lists(&origins))?;
    for source in missing {
        source.fetch(&apt)?;
    }
    apt.remove()
}

/// Whether all packet files are there.
pub(crate) fn are_there() -> bool {
    missing().is_empty()
}

fn missing() -> Vec<&'static Source> {
    let is_missing = |source: &&Source| !folder().join(source.name).is_dir();
    SOURCES.iter().filter(is_missing).collect()
}

/// The lists of source packages at the mirrors. Those of the security updates are left out: their
/// mirrors lack sources that have not changed since, and captures need no updates.
fn lists(origins: &BTreeSet<Origin>) -> Vec<String> {
    origins
        .iter()
        .filter(|origin| !origin.suite.contains("security"))
        .map(|Origin { mirror, suite }| format!("deb-src [signed-by={KEYRING}] {mirror} {suite}\n"))
        .collect()
}

impl Source {
    fn fetch(&self, apt: &Apt) -> Result<()> {
        let downloads = apt.folder.join("source").join(self.name);
        fs::create_dir_all(&downloads).context("cannot make a folder for a source")?;
        let mut source = apt.own(packages::apt_get());
        source.current_dir(&downloads);
        source.args(["source", "--download-only", "--tar-only", self.name]);
        progress::run("source package", &mut source)?;
        let unpacked = apt.folder.join("unpacked").join(self.name);
        self.unpack(&self.archive(&downloads)?, &unpacked)?;
        decompress(&unpacked)?;
        let kept = folder().join(self.name);
        fs::rename(&unpacked, &kept).with_context(|| format!("cannot create {}", kept.display()))
    }

    /// The source as its authors published it: Debian's changes are in a file of their own.
    fn archive(&self, downloads: &Path) -> Result<PathBuf> {
        for path in entries(downloads)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.contains(".orig.tar.") && !name.ends_with(".asc") {
                return Ok(path);
            }
        }
        bail!("apt-get has downloaded no source of {}", self.name)
    }

    fn unpack(&self, archive: &Path, unpacked: &Path) -> Result<()> {
        fs::create_dir_all(unpacked).context("cannot make a folder for the packet files")?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--wildcards"]);
        tar.arg(format!("--strip-components={}", self.depth));
        tar.arg("--file").arg(archive);
        tar.arg("--directory").arg(unpacked);
        tar.args(self.files);
        progress::run("packet files", &mut tar)
    }
}

/// Replaces each file that is compressed by what is in it.
fn decompress(folder: &Path) -> Result<()> {
    let is_compressed = |path: &PathBuf| path.extension().is_some_and(|end| end == "gz");
    let files: Vec<_> = entries(folder)?.into_iter().filter(is_compressed).collect();
    if files.is_empty() {
        return Ok(());
    }
    let mut gzip = Command::new("gzip");
    gzip.arg("--decompress").args(files);
    progress::run("compressed packet files", &mut gzip)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}
