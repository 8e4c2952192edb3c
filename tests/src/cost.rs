//! What a packet costs: test-runs of a program and of an empty one in turn.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{MapData, ProgramArray},
    programs::Xdp,
};

use crate::object;

/// Runs of each program; the figure is their median.
const ROUNDS: usize = 7;

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

/// The empty program, and the one that gives each packet a new source.
pub struct Meter {
    object: Ebpf,
    target: ProgramArray<MapData>,
}

impl Meter {
    /// Loads both. Needs root.
    pub fn new() -> Result<Self> {
        let mut object = object::load(&mut EbpfLoader::new())?;
        let target = object
            .take_map("TARGET")
            .context("no map TARGET")?
            .try_into()?;
        for name in ["floor", "renumber"] {
            object::xdp(&mut object, name)?;
        }
        Ok(Self { object, target })
    }

    /// What `program` costs for `frame`, sent `repeat` times a round.
    pub fn same_source(&self, program: &Xdp, frame: &[u8], repeat: u32) -> Result<Cost> {
        let floor = self.program("floor")?;
        compare(
            || nanoseconds(floor, frame, repeat),
            || nanoseconds(program, frame, repeat),
        )
    }

    /// The same when each of the packets has a source of its own.
    pub fn new_sources(&mut self, program: &Xdp, frame: &[u8], repeat: u32) -> Result<Cost> {
        let floor = self.program("floor")?.fd()?.try_clone()?;
        let program = program.fd()?.try_clone()?;
        let Self { object, target } = self;
        let renumber: &Xdp = object
            .program("renumber")
            .context("no renumber")?
            .try_into()?;
        let mut through = |next| {
            target.set(0, next, 0)?;
            nanoseconds(renumber, frame, repeat)
        };
        let mut costs = Vec::new();
        for _ in 0..ROUNDS {
            let empty = through(&floor)?;
            costs.push(through(&program)? - empty);
        }
        Ok(summary(costs))
    }

    fn program(&self, name: &str) -> Result<&Xdp> {
        let program = self
            .object
            .program(name)
            .with_context(|| format!("no program {name}"))?;
        Ok(program.try_into()?)
    }
}

fn compare(floor: impl Fn() -> Result<f64>, program: impl Fn() -> Result<f64>) -> Result<Cost> {
    let mut costs = Vec::new();
    for _ in 0..ROUNDS {
        let empty = floor()?;
        costs.push(program()? - empty);
    }
    Ok(summary(costs))
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
    let options = TestRunOptions {
        data_in: Some(frame),
        repeat,
        ..TestRunOptions::default()
    };
    program.test_run(options).context("the test-run failed")?;
    let spent = Duration::from_nanos(thread_cpu_ns()? - before);
    Ok(spent.as_secs_f64() * 1e9 / f64::from(repeat))
}

fn thread_cpu_ns() -> Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = text
        .split_whitespace()
        .next()
        .context("an empty schedstat")?;
    Ok(ns.parse()?)
}
