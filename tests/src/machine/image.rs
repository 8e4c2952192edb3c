//! What a machine is made of.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::archive::Archive;
use crate::agent;

/// Precedes the version that the kernel says it has.
pub(super) const KERNEL_MARK: &str = "machine: kernel ";
/// Precedes the exit code of the test binary.
pub(super) const EXIT_MARK: &str = "machine: exit code ";

/// The tests' own programs, each from where this machine has it.
const PROGRAMS: [&str; 11] = [
    "bpftool", "chrt", "curl", "ethtool", "ip", "nginx", "nsenter", "openssl", "setpriv",
    "timeout", "unshare",
];
/// Where they are, last the rest of a system.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/busybox";
/// What these programs read.
const FILES: [&str; 3] = ["/etc/group", "/etc/passwd", "/usr/lib/ssl/openssl.cnf"];
/// What is no part of Debian's kernels themselves: cables, and what classifiers were before tcx.
const MODULES: [&str; 3] = [
    "drivers/net/veth",
    "net/sched/cls_bpf",
    "net/sched/sch_ingress",
];
const MOUNTS: [(&str, &str); 5] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("bpf", "/sys/fs/bpf"),
];

/// One of Debian's kernels, unpacked.
pub(super) struct Kernel {
    /// What is booted.
    pub(super) image: PathBuf,
    /// The folder of its modules.
    modules: PathBuf,
}

impl Kernel {
    /// The kernel whose package was unpacked in `folder`.
    pub(super) fn in_folder(folder: &Path) -> Result<Self> {
        let find = || {
            let boot = fs::read_dir(folder.join("boot")).ok()?.flatten();
            let version = boot.filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some(name.strip_prefix("vmlinuz-")?.to_owned())
            });
            let version = version.last()?;
            // Debian 13 has no files outside /usr.
            let modules = ["lib/modules", "usr/lib/modules"].map(|modules| folder.join(modules));
            let mut modules = modules.map(|modules| modules.join(&version)).into_iter();
            Some(Self {
                image: folder.join(format!("boot/vmlinuz-{version}")),
                modules: modules.find(|modules| modules.is_dir())?.join("kernel"),
            })
        };
        find().with_context(|| {
            format!(
                "no kernel in {}: `cargo xtask test --full` fetches it",
                folder.display()
            )
        })
    }

    /// A module, with its name: `.ko`, or compressed.
    fn module(&self, path: &str) -> Result<PathBuf> {
        let endings = ["ko", "ko.xz"];
        let files = endings.map(|ending| self.modules.join(format!("{path}.{ending}")));
        let found = files.into_iter().find(|file| file.is_file());
        found.with_context(|| format!("the kernel has no module {path}"))
    }
}

/// Writes the files of a machine that runs `binary` with these arguments.
pub(super) fn write(
    archive: &Path,
    kernel: &Kernel,
    binary: &Path,
    arguments: &[&str],
) -> Result<()> {
    let guard = agent::binary()?;
    let mut files = Archive::create(archive).context("cannot create an archive")?;
    let init = init(binary, &guard, arguments);
    files.file(Path::new("/init"), init.as_bytes())?;
    for (_, place) in MOUNTS {
        files.folder(Path::new(place))?;
    }
    for folder in ["/busybox", "/etc", "/tmp"] {
        files.folder(Path::new(folder))?;
    }
    for module in MODULES {
        let file = kernel.module(module)?;
        let name = file.file_name().context("a module without a name")?;
        files.file(&Path::new("/modules").join(name), &fs::read(&file)?)?;
    }
    for file in FILES.map(Path::new) {
        add(&mut files, file, file)?;
    }
    add_program(&mut files, &find("busybox")?, Path::new("/bin/busybox"))?;
    for program in PROGRAMS {
        let program = find(program)?;
        add_program(&mut files, &program, &program)?;
    }
    for program in [binary, &guard] {
        add_program(&mut files, program, program)?;
    }
    files.finish().context("cannot write an archive")
}

/// What the kernel starts.
fn init(binary: &Path, guard: &Path, arguments: &[&str]) -> String {
    let mounts = MOUNTS.map(|(kind, place)| format!("mount -t {kind} {kind} {place}\n"));
    format!(
        "#!/bin/busybox sh
/bin/busybox --install -s /busybox
export PATH={PATH} GUARD_BIN={guard}
{mounts}dmesg -n 1
unxz /modules/*.xz 2> /dev/null
for module in /modules/*.ko; do insmod $module; done
ip link set lo up
echo {KERNEL_MARK}$(uname -r)
{binary} {arguments}
echo {EXIT_MARK}$?
poweroff -f
",
        guard = guard.display(),
        mounts = mounts.concat(),
        binary = binary.display(),
        arguments = arguments.join(" "),
    )
}

/// The program of this name on this machine.
fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(env::split_paths(PATH));
    let mut files = folders.map(|folder| folder.join(program));
    files
        .find(|file| file.is_file())
        .with_context(|| format!("no program {program}: run `cargo xtask setup`"))
}

/// Adds a program and the libraries it is linked with.
fn add_program<W: std::io::Write>(
    files: &mut Archive<W>,
    program: &Path,
    place: &Path,
) -> Result<()> {
    add(files, program, place)?;
    // It fails for a program that is linked with none.
    let ldd = Command::new("ldd").arg(program).output();
    let libraries = ldd.context("cannot run ldd")?.stdout;
    let libraries = String::from_utf8_lossy(&libraries);
    for library in libraries.split_whitespace().map(Path::new) {
        if library.is_absolute() {
            add(files, library, library)?;
        }
    }
    Ok(())
}

fn add<W: std::io::Write>(files: &mut Archive<W>, file: &Path, place: &Path) -> Result<()> {
    if files.has(place) {
        return Ok(());
    }
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    files.file(place, &content)?;
    Ok(())
}
