//! Installs what is missing, and nothing else.

use anyhow::{Result, ensure};

use crate::{
    kernels, linker,
    packages::{self, Package, Tool},
    toolchain::{Compiler, Survey, Toolchain},
    workspace,
};

/// What compiles eBPF: what this machine has, else Debian's.
pub(crate) fn for_build() -> Result<()> {
    provide(Vec::new())
}

/// That, and the programs that the tests and the demo run.
pub(crate) fn for_tests() -> Result<()> {
    with_programs(packages::TOOLS.iter())
}

/// That, and the virtual machines of the full tests with their kernels.
pub(crate) fn for_full_tests() -> Result<()> {
    with_programs(packages::TOOLS.iter().chain(packages::MACHINES))?;
    kernels::fetch()
}

fn with_programs(tools: impl Iterator<Item = &'static Tool> + Clone) -> Result<()> {
    let missing = tools
        .clone()
        .filter(|tool| !packages::has_program(tool.program));
    provide(missing.map(|tool| tool.package).collect())?;
    let programs: Vec<_> = tools.map(|tool| tool.program).collect();
    say!("programs: {}", programs.join(", "));
    Ok(())
}

/// An eBPF compiler, and the packages `wanted`.
fn provide(wanted: Vec<Package>) -> Result<()> {
    let found = survey()?;
    let compiler = if let Ok(compiler) = found.compiler() {
        packages::install(&wanted)?;
        compiler
    } else {
        install_compiler(&found, wanted)?
    };
    say!("eBPF compiler: {}, {}", compiler.toolchain, compiler.linker);
    Ok(())
}

/// Everything in one go of apt-get, so that whoever is not root learns all that is missing at once.
fn install_compiler(found: &Survey, mut wanted: Vec<Package>) -> Result<Compiler> {
    ensure!(
        packages::can_install(),
        "no eBPF compiler with a bpf-linker that fits, and no apt-get to install Debian's: run \
         `rustup toolchain install nightly --component rust-src` and `cargo install bpf-linker`"
    );
    let lacks_linker = !found.linkers.iter().any(linker::is_recent);
    if lacks_linker {
        wanted.extend(packages::LINKER);
    }
    if !found.toolchains.iter().any(suits_our_linker) {
        wanted.extend(packages::COMPILER);
    }
    packages::install(&wanted)?;
    if lacks_linker {
        linker::build()?;
    }
    survey()?.compiler()
}

fn suits_our_linker(toolchain: &Toolchain) -> bool {
    toolchain.llvm.is_none_or(|llvm| llvm <= linker::LLVM)
}

fn survey() -> Result<Survey> {
    Survey::of_machine(workspace::root())
}
