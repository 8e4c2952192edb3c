//! Builds the workspace.

use std::env;

use anyhow::Result;

use crate::{
    setup,
    workspace::{self, Profile},
};

/// Environment variable with a prebuilt eBPF object for guard, read by its build script.
const OBJECT_VARIABLE: &str = "GUARD_EBPF_OBJECT";

/// Builds guard, and all that goes with it unless its eBPF object comes from elsewhere.
pub(crate) fn run(release: bool) -> Result<()> {
    let mut cargo = workspace::cargo();
    cargo.arg("build");
    if env::var_os(OBJECT_VARIABLE).is_some_and(|object| !object.is_empty()) {
        // Packagers need no eBPF compiler; the flood generator of the tests would.
        cargo.args(["--package", "guard-userspace"]);
    } else {
        setup::for_build()?;
    }
    let profile = if release {
        cargo.arg("--release");
        Profile::Release
    } else {
        Profile::Debug
    };
    workspace::run(&mut cargo)?;
    say!("built {}", workspace::binary(profile, "guard")?.display());
    Ok(())
}
