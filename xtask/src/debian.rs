//! A small Debian in a folder, for the tests of the package: made by debootstrap, never changed.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    apt::{self, Origin},
    progress, workspace,
};

/// What the package depends on and the smallest Debian lacks, without the rest of systemd.
const INCLUDED: &str = "systemd-standalone-sysusers,systemd-standalone-tmpfiles";

/// Where it is kept, whatever the target folder: the tests look for it there.
pub(crate) fn folder() -> PathBuf {
    workspace::root().join("target/debian-root")
}

/// Makes it, of this machine's own release at its own mirror, unless it is there. To renew it, delete
/// its folder.
pub(crate) fn fetch() -> Result<()> {
    if folder().is_dir() {
        return Ok(());
    }
    let Origin { mirror, suite } = release()?;
    say!("unpacking a small Debian {suite} into target/debian-root: the package is tried in it");
    // What an interrupted run left.
    let unfinished = folder().with_extension("unfinished");
    remove(&unfinished)?;
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={INCLUDED}")]);
    debootstrap.arg(&suite).arg(&unfinished).arg(mirror);
    progress::run("debootstrap", &mut debootstrap)?;
    for cache in ["var/cache/apt/archives", "var/lib/apt/lists"] {
        remove(&unfinished.join(cache))?;
    }
    fs::rename(&unfinished, folder()).context("cannot create target/debian-root")
}

/// The release that this machine runs, and where it gets its packages from.
fn release() -> Result<Origin> {
    let text =
        fs::read_to_string("/etc/os-release").context("cannot tell this machine's release")?;
    let codename = text
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .context("this machine's release has no codename: run this on a release of Debian")?;
    let main = format!("{codename} main");
    let origin = apt::origins("the parts of the small Debian")?
        .into_iter()
        .find(|origin| origin.suite == main)
        .with_context(|| format!("apt on this machine knows no mirror of `{main}`: add one"))?;
    Ok(Origin {
        mirror: origin.mirror,
        suite: codename.to_owned(),
    })
}

fn remove(folder: &PathBuf) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}
