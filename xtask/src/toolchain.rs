//! Selects the compiler and the linker that turn the eBPF crates into objects.
//!
//! `xtask` uses it, and through `embed.rs` so do the build scripts; hence std and anyhow only.

#[path = "probe.rs"]
pub(crate) mod probe;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail};

/// Environment variable with the one compiler to use: a rustup toolchain or an absolute prefix such
/// as `/usr`.
pub(crate) const TOOLCHAIN_VARIABLE: &str = "GUARD_EBPF_TOOLCHAIN";

/// How a toolchain comes by `core` for eBPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Core {
    /// A nightly that builds it from rust-src.
    Source,
    /// Installed compiled; the compiler may be a stable one.
    Compiled,
}

/// A Rust toolchain that can compile eBPF crates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// What `rustup run` takes: a toolchain's name or the absolute prefix it is installed under.
    pub(crate) name: String,
    /// Where its `core` comes from.
    pub(crate) core: Core,
    /// Major version of its LLVM, if it says.
    pub(crate) llvm: Option<u32>,
}

/// A bpf-linker that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Linker {
    /// The executable.
    pub(crate) path: PathBuf,
    /// Major version of the LLVM it was built on; `None` when linked statically.
    pub(crate) llvm: Option<u32>,
}

/// A toolchain and a linker that fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// Compiles the crates to LLVM bitcode.
    pub(crate) toolchain: Toolchain,
    /// Turns the bitcode into an eBPF object.
    pub(crate) linker: Linker,
}

/// What this machine has, in order of preference.
#[derive(Debug)]
pub(crate) struct Survey {
    /// Only the one the user named, else every usable one.
    pub(crate) toolchains: Vec<Toolchain>,
    /// The workspace's own before those on `PATH`.
    pub(crate) linkers: Vec<Linker>,
}

impl Survey {
    /// The first toolchain with the first linker that reads its bitcode.
    ///
    /// The error says what is missing and what to do about it.
    pub(crate) fn compiler(&self) -> Result<Compiler> {
        for toolchain in &self.toolchains {
            if let Some(linker) = self.linkers.iter().find(|linker| linker.reads(toolchain)) {
                return Ok(Compiler {
                    toolchain: toolchain.clone(),
                    linker: linker.clone(),
                });
            }
        }
        let Some(toolchain) = self.toolchains.first() else {
            bail!(
                "no compiler for eBPF on this machine: run `cargo xtask setup`, which installs one"
            );
        };
        let Some(linker) = self.linkers.first() else {
            bail!(
                "no working bpf-linker in target/tools/bin or on PATH: run `cargo xtask setup`, \
                 which builds one"
            );
        };
        bail!(
            "{linker} is older than the eBPF compiler {toolchain}: run `cargo xtask setup`, which \
             builds a newer one"
        );
    }
}

impl Linker {
    /// Whether it can read what `toolchain` writes: LLVM reads its own and older bitcode. Unknown
    /// versions get the benefit of the doubt; if they do not fit, the build fails and says so.
    pub(crate) fn reads(&self, toolchain: &Toolchain) -> bool {
        match (self.llvm, toolchain.llvm) {
            (Some(linker), Some(compiler)) => linker >= compiler,
            _ => true,
        }
    }
}

impl fmt::Display for Linker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bpf-linker {}", self.path.display())?;
        self.llvm.map_or(Ok(()), |llvm| write!(f, " (LLVM {llvm})"))
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        self.llvm.map_or(Ok(()), |llvm| write!(f, " (LLVM {llvm})"))
    }
}

/// Where the workspace at `root` keeps the tools it builds for itself, whatever the target folder.
pub(crate) fn tools_dir(root: &Path) -> PathBuf {
    root.join("target/tools")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain(name: &str, core: Core, llvm: u32) -> Toolchain {
        Toolchain {
            name: name.to_owned(),
            core,
            llvm: Some(llvm),
        }
    }

    fn linker(path: &str, llvm: Option<u32>) -> Linker {
        Linker {
            path: path.into(),
            llvm,
        }
    }

    fn chosen(toolchains: &[Toolchain], linkers: &[Linker]) -> Result<(String, PathBuf)> {
        let survey = Survey {
            toolchains: toolchains.to_vec(),
            linkers: linkers.to_vec(),
        };
        let compiler = survey.compiler()?;
        Ok((compiler.toolchain.name, compiler.linker.path))
    }

    #[test]
    fn nightly_goes_before_debian_and_the_own_linker_before_path() {
        let toolchains = [
            toolchain("nightly", Core::Source, 22),
            toolchain("/usr", Core::Compiled, 22),
        ];
        let linkers = [linker("own", Some(22)), linker("path", Some(23))];
        let (name, path) = chosen(&toolchains, &linkers).expect("all fits");
        assert_eq!((name.as_str(), path), ("nightly", "own".into()));
    }

    #[test]
    fn a_nightly_too_new_for_every_linker_is_passed_over() {
        let toolchains = [
            toolchain("nightly", Core::Source, 23),
            toolchain("/usr", Core::Compiled, 22),
        ];
        let (name, _) = chosen(&toolchains, &[linker("own", Some(22))]).expect("/usr fits");
        assert_eq!(name, "/usr");
    }

    #[test]
    fn a_linker_too_old_is_passed_over() {
        let toolchains = [toolchain("/usr", Core::Compiled, 22)];
        let linkers = [linker("own", Some(21)), linker("path", Some(22))];
        let (_, path) = chosen(&toolchains, &linkers).expect("the second fits");
        assert_eq!(path, PathBuf::from("path"));
    }

    #[test]
    fn a_linker_of_unknown_llvm_is_tried() {
        let toolchains = [toolchain("/usr", Core::Compiled, 22)];
        chosen(&toolchains, &[linker("static", None)]).expect("it may fit");
    }

    #[test]
    fn what_is_missing_is_named_with_its_fix() {
        let debian = [toolchain("/usr", Core::Compiled, 22)];
        let cases = [
            (&[][..], &[][..], "no compiler for eBPF"),
            (&debian, &[], "no working bpf-linker"),
            (
                &debian,
                &[linker("old", Some(19))],
                "bpf-linker old (LLVM 19) is older",
            ),
        ];
        for (toolchains, linkers, expected) in cases {
            let error = chosen(toolchains, linkers).expect_err(expected).to_string();
            assert!(error.starts_with(expected), "{error}");
            assert!(error.contains("`cargo xtask setup`"), "{error}");
        }
    }
}
