//! Real captures: the packet files that Debian's tcpdump, wireshark and ndpi are tested with, many of
//! them malformed. `cargo xtask setup` fetches them.

#![forbid(unsafe_code)]

mod file;
mod judge;
mod judged;
mod readings;
mod replayed;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, ensure};
use lab::agent;

/// Debian 12 has 667; an empty folder must not pass for all is well.
const LEAST_FILES: usize = 600;
/// One file in so many is in the share that every run takes.
const SHARE: u32 = 7;
/// Files at a time: half of a run is waiting for the kernel.
const WORKERS: usize = 4;
/// How long a file may take, in seconds.
const TIMEOUT: &str = "600";
/// The longest frame that is judged: the longest IP packet behind an Ethernet header.
const MOST_FRAME: usize = 65_535 + 14;

/// Every packet file of tcpdump, in the order of the names.
fn files() -> Result<Vec<PathBuf>> {
    files_of("tcpdump", LEAST_FILES)
}

/// Every packet file of a source package, in the order of the names: so many at `least`.
fn files_of(source: &str, least: usize) -> Result<Vec<PathBuf>> {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/captures");
    let folder = captures.join(source);
    let entries = fs::read_dir(&folder)
        .with_context(|| format!("no {}: run `cargo xtask setup`", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry?.path());
    }
    files.sort();
    ensure!(files.len() >= least, "only {} captures", files.len());
    Ok(files)
}

/// By its name, so that the share stays the same when files come and go.
fn is_of_share(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    // FNV-1a.
    let hash = name.iter().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    });
    hash.is_multiple_of(SHARE)
}

/// Does `work` for each file, several at a time: what came of it, or every problem.
fn each<T: Send>(files: &[PathBuf], work: impl Fn(&Path) -> Result<T> + Sync) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let (done, problems) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    match work(path) {
                        Ok(found) => done.lock().expect("no worker panics").push(found),
                        Err(error) => {
                            let problem = format!("{}: {error:#}", path.display());
                            problems.lock().expect("no worker panics").push(problem);
                        }
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().expect("no worker panics");
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(done.into_inner().expect("no worker panics"))
}

/// Runs `guard replay` on a file.
fn replay(path: &Path, configuration: &Path, flags: &[&str]) -> Result<Output> {
    let mut command = Command::new("timeout");
    agent::without_settings(&mut command);
    command.args(["--signal=KILL", TIMEOUT]);
    command.arg(agent::binary()?).arg("replay").arg(path);
    command.arg("--config").arg(configuration).args(flags);
    command.args(["--output", "json"]);
    command.output().context("cannot run guard")
}

/// A frame as it was on the wire, where the capture has its start only: with zeros, as replay takes
/// it. Nothing where it is too short or too long to be judged.
fn on_the_wire(bytes: &[u8], wire_len: usize) -> Option<Vec<u8>> {
    let is_fit = bytes.len() >= 14 && wire_len <= MOST_FRAME;
    is_fit.then(|| {
        let mut frame = bytes.to_vec();
        frame.resize(wire_len, 0);
        frame
    })
}
