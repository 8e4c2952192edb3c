//! The Debian packages guard is built and tested with, and their installation.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

use crate::{progress, service::Quiet, toolchain::probe::on_path, workspace};

/// A Debian package and what it is wanted for.
#[derive(Clone, Copy)]
pub(crate) struct Package {
    /// Its name in Debian.
    pub(crate) name: &'static str,
    /// Ends the sentence "it is installed for …".
    pub(crate) purpose: &'static str,
}

/// A program and the package it comes in.
pub(crate) struct Tool {
    /// Its name on `PATH`.
    pub(crate) program: &'static str,
    /// The Debian package with it.
    pub(crate) package: Package,
}

/// A stable Rust that compiles eBPF.
pub(crate) const COMPILER: &[Package] = &[
    package("rustc-web", "the Rust compiler that has core for eBPF"),
    package("cargo-web", "the cargo that goes with rustc-web"),
    package("libstd-rust-web-dev-bpf", "core, compiled for eBPF"),
];

/// What bpf-linker is built from.
pub(crate) const LINKER: &[Package] = &[
    package("llvm-22-dev", "LLVM, which bpf-linker is made of"),
    package("libpolly-22-dev", "a part of LLVM that it links"),
    package("zlib1g-dev", "the compression that LLVM links"),
    package("libzstd-dev", "the compression that LLVM links"),
    package("gcc", "the linker of every Rust program"),
    package("libc6-dev", "the C library that every Rust program links"),
];

/// What libFuzzer is built with.
pub(crate) const COMPILER_OF_CPP: Package = package("g++", "the compiler of libFuzzer");

/// What tells which versions of libraries a packaged binary needs.
pub(crate) const SHARED_LIBRARIES: Package =
    package("dpkg-dev", "the dependencies of guard's own package");

/// What the demo and the tests run.
pub(crate) const TOOLS: &[Tool] = &[
    tool("nginx", "nginx", "the server that guard protects"),
    tool("curl", "curl", "its clients"),
    tool("openssl", "openssl", "certificates and TLS probes"),
    tool("ip", "iproute2", "network namespaces and veth pairs"),
    tool("ethtool", "ethtool", "the offloads of the veth pairs"),
    tool("bpftool", "bpftool", "programs taken off by hand"),
    tool("nsenter", "util-linux", "commands inside a namespace"),
    tool("setpriv", "util-linux", "the agent as another user"),
    tool(
        "faketime",
        "faketime",
        "a clock that is set for the agent alone",
    ),
    tool("systemd-analyze", "systemd", "the judge of guard's unit"),
    tool("xz", "xz-utils", "archives of source packages"),
    tool("bzip2", "bzip2", "archives of source packages"),
    tool("tshark", "tshark", "another opinion of what captures hold"),
    tool("haproxy", "haproxy", "a proxy that guard protects"),
    tool(
        "redis-server",
        "redis-server",
        "a database that guard protects",
    ),
    tool("redis-benchmark", "redis-tools", "its clients"),
    tool(
        "pg_ctlcluster",
        "postgresql",
        "a database that guard protects",
    ),
    tool("sshd", "openssh-server", "a server of another protocol"),
    tool("ssh", "openssh-client", "its clients"),
    tool("h2load", "nghttp2-client", "many clients of HTTP/2"),
    tool("wrk", "wrk", "many clients of HTTP/1.1"),
    tool(
        "xdp-filter",
        "xdp-tools",
        "a peer that guard is measured against",
    ),
    tool("nft", "nftables", "another peer"),
    tool(
        "perf",
        "linux-perf",
        "profiles of what receives under a flood",
    ),
    tool(
        "prometheus-alertmanager",
        "prometheus-alertmanager",
        "a receiver of alerts",
    ),
    tool(
        "prometheus",
        "prometheus",
        "whoever scrapes guard, and checks of what it says",
    ),
    tool(
        "debootstrap",
        "debootstrap",
        "a small Debian to try guard's package in",
    ),
    tool("setcap", "libcap2-bin", "the capabilities of a file"),
    tool("lintian", "lintian", "the check of guard's package"),
];

/// What the full tests run beside that.
pub(crate) const MACHINES: &[Tool] = &[
    tool(
        "qemu-system-x86_64",
        "qemu-system-x86",
        "virtual machines with older kernels",
    ),
    tool("busybox", "busybox-static", "the shell in these machines"),
];

/// Where Debian keeps the programs that are not on every user's `PATH`.
const ADMIN_DIRS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// The packages here that start a service, and its name.
const SERVICES: &[(&str, &str)] = &[
    ("nginx", "nginx"),
    ("haproxy", "haproxy"),
    ("redis-server", "redis-server"),
    ("postgresql", "postgresql"),
    ("openssh-server", "ssh"),
    ("prometheus-alertmanager", "prometheus-alertmanager"),
    ("prometheus", "prometheus"),
];

const fn package(name: &'static str, purpose: &'static str) -> Package {
    Package { name, purpose }
}

const fn tool(program: &'static str, name: &'static str, purpose: &'static str) -> Tool {
    Tool {
        program,
        package: package(name, purpose),
    }
}

/// Whether the program is on this machine, for root at least.
pub(crate) fn has_program(program: &str) -> bool {
    let in_admin_dir = || {
        ADMIN_DIRS
            .iter()
            .any(|dir| Path::new(dir).join(program).is_file())
    };
    !on_path(program).is_empty() || in_admin_dir()
}

/// Whether this machine installs packages as Debian does.
pub(crate) fn can_install() -> bool {
    !on_path("apt-get").is_empty()
}

/// Installs those of `wanted` that are missing, saying what each is for.
pub(crate) fn install(wanted: &[Package]) -> Result<()> {
    let missing = missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|package| package.name).collect();
    let list = names.join(" ");
    ensure!(
        can_install(),
        "this machine has no apt-get: install what Debian calls {list} with its own package manager"
    );
    ensure!(
        workspace::is_root(),
        "missing packages, and only root can install them: run `cargo xtask setup` as root, or \
         `apt-get install --no-install-recommends {list}`"
    );
    for package in &missing {
        say!("installing {}: {}", package.name, package.purpose);
    }
    progress::run("package lists", apt_get().arg("update"))?;
    let quiet = Quiet::keep(services_of(&names))?;
    let mut install = apt_get();
    install.args(["install", "--yes", "--no-install-recommends"]);
    progress::run("packages", install.args(names))?;
    quiet.disable()
}

/// The services that come with these packages.
fn services_of(packages: &[&str]) -> Vec<&'static str> {
    let come = SERVICES
        .iter()
        .filter(|(package, _)| packages.contains(package));
    come.map(|&(_, service)| service).collect()
}

/// Those of `wanted` that dpkg does not know as installed; all of them where there is no dpkg.
fn missing(wanted: &[Package]) -> Vec<Package> {
    let mut query = Command::new("dpkg-query");
    query.args([
        "--show",
        "--showformat",
        "${Package} ${db:Status-Status}\\n",
    ]);
    query.args(wanted.iter().map(|package| package.name));
    let answer = query
        .output()
        .map(|output| output.stdout)
        .unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer);
    let installed = |name: &str| {
        answer
            .lines()
            .any(|line| line == format!("{name} installed"))
    };
    let missing = wanted.iter().filter(|package| !installed(package.name));
    missing.copied().collect()
}

/// `apt-get`, which asks nothing.
pub(crate) fn apt_get() -> Command {
    let mut apt_get = Command::new("apt-get");
    apt_get.env("DEBIAN_FRONTEND", "noninteractive");
    // A machine that just booted may be installing its own updates.
    apt_get.args(["--option", "DPkg::Lock::Timeout=300"]);
    apt_get
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_those_of_what_is_installed() {
        let services = services_of(&["curl", "openssh-server", "nginx"]);
        assert_eq!(services, ["nginx", "ssh"]);
        assert!(services_of(&["curl"]).is_empty());
    }

    #[test]
    fn who_brings_a_service_is_among_the_tools() {
        for (package, _) in SERVICES {
            assert!(TOOLS.iter().any(|tool| tool.package.name == *package));
        }
    }
}
