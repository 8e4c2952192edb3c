//! Debian's kernels, for the virtual machines of the full tests: unpacked, never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use crate::{
    apt::{self, Apt, KEYRING, Origin},
    packages, progress,
    toolchain::probe::stdout_of,
    workspace,
};

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

/// Unpacks those of the kernels that are missing into `target/kernels`. To renew one, delete its
/// folder.
pub(crate) fn fetch() -> Result<()> {
    let folder = workspace::root().join("target/kernels");
    let missing = KERNELS
        .iter()
        .filter(|kernel| !folder.join(kernel.version).is_dir());
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        let apt = lists(folder.join("apt"))?;
        for kernel in missing {
            say!(
                "fetching Debian's Linux {}: the full tests boot it",
                kernel.version
            );
            unpack(&apt, kernel, &folder.join(kernel.version))?;
        }
        apt.remove()?;
    }
    let versions: Vec<_> = KERNELS.iter().map(|kernel| kernel.version).collect();
    say!("kernels: {}", versions.join(", "));
    Ok(())
}

/// The lists of all releases that have one of the kernels.
fn lists(folder: PathBuf) -> Result<Apt> {
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
    Apt::new(folder, "kernel lists", &sources)
}

/// The mirror of Debian that this machine uses: that of security updates has no other kernels.
fn mirror() -> Result<String> {
    let origins = apt::origins("the kernels that the full tests boot")?;
    let is_release = |origin: &&Origin| !origin.suite.contains('-');
    let release = origins.iter().find(is_release);
    let release = release.context("apt on this machine knows no release of Debian")?;
    Ok(release.mirror.clone())
}

/// Unpacks the kernel into `place`, which is there only when all of it is.
fn unpack(apt: &Apt, kernel: &Kernel, place: &Path) -> Result<()> {
    let mut show = apt.own(Command::new("apt-cache"));
    let shown = stdout_of(show.args(["show", PACKAGE]))?;
    let image = image(&shown, kernel.version).with_context(|| {
        format!(
            "Debian's {} has no Linux {}",
            kernel.release, kernel.version
        )
    })?;
    let downloads = apt.folder.join(kernel.version);
    fs::create_dir_all(&downloads).context("cannot make a folder for a kernel")?;
    let mut download = apt.own(packages::apt_get());
    download.current_dir(&downloads).args(["download", image]);
    progress::run("kernel", &mut download)?;

    let package = fs::read_dir(&downloads)?.next();
    let package = package.context("apt-get has downloaded nothing")??.path();
    let unpacked = apt.folder.join("unpacked");
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(package).arg(&unpacked);
    workspace::run(&mut unpack)?;
    fs::rename(&unpacked, place)
        .with_context(|| format!("cannot move the kernel to {}", place.display()))
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
