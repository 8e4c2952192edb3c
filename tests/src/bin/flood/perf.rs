//! `perf`, which looks many times a second at what a processor is doing.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};
use lab::{Scratch, command, scheduling::last_cpu};

/// How often it looks, in times a second: no divisor of what the kernel does at regular intervals.
pub(crate) const FREQUENCY: u32 = 1_999;
/// Virtual machines often have no hardware counters; every one has a clock.
pub(crate) const EVENT: &str = "cpu-clock";

/// What `perf script` is to list of a sample: the thread, the address and the function.
const FIELDS: &str = "tid,ip,sym";

/// Sees to it that it is there.
///
/// # Errors
/// It is not on this machine.
pub(crate) fn demand() -> Result<()> {
    let mut perf = Command::new("perf");
    command::output(perf.arg("--version")).context(
        "the profile of the receiver needs perf, which Debian has in the package linux-perf: \
         `cargo xtask setup` installs it",
    )?;
    Ok(())
}

/// Looks for so long at what these threads do on the last processor. Returns the function of each sample.
pub(crate) fn record(threads: &[i32], time: Duration) -> Result<Vec<String>> {
    let folder = Scratch::new()?;
    let file = folder.join("perf.data");
    command::output(&mut recording(&file, time)?)?;
    let mut script = Command::new("perf");
    script.args(["script", "--fields", FIELDS, "--input"]);
    let functions = functions(&command::output(script.arg(&file))?, threads);
    ensure!(
        functions.iter().any(|function| function != UNKNOWN),
        "perf saw nothing of the threads {threads:?}, or knows no function of the kernel by its name \
         (kernel.kptr_restrict)"
    );
    Ok(functions)
}

/// On the first processor, so that it takes no time of what it looks at.
fn recording(file: &Path, time: Duration) -> Result<Command> {
    let mut perf = Command::new("taskset");
    perf.args(["--cpu-list", "0", "perf", "record", "--quiet"]);
    perf.args(["--event", EVENT, "--freq", &FREQUENCY.to_string()]);
    perf.args(["--cpu", &last_cpu()?.to_string(), "--output"]);
    perf.arg(file).args(["--", "sleep"]);
    perf.arg(time.as_secs_f64().to_string());
    Ok(perf)
}

/// What perf calls a function whose name it does not know.
const UNKNOWN: &str = "[unknown]";

/// The functions of the samples of these threads.
pub(crate) fn functions(listed: &str, threads: &[i32]) -> Vec<String> {
    let samples = listed.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let thread: i32 = words.next()?.parse().ok()?;
        let function = words.nth(1)?;
        threads.contains(&thread).then(|| function.to_owned())
    });
    samples.collect()
}
