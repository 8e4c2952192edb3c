//! Builds bpf-linker for this workspace.

use anyhow::Result;

use crate::{
    progress,
    toolchain::{self, Linker},
    workspace,
};

const VERSION: &str = "0.13.0";
/// Major version of the LLVM it is built on: that of Debian's rustc-web.
pub(crate) const LLVM: u32 = 22;

/// Whether `linker` spares us building one.
pub(crate) fn is_recent(linker: &Linker) -> bool {
    linker.llvm.is_none_or(|llvm| llvm >= LLVM)
}

/// Builds it into `target/tools`, from [`packages::LINKER`](crate::packages::LINKER), in about a
/// minute and a half on two cores.
pub(crate) fn build() -> Result<()> {
    let tools = toolchain::tools_dir(workspace::root());
    say!(
        "building bpf-linker {VERSION} into {}: it turns LLVM bitcode into eBPF objects",
        tools.display()
    );
    let mut cargo = workspace::cargo();
    cargo
        .args(["install", &format!("bpf-linker@{VERSION}")])
        .args([
            "--no-default-features",
            "--features",
            &format!("llvm-{LLVM}"),
        ])
        .args(["--locked", "--force", "--root"])
        .arg(tools)
        .env("LLVM_PREFIX", format!("/usr/lib/llvm-{LLVM}"))
        // Its release profile asks for debug information, which takes a third of the time.
        .env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    progress::run("bpf-linker", &mut cargo)
}
