//! The kernel, its settings and what this process may do.

use std::{fs, path::Path};

use anyhow::{Result, ensure};
use nix::{sys::utsname::uname, unistd::geteuid};

use super::{AS_ROOT, Check};
use crate::kernel::Place;

/// The first kernel with XDP programs for packets in several buffers and `bpf_xdp_load_bytes`.
const KERNEL: (u32, u32) = (5, 18);
/// The first kernel with tcx.
const TCX_KERNEL: (u32, u32) = (6, 6);

/// Capabilities that `guard run` needs, and their bits (`linux/capability.h`).
const CAPABILITIES: [(&str, u32); 3] =
    [("CAP_NET_ADMIN", 12), ("CAP_PERFMON", 38), ("CAP_BPF", 39)];
/// The capability that implies the other two of BPF.
const CAP_SYS_ADMIN: u32 = 21;

const TYPES: &str = "/sys/kernel/btf/vmlinux";
const JIT_SETTING: &str = "/proc/sys/net/core/bpf_jit_enable";
const STATISTICS_SETTING: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The kernel's version.
pub(super) fn kernel() -> Check {
    let release = uname().map(|name| name.release().to_string_lossy().into_owned());
    let release = release.unwrap_or_default();
    judge_kernel(&release)
}

pub(super) fn judge_kernel(release: &str) -> Check {
    const REMEDY: &str = "boot a kernel of 5.18 or later";
    let shown = release.escape_default();
    match version(release) {
        Some(version) if version >= TCX_KERNEL => Check::ok("kernel", shown.to_string()),
        Some(version) if version >= KERNEL => {
            let found = format!("{shown}; without tcx, which is 6.6's and not needed so far");
            Check::ok("kernel", found)
        }
        Some(_) => Check::fail(
            "kernel",
            format!("{shown} has no XDP for packets in several buffers"),
            REMEDY,
        ),
        None => Check::warn("kernel", format!("version `{shown}` says nothing"), REMEDY),
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The kernel's description of its types.
pub(super) fn types() -> Check {
    if Path::new(TYPES).exists() {
        return Check::ok("btf", TYPES);
    }
    let remedy = "guard does without; a kernel with CONFIG_DEBUG_INFO_BTF=y lets bpftool show more";
    Check::warn("btf", "the kernel does not describe its types", remedy)
}

/// The capabilities that `guard run` needs and this process has not.
pub(crate) fn missing_capabilities() -> Vec<&'static str> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    missing_from(&status)
}

/// Refuses to go on with `command` without them. To be said before anything else, which would fail
/// for reasons that are none.
pub(crate) fn demand_capabilities(command: &str) -> Result<()> {
    let missing = missing_capabilities();
    ensure!(
        missing.is_empty(),
        "`{command}` needs the capabilities CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and this process \
         has no {}: start it as root, with sudo, or as a user that is given these three",
        missing.join(", ")
    );
    Ok(())
}

pub(super) fn missing_from(status: &str) -> Vec<&'static str> {
    let mut lines = status.lines();
    let effective = lines
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or_default();
    let has = |bit: u32| effective >> bit & 1 == 1;
    let is_there = |bit: u32| has(bit) || (bit >= 38 && has(CAP_SYS_ADMIN));
    let missing = CAPABILITIES.into_iter().filter(|(_, bit)| !is_there(*bit));
    missing.map(|(name, _)| name).collect()
}

/// What this process may do, of which some is `missing`.
pub(super) fn privileges(missing: &[&str]) -> Check {
    if missing.is_empty() {
        return Check::ok("privileges", "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
    }
    let found = format!("without {}", missing.join(", "));
    if geteuid().is_root() {
        let remedy = "give them to this container or service: `guard run` needs them";
        return Check::fail("privileges", found, remedy);
    }
    Check::warn(
        "privileges",
        found,
        "run `guard run` as root or with these capabilities, and `guard doctor` for all it can say as \
         root",
    )
}

/// Whether programs become machine code, as one that is loaded may show.
pub(super) fn compiler(compiled: Option<bool>) -> Check {
    let setting = setting(JIT_SETTING).map(|value| value != "0");
    // The kernel hides the machine code from some who may load it, so only its presence tells.
    match setting.or(compiled.filter(|compiled| *compiled)) {
        Some(true) => Check::ok("jit", "on"),
        Some(false) => Check::warn(
            "jit",
            "off: programs are interpreted, which takes several times as long",
            "`sysctl -w net.core.bpf_jit_enable=1`",
        ),
        None => Check::warn("jit", "the setting cannot be read here", AS_ROOT),
    }
}

/// The kernel's statistics of programs, which cost time.
pub(super) fn statistics() -> Check {
    match setting(STATISTICS_SETTING).as_deref() {
        Some("0") => Check::ok("bpf_stats", "off"),
        Some(_) => Check::warn(
            "bpf_stats",
            "on: every packet takes some 85 ns longer",
            "`sysctl -w kernel.bpf_stats_enabled=0`",
        ),
        None => Check::warn("bpf_stats", "the setting cannot be read here", AS_ROOT),
    }
}

/// Whether maps can be pinned in `folder`.
pub(super) fn pins(folder: &Path) -> Check {
    let shown = folder.display();
    if Place::possible(folder) {
        return Check::ok("bpffs", format!("maps can be pinned in {shown}"));
    }
    let found = format!("no BPF file system for {shown}, so maps are not pinned");
    Check::warn("bpffs", found, "`mount -t bpf bpf /sys/fs/bpf`")
}

fn setting(path: &str) -> Option<String> {
    fs::read_to_string(path)
        .ok()
        .map(|value| value.trim().to_owned())
}
