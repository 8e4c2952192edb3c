//! Which thread runs where, and before whom.

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::command;

/// Lets the calling thread run on one CPU only.
pub(crate) fn pin_to(cpu: usize) -> Result<()> {
    pin(own_thread()?, cpu)
}

/// The CPUs that the calling thread may run on.
pub(crate) fn cpus() -> Result<Vec<usize>> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("on which CPUs may this run?")?;
    let cpus = 0..CpuSet::count();
    Ok(cpus
        .filter(|cpu| allowed.is_set(*cpu) == Ok(true))
        .collect())
}

/// Lets the calling thread run only when nobody else wants to, or like everybody again.
pub(crate) fn yield_to_others(yields: bool) -> Result<()> {
    let policy = if yields { "--idle" } else { "--other" };
    command::run(&format!("chrt {policy} --pid 0 {}", own_thread()?))?;
    Ok(())
}

fn own_thread() -> Result<i32> {
    let path = std::fs::read_link("/proc/thread-self").context("no /proc")?;
    let thread = path
        .file_name()
        .and_then(|name| name.to_str())
        .context("no thread id")?;
    Ok(thread.parse()?)
}

/// Lets every thread of a process run on the last CPU only.
///
/// # Errors
/// There is no such process.
pub fn pin_to_last_cpu(process: u32) -> Result<()> {
    let threads = format!("/proc/{process}/task");
    for thread in std::fs::read_dir(&threads).with_context(|| format!("cannot read {threads}"))? {
        let name = thread?.file_name();
        let thread = name.to_str().context("a thread's number")?.parse()?;
        pin(thread, last_cpu()?)?;
    }
    Ok(())
}

/// The number of the last CPU.
///
/// # Errors
/// The kernel does not say how many there are.
pub fn last_cpu() -> Result<usize> {
    let cpus = std::thread::available_parallelism().context("how many CPUs?")?;
    Ok(cpus.get() - 1)
}

/// Lets a thread run on the last CPU only, and before all processes.
pub(crate) fn realtime_on_last_cpu(thread: i32) -> Result<()> {
    command::run(&format!("chrt --fifo --pid 1 {thread}"))?;
    pin(thread, last_cpu()?)
}

fn pin(thread: i32, cpu: usize) -> Result<()> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(Pid::from_raw(thread), &cpus)
        .with_context(|| format!("cannot pin thread {thread} to CPU {cpu}"))
}
