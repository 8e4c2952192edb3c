//! What a packet costs: test-runs of a program and of an empty one in turn.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{MapData, ProgramArray},
    programs::{ProgramFd, SchedClassifier, Xdp},
};

use super::{Family, Scale};
use crate::object;

/// Nanoseconds a packet, net of an empty program.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Lowest of the rounds.
    pub least: f64,
    /// Median of the rounds.
    pub median: f64,
    /// Highest of the rounds.
    pub most: f64,
}

/// The empty program, and those that give each packet a new source.
pub struct Meter {
    object: Ebpf,
    target: ProgramArray<MapData>,
    scale: Scale,
}

impl Meter {
    /// Loads them. Needs root.
    pub fn new(scale: Scale) -> Result<Self> {
        let mut object = object::load(&mut EbpfLoader::new())?;
        let target = object
            .take_map("TARGET")
            .context("no map TARGET")?
            .try_into()?;
        for name in ["floor", "renumber", "renumber_v6"] {
            object::xdp(&mut object, name)?;
        }
        Ok(Self {
            object,
            target,
            scale,
        })
    }

    /// What `program` costs for `frame`, sent again and again.
    pub fn same_source(&self, program: &Xdp, frame: &[u8]) -> Result<Cost> {
        let floor = self.program("floor")?;
        let repeat = self.scale.repeat;
        let mut costs = Vec::new();
        for _ in 0..self.scale.rounds {
            let empty = nanoseconds(floor, frame, repeat)?;
            costs.push(nanoseconds(program, frame, repeat)? - empty);
        }
        Ok(summary(costs))
    }

    /// What `program` costs for a frame that leaves, sent again and again: what the kernel does around
    /// a classifier is in it.
    pub fn leaving(&self, program: &SchedClassifier, frame: &[u8]) -> Result<Cost> {
        let repeat = self.scale.repeat;
        let options = || TestRunOptions {
            data_in: Some(frame),
            repeat,
            ..TestRunOptions::default()
        };
        let mut costs = Vec::new();
        for _ in 0..self.scale.rounds {
            let before = thread_cpu_ns()?;
            program.test_run(options()).context("the test-run failed")?;
            let spent = Duration::from_nanos(thread_cpu_ns()? - before);
            costs.push(spent.as_secs_f64() * 1e9 / f64::from(repeat));
        }
        Ok(summary(costs))
    }

    /// The same when each of the packets has a source of its own, random among all addresses.
    pub fn new_sources(&mut self, program: &Xdp, family: Family, frame: &[u8]) -> Result<Cost> {
        let floor = self.program("floor")?.fd()?.try_clone()?;
        let program = program.fd()?.try_clone()?;
        let renumber = match family {
            Family::V4 => "renumber",
            Family::V6 => "renumber_v6",
        };
        let mut costs = Vec::new();
        for _ in 0..self.scale.rounds {
            let empty = self.through(renumber, &floor, frame)?;
            costs.push(self.through(renumber, &program, frame)? - empty);
        }
        // The program goes when its owner lets go of it, and not with the meter.
        self.target.clear_index(&0)?;
        Ok(summary(costs))
    }

    fn through(&mut self, renumber: &str, next: &ProgramFd, frame: &[u8]) -> Result<f64> {
        self.target.set(0, next, 0)?;
        nanoseconds(self.program(renumber)?, frame, self.scale.repeat)
    }

    fn program(&self, name: &str) -> Result<&Xdp> {
        let program = self
            .object
            .program(name)
            .with_context(|| format!("no program {name}"))?;
        Ok(program.try_into()?)
    }
}

fn summary(mut costs: Vec<f64>) -> Cost {
    costs.sort_by(f64::total_cmp);
    Cost {
        least: costs[0],
        median: costs[costs.len() / 2],
        most: costs[costs.len() - 1],
    }
}

/// Thread CPU time of a packet, so that what else the machine does counts little.
fn nanoseconds(program: &Xdp, frame: &[u8], repeat: u32) -> Result<f64> {
    let before = thread_cpu_ns()?;
    run(program, frame, repeat)?;
    let spent = Duration::from_nanos(thread_cpu_ns()? - before);
    Ok(spent.as_secs_f64() * 1e9 / f64::from(repeat))
}

/// Runs `program` on `frame` so many times. Whatever the program writes into the frame stays there
/// for the next run.
pub(super) fn run(program: &Xdp, frame: &[u8], repeat: u32) -> Result<()> {
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat,
        ..TestRunOptions::default()
    };
    program.test_run(options).context("the test-run failed")?;
    Ok(())
}

fn thread_cpu_ns() -> Result<u64> {
    const FILE: &str = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(FILE)
        .with_context(|| format!("cannot read {FILE}, where the thread's CPU time is"))?;
    let ns = text
        .split_whitespace()
        .next()
        .context("an empty schedstat")?;
    Ok(ns.parse()?)
}
