//! Fetches real captures: the packet files that Debian's tcpdump is tested with.
//!
//! Machines rarely have source packages among what apt-get looks at. So apt-get is given a folder
//! of its own, in which the machine's own Debian mirrors are named once more, for sources.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    packages::{self, apt_get},
    progress, workspace,
};

/// The source package.
const SOURCE: &str = "tcpdump";
/// Where Debian keeps the keys of its archives, wherever apt-get is told to look for keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Where administrators and packages put further keys.
const TRUSTED: &str = "/etc/apt/trusted.gpg.d";

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
    ensure!(
        packages::can_install(),
        "this machine has no apt-get: unpack the folder `tests` of the source of {SOURCE} into {}",
        kept.display()
    );
    say!("fetching the packet files of Debian's {SOURCE}: real captures for the tests");
    let apt = kept.with_file_name("apt");
    make_empty(&apt)?;
    let apt_get = || {
        let mut command = apt_get();
        command.env("APT_CONFIG", apt.join("apt.conf"));
        command.current_dir(&apt);
        command
    };
    configure(&apt)?;
    progress::run("source lists", apt_get().arg("update"))?;
    let mut source = apt_get();
    source.args(["source", "--download-only", SOURCE]);
    progress::run("source package", &mut source)?;
    unpack(&apt, &kept)?;
    fs::remove_dir_all(&apt).with_context(|| format!("cannot remove {}", apt.display()))
}

fn make_empty(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    for part in ["lists/partial", "cache/archives/partial", "keys", "tests"] {
        let part = folder.join(part);
        fs::create_dir_all(&part).with_context(|| format!("cannot create {}", part.display()))?;
    }
    Ok(())
}

/// Tells apt-get to keep to `apt`, and to get sources from where this machine gets its packages.
fn configure(apt: &Path) -> Result<()> {
    let mut mirrors = mirrors()?;
    if mirrors.is_empty() {
        // A machine that never asked does not know whose mirrors it has.
        progress::run("package lists", apt_get().arg("update"))?;
        mirrors = self::mirrors()?;
    }
    ensure!(
        !mirrors.is_empty(),
        "apt-get of this machine knows no mirror of Debian: unpack the folder `tests` of the source \
         of {SOURCE} into {}",
        folder().display()
    );
    let lines: Vec<_> = mirrors
        .iter()
        .map(|mirror| format!("deb-src {mirror}\n"))
        .collect();
    let dir = apt.display();
    // As root, since apt-get's own user may not enter the workspace.
    let settings = format!(
        "Dir::Etc::SourceList \"{dir}/sources.list\";\n\
         Dir::Etc::SourceParts \"/dev/null\";\n\
         Dir::Etc::TrustedParts \"{dir}/keys\";\n\
         Dir::State::Lists \"{dir}/lists\";\n\
         Dir::Cache \"{dir}/cache\";\n\
         APT::Sandbox::User \"root\";\n"
    );
    for (name, text) in [("sources.list", lines.concat()), ("apt.conf", settings)] {
        let file = apt.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let keys = fs::read_dir(TRUSTED).into_iter().flatten().flatten();
    let keys = keys.map(|entry| entry.path());
    for key in keys
        .chain([PathBuf::from(KEYRING)])
        .filter(|key| key.is_file())
    {
        let name = key.file_name().unwrap_or(key.as_os_str());
        symlink(&key, apt.join("keys").join(name)).context("cannot name a key of the archive")?;
    }
    Ok(())
}

/// The mirrors of Debian that this machine has its packages from: address, suite and component.
fn mirrors() -> Result<BTreeSet<String>> {
    let mut indexes = Command::new("apt-get");
    indexes.args([
        "indextargets",
        "--format",
        "$(REPO_URI) $(RELEASE) $(COMPONENT)",
    ]);
    indexes.args(["Created-By: Packages", "Origin: Debian"]);
    let answer = indexes.output().context("cannot run apt-get")?;
    let answer = String::from_utf8_lossy(&answer.stdout);
    Ok(answer.lines().map(str::to_owned).collect())
}

/// Unpacks the tests of the source in `apt`, and keeps the packet files among them in `kept`.
fn unpack(apt: &Path, kept: &Path) -> Result<()> {
    let archive = archive(apt)?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--strip-components=2", "--wildcards"]);
    tar.arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(apt.join("tests"));
    tar.args(["*/tests/*.pcap", "*/tests/*.pcapng"]);
    progress::run("packet files", &mut tar)?;
    // What is there under this name is whole.
    fs::rename(apt.join("tests"), kept).with_context(|| format!("cannot create {}", kept.display()))
}

/// The source as its authors published it: Debian's changes are in a file of their own.
fn archive(apt: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(apt).with_context(|| format!("cannot read {}", apt.display()))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.contains(".orig.tar.") && !name.ends_with(".asc") {
            return Ok(path);
        }
    }
    bail!("apt-get brought no source of {SOURCE}")
}
