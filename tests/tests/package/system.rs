//! A small Debian that runs in namespaces of its own, on a network that is somebody's.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Namespace, Scratch,
    process::{Ready, Server},
};

/// How long a system lives at most, whoever forgets it.
const LIFETIME: &str = "900";

/// Mounts, over the root that is kept and shared, a file system in memory that takes all changes:
/// what a system changes goes with it.
///
/// The BPF file system is closed to all but root, as systemd mounts it.
const SET_UP: &str = r#"
    set -e
    mount -t tmpfs none "$1"
    mkdir "$1/changes" "$1/work" "$1/root"
    mount -t overlay -o "lowerdir=$2,upperdir=$1/changes,workdir=$1/work" none "$1/root"
    mount -t proc none "$1/root/proc"
    mount -t sysfs none "$1/root/sys"
    mount -t bpf -o mode=0700 none "$1/root/sys/fs/bpf"
    mount -t tmpfs -o mode=0755 none "$1/root/run"
    exec chroot "$1/root" sh -c 'echo ready; exec sleep "$0"' "$3"
"#;

/// The system. Dropping it ends whatever runs in it, and nothing of its files and mounts is left.
pub(crate) struct System {
    /// Process 1 of the system's own numbers; the others end with it.
    first: u32,
    _holder: Server,
    namespace: Namespace,
    scratch: Scratch,
}

impl System {
    /// Starts one in this network namespace.
    pub(crate) fn start(namespace: &Namespace) -> Result<Self> {
        let scratch = Scratch::new()?;
        let place = scratch.join("system");
        fs::create_dir(&place)?;
        let mut holder = namespace.command("unshare");
        holder.args(["--mount", "--propagation", "private"]);
        holder.args(["--pid", "--fork", "--kill-child"]);
        holder.args(["sh", "-c", SET_UP, "sh"]).arg(place);
        holder.arg(debian()?).arg(LIFETIME);
        let ready = Ready::Line("ready");
        let holder = Server::start(namespace, holder, &scratch.join("holder.log"), ready)?;
        Ok(Self {
            first: only_child(holder.pid())?,
            _holder: holder,
            namespace: namespace.clone(),
            scratch,
        })
    }

    /// A command that runs in the system as its root.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string()]);
        command.args(["--mount", "--pid", "--net", "--root", "--wd", "--"]);
        command.args(["env", "--ignore-environment", "LC_ALL=C.UTF-8"]);
        command.args(["DEBIAN_FRONTEND=noninteractive"]);
        command.arg("PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a line of shell, which has to succeed, and returns what it printed.
    pub(crate) fn shell(&self, line: &str) -> Result<String> {
        let Output {
            status,
            stdout,
            stderr,
        } = self.try_shell(line)?;
        let (printed, said) = (lossy(&stdout), lossy(&stderr));
        ensure!(status.success(), "`{line}` ({status}):\n{printed}{said}");
        Ok(printed + &said)
    }

    /// Runs a line of shell.
    pub(crate) fn try_shell(&self, line: &str) -> Result<Output> {
        let mut shell = self.command("sh");
        shell.args(["-c", line]).output().context("cannot run sh")
    }

    /// Starts a program that goes on, with what it prints kept under this name.
    pub(crate) fn serve(&self, command: Command, name: &str) -> Result<Server> {
        let printed = self.scratch.join(name);
        Server::start(&self.namespace, command, &printed, Ready::Started)
    }

    /// Where a file of the system is, seen from outside.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        Path::new("/proc")
            .join(self.first.to_string())
            .join("root")
            .join(file.trim_start_matches('/'))
    }

    /// Copies a file into the system.
    pub(crate) fn bring(&self, file: &Path, place: &str) -> Result<()> {
        fs::copy(file, self.path(place)).with_context(|| format!("cannot bring {place}"))?;
        Ok(())
    }

    /// Reads a file of the system.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        fs::read_to_string(self.path(file)).with_context(|| format!("cannot read {file}"))
    }

    /// Whether there is anything of this name.
    pub(crate) fn has(&self, file: &str) -> bool {
        fs::symlink_metadata(self.path(file)).is_ok()
    }

    /// The network it is on.
    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }
}

/// The small Debian that `cargo xtask setup` unpacked.
fn debian() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debian-root");
    folder
        .canonicalize()
        .with_context(|| format!("no {}: run `cargo xtask setup`", folder.display()))
}

/// The one process that this one started.
fn only_child(parent: u32) -> Result<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    let child = children.trim();
    child
        .parse()
        .with_context(|| format!("unshare has started «{child}»"))
}

pub(crate) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
