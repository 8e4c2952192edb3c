//! Builds the Debian package, by cargo-deb: what is in it stands in `guard-userspace/Cargo.toml`.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use clap::Args;

use crate::{
    build,
    packages::{self, SHARED_LIBRARIES},
    progress, toolchain,
    workspace::{self, Profile},
};

const VERSION: &str = "3.8.0";

/// The shells whose completions are packaged.
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Settings of `package`.
#[derive(Args)]
pub(crate) struct Package {
    /// Package this binary, instead of building one for release
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// The version of the package, instead of the workspace's
    #[arg(long, value_name = "VERSION")]
    deb_version: Option<String>,
    /// The package's file, or the folder for it, instead of target/debian
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Compress less: for tests
    #[arg(long)]
    fast: bool,
}

/// Builds guard, lays out what goes with it, and packs all of it.
pub(crate) fn run(package: &Package) -> Result<()> {
    provide()?;
    let binary = if let Some(binary) = &package.binary {
        binary.clone()
    } else {
        build::run(true)?;
        workspace::binary(Profile::Release, "guard")?
    };
    let layout = Layout::claim()?;
    layout.fill(&binary)?;
    workspace::run(&mut cargo_deb(package))
}

/// Installs what packs, unless it is there.
pub(crate) fn provide() -> Result<()> {
    packages::install(&[SHARED_LIBRARIES])?;
    if is_there() {
        return Ok(());
    }
    let tools = toolchain::tools_dir(workspace::root());
    say!(
        "building cargo-deb {VERSION} into {}: it packs guard for Debian",
        tools.display()
    );
    let mut cargo = workspace::cargo();
    let tool = format!("cargo-deb@{VERSION}");
    // It calls xz, which is there, instead of building its library.
    cargo.args(["install", &tool, "--no-default-features"]);
    cargo.args(["--locked", "--root"]).arg(tools);
    progress::run("cargo-deb", &mut cargo)
}

/// Whether what packs is built.
pub(crate) fn is_there() -> bool {
    program().is_file()
}

fn program() -> PathBuf {
    toolchain::tools_dir(workspace::root()).join("bin/cargo-deb")
}

fn cargo_deb(package: &Package) -> Command {
    let mut deb = Command::new(program());
    deb.current_dir(workspace::root());
    deb.args(["--package", "guard-userspace", "--no-build", "--no-strip"]);
    // It warns of each file that cargo did not build.
    deb.args(["--locked", "--compress-system", "--quiet"]);
    if let Some(version) = &package.deb_version {
        deb.args(["--deb-version", version]);
    }
    if let Some(output) = &package.output {
        deb.arg("--output").arg(output);
    }
    if package.fast {
        deb.arg("--fast");
    }
    deb
}

/// `target/package`, where cargo-deb finds what is made at package time.
struct Layout {
    folder: PathBuf,
    /// Keeps another `cargo xtask package` waiting.
    _lock: File,
}

impl Layout {
    /// Waits for the folder, and empties it.
    fn claim() -> Result<Self> {
        let target = workspace::root().join("target");
        let folder = target.join("package");
        fs::create_dir_all(&target).context("cannot make the target folder")?;
        let lock = File::create(target.join("package.lock"))
            .and_then(|file| file.lock().map(|()| file))
            .context("cannot lock target/package")?;
        if folder.exists() {
            fs::remove_dir_all(&folder).context("cannot empty target/package")?;
        }
        for part in ["man", "completions"] {
            fs::create_dir_all(folder.join(part)).context("cannot make target/package")?;
        }
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    /// Puts in the binary, and what it writes of itself.
    fn fill(&self, binary: &Path) -> Result<()> {
        ensure!(
            binary.is_file(),
            "there is no {}: name the guard to be packaged, or leave --binary out to build it",
            binary.display()
        );
        let mut strip = Command::new("strip");
        strip.args(["--strip-unneeded", "--remove-section=.comment", "-o"]);
        workspace::run(strip.arg(self.folder.join("guard")).arg(binary))?;
        workspace::run(guard(binary, &["man", "--all"]).arg(self.folder.join("man")))?;
        for shell in SHELLS {
            self.complete(binary, shell)?;
        }
        Ok(())
    }

    fn complete(&self, binary: &Path, shell: &str) -> Result<()> {
        let path = self
            .folder
            .join("completions")
            .join(format!("guard.{shell}"));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        workspace::run(guard(binary, &["completions", shell]).stdout(Stdio::from(file)))
    }
}

/// The guard that is packaged; the caller's `GUARD_…` variables are not for it.
fn guard(binary: &Path, words: &[&str]) -> Command {
    let mut guard = Command::new(binary);
    guard.args(words).stdin(Stdio::null());
    let names = env::vars_os().map(|(name, _)| name);
    for name in names.filter(|name| name.to_string_lossy().starts_with("GUARD_")) {
        guard.env_remove(name);
    }
    guard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_changelog_is_of_the_workspaces_version() {
        let path = workspace::root().join("packaging/debian/changelog");
        let text = fs::read_to_string(path).expect("the changelog");
        let first = format!("guard ({}) ", env!("CARGO_PKG_VERSION"));
        assert!(text.starts_with(&first), "{text}");
    }
}
