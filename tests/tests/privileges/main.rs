//! What the agent may do once it protects, as whom it runs, and what it tells whoever started it.

#![forbid(unsafe_code)]

mod given_up;
mod own_user;
mod reach;
mod supervised;
mod unit;

use std::{
    collections::BTreeMap,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lab::{agent::Agent, machine, process::Server, stage::INTERFACE};

/// For whatever is to happen.
const PATIENCE: Duration = Duration::from_mins(1);
const FLAGS: [&str; 2] = ["--iface", INTERFACE];
/// `CAP_NET_ADMIN`, `CAP_PERFMON` and `CAP_BPF`, as bits (`linux/capability.h`).
const KEPT: u64 = 1 << 12 | 1 << 38 | 1 << 39;

/// What the kernel says of each thread of a process, by name and number of the thread.
fn threads(server: &Server) -> Result<BTreeMap<String, BTreeMap<String, String>>> {
    let mut threads = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{}/task", server.pid()))? {
        let folder = entry?.path();
        let text = fs::read_to_string(folder.join("status"))?;
        let lines = text.lines().filter_map(|line| line.split_once(":\t"));
        let fields: BTreeMap<_, _> = lines
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let name = format!("{} {}", fields["Name"], fields["Pid"]);
        threads.insert(name, fields);
    }
    Ok(threads)
}

/// A field of a thread that is a set of capabilities.
fn capabilities(thread: &BTreeMap<String, String>, field: &str) -> Result<u64> {
    let hex = thread.get(field).with_context(|| format!("no {field}"))?;
    Ok(u64::from_str_radix(hex, 16)?)
}

/// What a command of an agent answers, which has to succeed.
fn cli(agent: &Agent, words: &[&str]) -> Result<String> {
    let output = agent.cli(words)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "guard {words:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Waits for that, and not for ever.
fn wait_until(what: &str, is_so: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !is_so()? {
        if Instant::now() > deadline {
            bail!("not within {PATIENCE:?}: {what}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// What depends on the kernel the most.
#[test]
#[ignore = "boots virtual machines: `cargo xtask test --full`"]
fn older_kernels_give_up_alike() -> Result<()> {
    machine::repeat_on_older_kernels(&["--test-threads=1", "given_up::", "reach::"])
}
