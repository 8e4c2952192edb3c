//! What agents hold of the kernel, and what is left of it when they have gone.

use std::{
    collections::BTreeSet,
    fs, thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::{maps::loaded_maps, programs::loaded_programs};

/// The kernel takes its time to free what nobody holds any more.
const PATIENCE: Duration = Duration::from_mins(1);

/// Programs and maps by the kernel's numbers, which are not used twice for long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Programs.
    pub programs: BTreeSet<u32>,
    /// Maps.
    pub maps: BTreeSet<u32>,
}

impl Held {
    /// Those that the process of this number holds open.
    pub fn by(pid: u32) -> Result<Self> {
        let mut held = Self::default();
        for entry in fs::read_dir(format!("/proc/{pid}/fdinfo"))? {
            // A connection's file may be closed meanwhile.
            let Ok(info) = fs::read_to_string(entry?.path()) else {
                continue;
            };
            let number = |name: &str| {
                let value = info.lines().find_map(|line| line.strip_prefix(name));
                value.and_then(|value| value.trim().parse::<u32>().ok())
            };
            held.programs.extend(number("prog_id:"));
            held.maps.extend(number("map_id:"));
        }
        Ok(held)
    }

    /// Adds those.
    pub fn add(&mut self, others: &Self) {
        self.programs.extend(&others.programs);
        self.maps.extend(&others.maps);
    }

    /// Those of them that the kernel still has. Other tests' come and go while it lists them.
    fn still_there(&self) -> Self {
        let programs = loaded_programs().filter_map(Result::ok);
        let programs: BTreeSet<u32> = programs.map(|program| program.id()).collect();
        let maps = loaded_maps().filter_map(Result::ok);
        let maps: BTreeSet<u32> = maps.map(|map| map.id()).collect();
        Self {
            programs: &self.programs & &programs,
            maps: &self.maps & &maps,
        }
    }

    /// Waits until the kernel has none of them but those that are `kept`.
    pub fn wait_until_gone_but(&self, kept: &Self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let there = self.still_there();
            let left = Self {
                programs: &there.programs - &kept.programs,
                maps: &there.maps - &kept.maps,
            };
            if left == Self::default() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{left:?} stay");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Memory of a process that is in RAM, in bytes.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.context("no VmRSS")?.parse()?;
    Ok(kilobytes * 1024)
}

/// How many files a process holds open.
pub fn open_files(pid: u32) -> Result<usize> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// Processor time that a process has used.
pub fn processor_time(pid: u32) -> Result<Duration> {
    /// `USER_HZ`, which is the same on every machine that guard runs on.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("a short stat")?;
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap_or(0))
        .sum();
    Ok(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}
