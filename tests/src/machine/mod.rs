//! Virtual machines with Debian's older kernels, in which a test binary runs its tests once more.
//!
//! They take no hardware acceleration, so they run wherever qemu does. A machine has no disk and no
//! network: a kernel, and an archive with the test binary, guard and the programs that both call.

mod archive;
mod image;

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use self::image::Kernel;
use crate::{
    Namespace, Scratch,
    process::{Ready, Server},
};

/// The kernels of Debian 12 and 13.
const KERNELS: [&str; 2] = ["6.1", "6.12"];
/// Some ten times what the longest takes.
const PATIENCE: Duration = Duration::from_hours(1);

/// Runs the tests of the calling test binary that are not ignored again on each kernel that
/// `cargo xtask test --full` has fetched, with these `arguments` to the binary, and prints what the
/// machines print. That is also left in `target/kernels/log`.
///
/// # Errors
/// A test fails there, or a machine does not come to its end.
pub fn repeat_on_older_kernels(arguments: &[&str]) -> Result<()> {
    for version in KERNELS {
        repeat_on(version, arguments).with_context(|| format!("on Linux {version}"))?;
    }
    Ok(())
}

fn repeat_on(version: &str, arguments: &[&str]) -> Result<()> {
    let binary = env::current_exe().context("where is this program?")?;
    let kernel = Kernel::in_folder(&folder().join(version))?;
    let scratch = Scratch::new()?;
    let archive = scratch.join("archive");
    image::write(&archive, &kernel, &binary, arguments)?;

    // A namespace without any interface, as it has no need of one.
    let outside = Namespace::new("machine")?;
    let mut qemu = outside.command("qemu-system-x86_64");
    // Both processors on one thread: on a thread each, one may run code that the other has just
    // replaced, and a kernel that patches itself (for each XDP program) dies of that.
    qemu.args(["-accel", "tcg,thread=single", "-smp", "2", "-m", "2G"]);
    qemu.args(["-nodefaults", "-no-reboot", "-display", "none"]);
    qemu.args([
        "-serial",
        "stdio",
        "-append",
        "console=ttyS0 quiet panic=-1",
    ]);
    qemu.arg("-kernel").arg(&kernel.image);
    qemu.arg("-initrd").arg(&archive);
    let mut qemu = Server::start(&outside, qemu, &scratch.join("console"), Ready::Started)?;
    let ended = qemu.wait(PATIENCE)?;

    let console = qemu.printed();
    println!("{console}");
    keep(&console, &binary, version)?;
    ensure!(ended.success(), "qemu ended with {ended}");
    let says = |words: &str| console.lines().any(|line| line.starts_with(words));
    ensure!(
        says(&format!("{}{version}.", image::KERNEL_MARK)),
        "the machine does not run that kernel"
    );
    ensure!(
        says(&format!("{}0", image::EXIT_MARK)),
        "tests fail there: what they printed is above"
    );
    Ok(())
}

/// Where the kernels are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kernels")
}

/// Leaves what was printed under the names of the test binary, less its hash, and of the kernel.
fn keep(console: &str, binary: &Path, version: &str) -> Result<()> {
    let name = binary.file_name().unwrap_or_default().to_string_lossy();
    let name = name.rsplit_once('-').map_or(&*name, |(name, _)| name);
    let log = folder().join("log");
    fs::create_dir_all(&log)
        .and_then(|()| fs::write(log.join(format!("{name}-{version}")), console))
        .context("cannot keep what the machine printed")
}
