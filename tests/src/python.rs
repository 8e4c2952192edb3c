//! Python programs of the workspace's virtual environment.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The program `name` that `cargo xtask setup` has installed.
pub fn program(name: &str) -> Result<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools");
    let program = tools.join("python/bin").join(name);
    ensure!(
        program.is_file(),
        "no {}: run `cargo xtask setup`, which installs it",
        program.display()
    );
    Ok(program)
}
