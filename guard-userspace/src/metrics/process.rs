//! The agent as a process: what every exporter tells of itself, under the usual names.
//!
//! All of it comes from `/proc`. What cannot be read there is left out: nobody is worse protected
//! for it, and a scrape that fails would say so.

use std::{fs, str::FromStr};

use anyhow::Result;
use nix::unistd::{SysconfVar, sysconf};
use prometheus::{Counter, Gauge, Registry};

/// Registers what is known of this process at this moment.
pub(super) fn register(registry: &Registry) -> Result<()> {
    let process = Process::read();
    for (name, help, value) in process.gauges() {
        if let Some(value) = value {
            let gauge = Gauge::new(name, help)?;
            gauge.set(value);
            registry.register(Box::new(gauge))?;
        }
    }
    if let Some(seconds) = process.cpu_seconds {
        let name = "process_cpu_seconds_total";
        let counter = Counter::new(name, "Processor time that the agent has used, in seconds.")?;
        counter.inc_by(seconds);
        registry.register(Box::new(counter))?;
    }
    Ok(())
}

/// What `/proc` tells.
#[derive(Debug, Default)]
struct Process {
    cpu_seconds: Option<f64>,
    started_at: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    threads: Option<f64>,
    open_files: Option<f64>,
    max_files: Option<f64>,
}

impl Process {
    fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        // One of them is the folder, which is open while it is read.
        let files = fs::read_dir("/proc/self/fd").map(|files| files.count().saturating_sub(1));
        Self {
            open_files: files.ok().and_then(number_of),
            max_files: max_files(&limits),
            ..Self::of_stat(&stat, boot_time(&boot), unit(SysconfVar::CLK_TCK))
        }
    }

    /// What a line of `/proc/PID/stat` says, whose times are in `ticks` a second. The fields are
    /// numbered as in proc(5).
    fn of_stat(stat: &str, booted_at: Option<f64>, ticks: Option<f64>) -> Self {
        // The name before it, in brackets, may hold anything.
        let Some((_, fields)) = stat.rsplit_once(") ") else {
            return Self::default();
        };
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| number_in(fields.get(number - 3)?);
        let seconds = |ticked: f64| ticks.map(|ticks| ticked / ticks);
        Self {
            cpu_seconds: field(14).zip(field(15)).and_then(|(u, s)| seconds(u + s)),
            threads: field(20),
            started_at: field(22)
                .and_then(seconds)
                .zip(booted_at)
                .map(|(after, boot)| boot + after),
            virtual_bytes: field(23),
            resident_bytes: field(24)
                .zip(unit(SysconfVar::PAGE_SIZE))
                .map(|(pages, bytes)| pages * bytes),
            ..Self::default()
        }
    }

    fn gauges(&self) -> [(&'static str, &'static str, Option<f64>); 6] {
        [
            (
                "process_start_time_seconds",
                "When the agent was started, in seconds since 1970.",
                self.started_at,
            ),
            (
                "process_resident_memory_bytes",
                "Memory of the agent that is in RAM, tables it shares with the kernel included.",
                self.resident_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Addresses the agent has reserved, in bytes.",
                self.virtual_bytes,
            ),
            ("process_threads", "Threads of the agent.", self.threads),
            (
                "process_open_fds",
                "Files, sockets, maps and programs that the agent holds open.",
                self.open_files,
            ),
            (
                "process_max_fds",
                "Files that the agent may hold open.",
                self.max_files,
            ),
        ]
    }
}

/// When the machine was started, in seconds since 1970.
fn boot_time(stat: &str) -> Option<f64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "));
    number_in(line?)
}

/// The limit in force; nothing where there is none.
fn max_files(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    number_in(line.split_ascii_whitespace().next()?)
}

fn unit(variable: SysconfVar) -> Option<f64> {
    let value = sysconf(variable).ok().flatten()?;
    number_of(value).filter(|value| *value > 0.0)
}

fn number_of(count: impl TryInto<u32>) -> Option<f64> {
    count.try_into().ok().map(f64::from)
}

fn number_in(text: &str) -> Option<f64> {
    f64::from_str(text.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as proc(5) describes it: user time 250, system time 50, 3 threads, started at tick
    /// 1000, 4096 bytes of addresses, 2 pages in RAM.
    const STAT: &str = "7 (a) name) S 1 7 7 0 -1 4194560 900 0 3 0 250 50 0 0 20 0 3 0 1000 4096 2 \
                        18446744073709551615 1 1 0";

    #[test]
    fn a_line_of_the_kernel_is_read_by_its_numbers() {
        let process = Process::of_stat(STAT, Some(1_000_000.0), Some(100.0));
        assert_eq!(process.cpu_seconds, Some(3.0));
        assert_eq!(process.threads, Some(3.0));
        assert_eq!(process.started_at, Some(1_000_010.0));
        assert_eq!(process.virtual_bytes, Some(4096.0));
        let page = unit(SysconfVar::PAGE_SIZE).expect("a page has a size");
        assert_eq!(process.resident_bytes, Some(2.0 * page));
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let process = Process::of_stat("", None, None);
        assert!(process.gauges().iter().all(|(_, _, value)| value.is_none()));
        assert_eq!(process.cpu_seconds, None);
        assert_eq!(boot_time("cpu 1 2 3\n"), None);
        let unlimited =
            "Max open files            unlimited            unlimited            files\n";
        assert_eq!(max_files(unlimited), None);
        let limited = "Max open files            1024                 524288               files\n";
        assert_eq!(max_files(limited), Some(1024.0));
        assert_eq!(
            boot_time("cpu 1\nbtime 1700000000\n"),
            Some(1_700_000_000.0)
        );
    }

    #[test]
    fn this_very_process_is_described() {
        let process = Process::read();
        assert!(
            process
                .gauges()
                .iter()
                .all(|(_, _, value)| value.is_some_and(|own| own > 0.0))
        );
        assert!(process.cpu_seconds.is_some());
    }
}
