//! What the checks of this folder are made with.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program of the Python environment that `cargo xtask setup` makes.
pub(crate) fn python(program: &str) -> Result<Command> {
    let path = repository().join("target/tools/python/bin").join(program);
    ensure!(
        path.is_file(),
        "no {}: run `cargo xtask setup`",
        path.display()
    );
    Ok(Command::new(path))
}
