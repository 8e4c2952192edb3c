//! apt with lists and a cache of its own, beside those of the machine.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{packages, progress, toolchain::probe::stdout_of};

/// What Debian signs its lists with, on every Debian.
pub(crate) const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// An apt that changes nothing of the machine's own.
pub(crate) struct Apt {
    /// Where its things are.
    pub(crate) folder: PathBuf,
}

/// Something that this machine gets its packages from: a release of Debian at a mirror.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Origin {
    /// The mirror's address.
    pub(crate) mirror: String,
    /// The release, such as that of the security updates, and the component.
    pub(crate) suite: String,
}

impl Apt {
    /// Fetches the lists of what `sources` names, a line for each; `what` they are is shown.
    pub(crate) fn new(folder: PathBuf, what: &str, sources: &[String]) -> Result<Self> {
        fs::create_dir_all(folder.join("lists/partial"))
            .and_then(|()| fs::create_dir_all(folder.join("cache/archives/partial")))
            .and_then(|()| fs::write(folder.join("sources.list"), sources.concat()))
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        let apt = Self { folder };
        progress::run(what, apt.own(packages::apt_get()).arg("update"))?;
        Ok(apt)
    }

    /// A command of apt, told where its things are.
    pub(crate) fn own(&self, mut apt: Command) -> Command {
        let places = [
            ("Dir::State::lists", "lists"),
            ("Dir::Cache", "cache"),
            ("Dir::Etc::sourcelist", "sources.list"),
        ];
        for (name, place) in places {
            let place = self.folder.join(place);
            apt.arg("--option")
                .arg(format!("{name}={}", place.display()));
        }
        apt.args(["--option", "Dir::Etc::sourceparts=/dev/null"]);
        // Its user for downloads may not be able to enter this folder.
        apt.args(["--option", "APT::Sandbox::User=root"]);
        apt
    }

    /// Removes the lists and whatever was downloaded.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.folder).context("cannot remove the package lists")
    }
}

/// Where this machine gets Debian's packages from, with updates and security updates. `what` is
/// wanted of them.
pub(crate) fn origins(what: &str) -> Result<BTreeSet<Origin>> {
    ensure!(
        packages::can_install() && Path::new(KEYRING).is_file(),
        "{what} come from Debian, and this machine is none: run this on Debian"
    );
    let find = || {
        let mut targets = Command::new("apt-get");
        let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
        targets.args(["indextargets", "--format", format]);
        targets.args(["Created-By: Packages", "Origin: Debian"]);
        stdout_of(&mut targets).map(|found| found.lines().filter_map(origin).collect())
    };
    let mut found: BTreeSet<Origin> = find()?;
    if found.is_empty() {
        // Who does not know its lists does not know whose they are.
        progress::run("package lists", packages::apt_get().arg("update"))?;
        found = find()?;
    }
    ensure!(
        !found.is_empty(),
        "apt on this machine knows no mirror of Debian"
    );
    Ok(found)
}

fn origin(line: &str) -> Option<Origin> {
    let (mirror, suite) = line.split_once(' ')?;
    Some(Origin {
        mirror: mirror.to_owned(),
        suite: suite.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_mirror_and_what_is_at_it() {
        let origin = origin("mirror:/debian/ bookworm-updates main").expect("both");
        assert_eq!(origin.mirror, "mirror:/debian/");
        assert_eq!(origin.suite, "bookworm-updates main");
        assert_eq!(super::origin(""), None);
    }
}
