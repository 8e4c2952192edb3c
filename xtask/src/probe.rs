//! Looks for eBPF compilers and linkers on this machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{Core, Linker, Survey, TOOLCHAIN_VARIABLE, Toolchain, tools_dir};

/// Where Debian's `rustc-web`, `cargo-web` and `libstd-rust-web-dev-bpf` live.
const DEBIAN_PREFIX: &str = "/usr";
/// Holds a compiled `core` for eBPF, below a sysroot.
const CORE_DIR: &str = "lib/rustlib/bpfel-unknown-none/lib";
/// Holds the standard library's source, below a sysroot.
const SOURCE_DIR: &str = "lib/rustlib/src/rust/library";
/// How much of a bpf-linker is searched for the library it needs: that table is near the start.
const LINKER_HEAD_BYTES: usize = 1 << 20;

impl Survey {
    /// Looks at this machine, for the workspace at `root`.
    ///
    /// Fails only when `GUARD_EBPF_TOOLCHAIN` names a toolchain that cannot compile eBPF.
    pub(crate) fn of_machine(root: &Path) -> Result<Self> {
        let toolchains = match env::var(TOOLCHAIN_VARIABLE) {
            Ok(name) if !name.is_empty() => vec![named_toolchain(&name)?],
            _ => found_toolchains(),
        };
        let own = [tools_dir(root).join("bin/bpf-linker")];
        let linkers = own
            .into_iter()
            .chain(on_path("bpf-linker"))
            .filter_map(probe_linker)
            .collect();
        Ok(Self {
            toolchains,
            linkers,
        })
    }
}

/// The executables called `program` on `PATH`, in its order.
pub(crate) fn on_path(program: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|dir| dir.join(program))
        .filter(|file| file.is_file())
        .collect()
}

fn named_toolchain(name: &str) -> Result<Toolchain> {
    let toolchain = probe_toolchain(name).with_context(|| {
        format!(
            "{TOOLCHAIN_VARIABLE} names {name}, whose rustc does not run: install it, or unset the \
             variable and run `cargo xtask setup`"
        )
    })?;
    toolchain.with_context(|| {
        format!(
            "{TOOLCHAIN_VARIABLE} names {name}, which is no nightly with rust-src and has no \
             compiled core for bpfel-unknown-none: add rust-src, or unset the variable and run \
             `cargo xtask setup`"
        )
    })
}

fn found_toolchains() -> Vec<Toolchain> {
    let debian = Path::new(DEBIAN_PREFIX);
    let debian = debian.join("bin/cargo").is_file() && debian.join(CORE_DIR).is_dir();
    nightlies_with_source()
        .into_iter()
        .chain(debian.then(|| DEBIAN_PREFIX.to_owned()))
        .filter_map(|name| probe_toolchain(&name).ok().flatten())
        .collect()
}

/// The undated nightly first, then the newest. Without rustup nothing could run them.
fn nightlies_with_source() -> Vec<String> {
    if on_path("rustup").is_empty() {
        return Vec::new();
    }
    let home = env::var_os("RUSTUP_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".rustup")));
    let toolchains = home.and_then(|home| fs::read_dir(home.join("toolchains")).ok());
    let names = toolchains
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join(SOURCE_DIR).is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok());
    nightlies_by_preference(names)
}

/// The nightlies among the names of toolchains: the undated one first, then the newest.
pub(crate) fn nightlies_by_preference(names: impl Iterator<Item = String>) -> Vec<String> {
    let dated = |name: &str| name.starts_with("nightly-2");
    let mut names: Vec<_> = names.filter(|name| name.starts_with("nightly")).collect();
    names.sort_by(|a, b| dated(a).cmp(&dated(b)).then_with(|| b.cmp(a)));
    names
}

/// `None` when its rustc works but cannot compile `core` for eBPF.
fn probe_toolchain(name: &str) -> Result<Option<Toolchain>> {
    let meta = rustc(name, &["-vV"])?;
    let sysroot = rustc(name, &["--print", "sysroot"])?;
    let sysroot = Path::new(sysroot.trim());
    let has_source = sysroot.join(SOURCE_DIR).is_dir();
    let core = if sysroot.join(CORE_DIR).is_dir() {
        Core::Compiled
    } else if has_source && is_nightly(&meta) {
        Core::Source
    } else {
        return Ok(None);
    };
    Ok(Some(Toolchain {
        name: name.to_owned(),
        core,
        llvm: llvm_of_rustc(&meta),
    }))
}

fn rustc(toolchain: &str, args: &[&str]) -> Result<String> {
    let mut command = if toolchain.starts_with('/') {
        Command::new(Path::new(toolchain).join("bin/rustc"))
    } else {
        let mut rustup = Command::new("rustup");
        rustup.args(["run", toolchain, "rustc"]);
        rustup
    };
    stdout_of(command.args(args))
}

fn is_nightly(meta: &str) -> bool {
    meta.lines()
        .filter_map(|line| line.strip_prefix("release: "))
        .any(|release| release.ends_with("-nightly") || release.ends_with("-dev"))
}

fn llvm_of_rustc(meta: &str) -> Option<u32> {
    let version = meta
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?;
    leading_number(version.as_bytes())
}

/// `None` when it does not start, for one because its LLVM was uninstalled.
fn probe_linker(path: PathBuf) -> Option<Linker> {
    stdout_of(Command::new(&path).arg("--version")).ok()?;
    let mut head = fs::read(&path).ok()?;
    head.truncate(LINKER_HEAD_BYTES);
    Some(Linker {
        path,
        llvm: llvm_of_linker(&head),
    })
}

/// From the shared library it needs: `libLLVM.so.22.1`, before LLVM 18 `libLLVM-17.so.1`.
fn llvm_of_linker(head: &[u8]) -> Option<u32> {
    [&b"libLLVM.so."[..], b"libLLVM-"].iter().find_map(|name| {
        let at = head
            .windows(name.len())
            .position(|window| window == *name)?;
        leading_number(&head[at + name.len()..])
    })
}

fn leading_number(text: &[u8]) -> Option<u32> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(&text[..digits]).ok()?.parse().ok()
}

/// What `command` prints; the error is the first line of what it says of its failure.
pub(crate) fn stdout_of(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_owned();
    let name = Path::new(&name).display();
    let output = command
        .output()
        .with_context(|| format!("cannot start {name}"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let reason = stderr.lines().next().unwrap_or("it does not say why");
    ensure!(output.status.success(), "{name} failed: {reason}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_undated_nightly_comes_first_then_the_newest() {
        let names = [
            "stable-x",
            "nightly-2026-01-02-x",
            "nightly-x",
            "nightly-2026-03-01-x",
        ];
        let sorted = nightlies_by_preference(names.into_iter().map(String::from));
        assert_eq!(
            sorted,
            ["nightly-x", "nightly-2026-03-01-x", "nightly-2026-01-02-x"]
        );
    }

    #[test]
    fn versions_are_read_from_rustc_and_from_the_linker() {
        let meta = "rustc 1.97.0-nightly\nrelease: 1.97.0-nightly\nLLVM version: 22.1.8\n";
        assert!(is_nightly(meta));
        assert!(!is_nightly("release: 1.96.0\n"));
        assert_eq!(llvm_of_rustc(meta), Some(22));
        assert_eq!(llvm_of_linker(b"\0libc.so.6\0libLLVM.so.22.1\0"), Some(22));
        assert_eq!(llvm_of_linker(b"\0libLLVM-17.so.1\0"), Some(17));
        assert_eq!(llvm_of_linker(b"\0libc.so.6\0"), None);
    }
}
