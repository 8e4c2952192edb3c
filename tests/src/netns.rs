//! Network namespaces that delete themselves.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, bail};
use nix::sched::{CloneFlags, setns};

use crate::{command, stale};

/// Where `ip` keeps named namespaces.
pub(crate) const FOLDER: &str = "/run/netns";

/// Settings of every new interface: quiet, and its addresses usable at once. Counters are asserted,
/// so nothing may be sent that nobody asked for. What the kernel cannot be kept from, the membership
/// reports of an interface's first address, at least follow each other at once.
const SETTINGS: [(&str, &str); 7] = [
    ("ipv6/conf/default/accept_dad", "0"),
    ("ipv6/conf/default/dad_transmits", "0"),
    ("ipv6/conf/default/router_solicitations", "0"),
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/addr_gen_mode", "1"),
    ("ipv6/conf/default/mldv2_unsolicited_report_interval", "1"),
    ("ipv4/igmp_link_local_mcast_reports", "0"),
];

/// A network namespace of its own, with loopback up.
///
/// A handle: clones name the same namespace, and it is deleted with the last of them, processes
/// that still run inside it killed. Interfaces and servers hold one, so the order in which a test's
/// values are dropped does not matter.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Owned>);

#[derive(Debug)]
struct Owned {
    name: String,
}

impl Namespace {
    /// Creates a namespace; `role` makes its name readable.
    pub fn new(role: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            bail!("network namespaces need root: run this with sudo");
        }
        stale::remove_once();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}-{number}-{role}", stale::PREFIX, std::process::id());
        command::run(&format!("ip netns add {name}"))?;
        let namespace = Self(Arc::new(Owned { name }));
        namespace.set_up()?;
        Ok(namespace)
    }

    fn set_up(&self) -> Result<()> {
        self.run(|| {
            for (name, value) in SETTINGS {
                set(name, value)?;
            }
            Ok(())
        })?;
        self.ip("link set lo up")?;
        Ok(())
    }

    /// The name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The file that stands for the namespace.
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.0.name)
    }

    /// Runs `work` on a thread of its own inside the namespace and returns what it returned.
    ///
    /// Files and processes stay the caller's; only the network is the namespace's. A process started
    /// by `work` would die with the thread if it asks for that: start it by [`Self::command`].
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                self.enter()?;
                work()
            });
            inside
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread, for good, into the namespace.
    pub fn enter(&self) -> Result<()> {
        let path = self.path();
        let file = File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        setns(file, CloneFlags::CLONE_NEWNET)
            .with_context(|| format!("cannot enter the namespace {}", self.name()))
    }

    /// A command that runs in the namespace and dies with the thread that spawned it.
    ///
    /// `nsenter` and `setpriv` become the program, so the child's process id is the program's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display()));
        command
            .args(["setpriv", "--pdeathsig", "KILL", "--"])
            .arg(program);
        command
    }

    /// Runs `ip` with these arguments on the namespace and returns what it printed.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        command::run(&format!("ip -n {} {arguments}", self.name()))
    }

    /// Makes every address of `prefix` an address of this host, so that a whole network of clients
    /// or services can live here.
    pub fn own_prefix(&self, prefix: &str) -> Result<()> {
        self.ip(&format!("route add local {prefix} dev lo"))?;
        Ok(())
    }

    /// Sets a kernel setting of the namespace, such as `ipv4/tcp_syncookies`.
    pub fn set(&self, name: &str, value: &str) -> Result<()> {
        self.run(|| set(name, value))
    }

    /// Whether the namespace with this name exists.
    pub fn exists(name: &str) -> bool {
        Path::new(FOLDER).join(name).exists()
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        stale::remove_namespace(&self.name);
    }
}

/// Writes a setting of the calling thread's namespace.
fn set(name: &str, value: &str) -> Result<()> {
    fs::write(Path::new("/proc/sys/net").join(name), value)
        .with_context(|| format!("cannot set net/{name} to {value}"))
}
