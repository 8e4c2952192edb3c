//! What the build scripts share: compile an eBPF crate and leave its object in `OUT_DIR`.

#[path = "toolchain.rs"]
mod toolchain;

use std::{
    env,
    ffi::OsString,
    fs, iter,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, ensure};
use aya_build::Package;

use toolchain::{Compiler, Core, Survey, TOOLCHAIN_VARIABLE};

/// ELF's number for eBPF, `EM_BPF`.
const EM_BPF: u16 = 247;

/// An eBPF crate of this workspace.
pub(crate) struct EbpfCrate<'a> {
    /// Its package name, also the name of the object in `OUT_DIR`.
    pub(crate) name: &'a str,
    /// Its folder, from the workspace's root.
    pub(crate) dir: &'a str,
    /// The folders of the workspace crates it is built from.
    pub(crate) depends_on: &'a [&'a str],
    /// The environment variable that may name a prebuilt object (from the workspace's root).
    pub(crate) object_variable: Option<&'a str>,
}

/// Leaves the object of `ebpf` in `OUT_DIR`, or says what is missing and names the fix.
///
/// Call it from the only thread of the build script of a crate in the workspace's root.
pub(crate) fn embed(ebpf: &EbpfCrate<'_>) -> ExitCode {
    match try_embed(ebpf) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one line: main's own printing of an error may add a backtrace.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_embed(ebpf: &EbpfCrate<'_>) -> Result<()> {
    let root = &cargo_path("CARGO_MANIFEST_DIR")?;
    let root = root.parent().context("the crate is in no workspace")?;
    if let Some(object) = prebuilt_object(root, ebpf) {
        return copy_object(&object, ebpf);
    }
    let compiler = Survey::of_machine(root)?.compiler()?;
    declare_inputs(root, ebpf, &compiler);
    compile(root, ebpf, &compiler).with_context(|| {
        format!(
            "cannot compile {} with {} and {} (see the warnings; where they speak of bitcode or \
             LLVM versions the two do not fit, and GUARD_EBPF_TOOLCHAIN=/usr takes Debian's)",
            ebpf.name, compiler.toolchain, compiler.linker
        )
    })
}

fn prebuilt_object(root: &Path, ebpf: &EbpfCrate<'_>) -> Option<PathBuf> {
    let variable = ebpf.object_variable?;
    println!("cargo::rerun-if-env-changed={variable}");
    let object = env::var_os(variable).filter(|object| !object.is_empty())?;
    Some(root.join(object))
}

fn copy_object(object: &Path, ebpf: &EbpfCrate<'_>) -> Result<()> {
    let variable = ebpf.object_variable.unwrap_or_default();
    let shown = object.display();
    println!("cargo::rerun-if-changed={shown}");
    let bytes = fs::read(object).with_context(|| {
        format!("cannot read {shown}, which {variable} names: correct or unset the variable")
    })?;
    ensure!(
        is_bpf_elf(&bytes),
        "{variable} names {shown}, which is no eBPF object: correct or unset the variable"
    );
    let copy = cargo_path("OUT_DIR")?.join(ebpf.name);
    fs::write(&copy, bytes).with_context(|| format!("cannot write {}", copy.display()))
}

/// Byte 5 of an ELF header tells its endianness, bytes 18 and 19 its machine.
fn is_bpf_elf(object: &[u8]) -> bool {
    let Some(header) = object.first_chunk::<20>() else {
        return false;
    };
    let machine = [header[18], header[19]];
    let machine = if header[5] == 1 {
        u16::from_le_bytes(machine)
    } else {
        u16::from_be_bytes(machine)
    };
    header.starts_with(b"\x7fELF") && machine == EM_BPF
}

/// Tells cargo when to compile again. The folder of the crate itself is declared by `aya_build`.
fn declare_inputs(root: &Path, ebpf: &EbpfCrate<'_>, compiler: &Compiler) {
    println!("cargo::rerun-if-env-changed={TOOLCHAIN_VARIABLE}");
    println!("cargo::rerun-if-changed={}", compiler.linker.path.display());
    for input in ebpf.depends_on.iter().chain(&["Cargo.toml", "Cargo.lock"]) {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
}

fn compile(root: &Path, ebpf: &EbpfCrate<'_>, compiler: &Compiler) -> Result<()> {
    prepare_environment(ebpf, compiler)?;
    let dir = root.join(ebpf.dir);
    let package = Package {
        name: ebpf.name,
        root_dir: dir.to_str().context("the workspace's path is not UTF-8")?,
        ..Package::default()
    };
    let toolchain = aya_build::Toolchain::Custom(&compiler.toolchain.name);
    aya_build::build_ebpf([package], toolchain)
}

/// Configures the cargo that `aya_build` runs; it can be reached through the environment only.
fn prepare_environment(ebpf: &EbpfCrate<'_>, compiler: &Compiler) -> Result<()> {
    let linker = compiler.linker.path.as_os_str();
    let mut variables = vec![
        // An absolute path, or the linker in ~/.cargo/bin would win over the one that was chosen.
        ("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", linker.to_owned()),
        ("CARGO_TARGET_BPFEB_UNKNOWN_NONE_LINKER", linker.to_owned()),
        // aya_build shows everything cargo says as a warning: only real ones are wanted.
        ("CARGO_TERM_QUIET", "true".into()),
        ("CARGO_TERM_VERBOSE", "false".into()),
    ];
    if compiler.toolchain.core == Core::Compiled {
        // By name: the value 1 would make aya_build ask for build-std.
        let crates = format!("aya_ebpf,{}", ebpf.name.replace('-', "_"));
        variables.push(("RUSTC_BOOTSTRAP", crates.into()));
    }
    if compiler.toolchain.name.starts_with('/') {
        variables.push(("PATH", path_starting_with(&compiler.toolchain.name)?));
    }
    for (name, value) in variables {
        // SAFETY: a build script calls this from its only thread, so nothing reads the environment
        // meanwhile.
        unsafe { env::set_var(name, value) };
    }
    Ok(())
}

/// Without rustup, `aya_build` takes cargo and rustc from `PATH`.
fn path_starting_with(prefix: &str) -> Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path);
    let dirs = iter::once(Path::new(prefix).join("bin")).chain(dirs);
    env::join_paths(dirs).context("PATH cannot be extended")
}

/// A path that cargo tells every build script.
fn cargo_path(variable: &str) -> Result<PathBuf> {
    env::var_os(variable)
        .map(PathBuf::from)
        .with_context(|| format!("{variable} is not set: run this through cargo"))
}
