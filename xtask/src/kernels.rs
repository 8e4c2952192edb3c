//! Debian's kernels, for the virtual machines of the full tests: unpacked, never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{packages, progress, toolchain::probe::stdout_of, workspace};

/// A kernel that Debian maintains.
struct Kernel {
    /// Its version, and the folder it is unpacked in.
    version: &'static str,
    /// The release of Debian that it belongs to.
    release: &'static str,
}

const KERNELS: [Kernel; 2] = [
    Kernel {
        version: "6.1",
        release: "bookworm",
    },
    Kernel {
        version: "6.12",
        release: "trixie",
    },
];
/// The kernel for virtual machines: the same but for the drivers it leaves out. It depends on the
/// package of the latest version.
const PACKAGE: &str = "linux-image-cloud-amd64";
/// What Debian signs its lists with, on every Debian.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Unpacks those of the kernels that are missing into `target/kernels`. To renew one, delete its
/// folder.
pub(crate) fn fetch() -> Result<()> {
    let folder = workspace::root().join("target/kernels");
    let missing = KERNELS
        .iter()
        .filter(|kernel| !folder.join(kernel.version).is_dir());
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        let apt = Apt::new(folder.join("apt"))?;
        for kernel in missing {
            say!(
                "fetching Debian's Linux {}: the full tests boot it",
                kernel.version
            );
            apt.unpack(kernel, &folder.join(kernel.version))?;
        }
        fs::remove_dir_all(&apt.folder).context("cannot remove the package lists")?;
    }
    let versions: Vec<_> = KERNELS.iter().map(|kernel| kernel.version).collect();
    say!("kernels: {}", versions.join(", "));
    Ok(())
}

/// apt with lists and a cache of its own, beside those of the machine.
struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Fetches the lists of all releases that have one of the kernels.
    fn new(folder: PathBuf) -> Result<Self> {
        ensure!(
            Path::new(KEYRING).is_file(),
            "the full tests boot kernels of Debian, and this machine is none: run them on Debian"
        );
        let mirror = mirror()?;
        let sources: Vec<_> = KERNELS
            .iter()
            .map(|kernel| {
                format!(
                    "deb [signed-by={KEYRING}] {mirror} {} main\n",
                    kernel.release
                )
            })
            .collect();
        fs::create_dir_all(folder.join("lists/partial"))
            .and_then(|()| fs::create_dir_all(folder.join("cache/archives/partial")))
            .and_then(|()| fs::write(folder.join("sources.list"), sources.concat()))
            .with_context(|| format!("cannot write to {}", folder.display()))?;
        let apt = Self { folder };
        progress::run("kernel lists", apt.own(packages::apt_get()).arg("update"))?;
        Ok(apt)
    }

    /// Unpacks the kernel into `place`, which is there only when all of it is.
    fn unpack(&self, kernel: &Kernel, place: &Path) -> Result<()> {
        let mut show = self.own(Command::new("apt-cache"));
        let shown = stdout_of(show.args(["show", PACKAGE]))?;
        let image = image(&shown, kernel.version).with_context(|| {
            format!(
                "Debian's {} has no Linux {}",
                kernel.release, kernel.version
            )
        })?;
        let downloads = self.folder.join(kernel.version);
        fs::create_dir_all(&downloads).context("cannot make a folder for a kernel")?;
        let mut download = self.own(packages::apt_get());
        download.current_dir(&downloads).args(["download", image]);
        progress::run("kernel", &mut download)?;

        let package = fs::read_dir(&downloads)?.next();
        let package = package.context("apt-get has downloaded nothing")??.path();
        let unpacked = self.folder.join("unpacked");
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("--extract").arg(package).arg(&unpacked);
        workspace::run(&mut unpack)?;
        fs::rename(&unpacked, place)
            .with_context(|| format!("cannot move the kernel to {}", place.display()))
    }

    /// A command of apt, told where its things are.
    fn own(&self, mut apt: Command) -> Command {
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
}

/// The mirror of Debian that this machine uses.
fn mirror() -> Result<String> {
    let find = || {
        let mut targets = Command::new("apt-get");
        targets.args(["indextargets", "--format", "$(REPO_URI)"]);
        targets.args(["Created-By: Packages", "Origin: Debian", "Label: Debian"]);
        stdout_of(&mut targets).map(|found| found.lines().next().map(str::to_owned))
    };
    if let Some(mirror) = find()? {
        return Ok(mirror);
    }
    // Who does not know its lists does not know whose they are.
    progress::run("package lists", packages::apt_get().arg("update"))?;
    find()?.context("apt on this machine knows no mirror of Debian")
}

/// The package with the kernel itself, from what `apt-cache show` says of [`PACKAGE`] in all
/// releases.
fn image<'a>(shown: &'a str, version: &str) -> Option<&'a str> {
    let stanza = shown.split("\n\n").find(|stanza| {
        let own = field(stanza, "Version: ").and_then(|own| own.strip_prefix(version));
        own.is_some_and(|rest| rest.starts_with('.'))
    })?;
    field(stanza, "Depends: ")?.split([' ', ',']).next()
}

fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    stanza.lines().find_map(|line| line.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_of_a_version_is_what_its_package_depends_on() {
        let shown = "Package: linux-image-cloud-amd64\nVersion: 6.12.9-1\n\
                     Depends: linux-image-6.12.9-cloud-amd64 (= 6.12.9-1)\n\n\
                     Package: linux-image-cloud-amd64\nVersion: 6.1.7-1\n\
                     Depends: linux-image-6.1.0-9-cloud-amd64 (= 6.1.7-1), x\n\n";
        assert_eq!(image(shown, "6.1"), Some("linux-image-6.1.0-9-cloud-amd64"));
        assert_eq!(image(shown, "6.12"), Some("linux-image-6.12.9-cloud-amd64"));
        assert_eq!(image(shown, "6.2"), None);
    }
}
