//! What a packet costs: test-runs of a program and of an empty one in turn.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunOptions,
    maps::{Array, MapData, ProgramArray},
    programs::{ProgramFd, SchedClassifier, Xdp},
};

use super::{Family, Scale};
use crate::object;

/// Nanoseconds a packet.
#[derive(Clone, Debug)]
pub struct Cost {
    /// One a round.
    pub samples: Vec<f64>,
}

impl Cost {
    /// Median of the rounds.
    pub fn median(&self) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }
}

/// Whose packets a program gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Senders {
    /// The frame's source's, again and again.
    Same,
    /// Each of them another's, at random among all addresses.
    New(Family),
    /// So many sources', IPv4, who send in turn.
    InTurn(u64),
}

/// A program, and what it gets.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// Of guard, or of whom it is held against.
    pub program: &'a Xdp,
    /// All but its source, unless that stays the same.
    pub frame: &'a [u8],
    /// Who sends it.
    pub senders: Senders,
    /// Which packets the program takes.
    pub buffers: Buffers,
}

/// Which packets a program takes. Only one of the same kind can hand it packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffers {
    /// Also such that are in several buffers, as guard does.
    Many,
    /// Only such that are in one.
    One,
}

/// The empty program, and those that give each packet a new source.
pub struct Meter {
    many: Sender,
    one: Sender,
    scale: Scale,
}

impl Meter {
    /// Loads them. Needs root.
    pub fn new(scale: Scale) -> Result<Self> {
        Ok(Self {
            many: Sender::new(["floor", "renumber", "renumber_v6"])?,
            one: Sender::new(["floor_whole", "renumber_whole", "renumber_v6_whole"])?,
            scale,
        })
    }

    /// How many packets each program gets in all.
    pub fn packets(&self) -> u64 {
        self.scale.rounds as u64 * u64::from(self.scale.repeat)
    }

    /// What each of them costs, net of the empty program. All have their turn in each round, and the
    /// empty program before each of them.
    pub fn in_turn(&mut self, runs: &[Run<'_>]) -> Result<Vec<Cost>> {
        let repeat = self.scale.repeat;
        let mut costs = vec![Cost { samples: vec![] }; runs.len()];
        for _ in 0..self.scale.rounds {
            for (run, cost) in runs.iter().zip(&mut costs) {
                let sender = self.sender(run.buffers);
                cost.samples.push(sender.net(run, repeat)?);
            }
        }
        Ok(costs)
    }

    /// Sends so many packets, and measures nothing.
    pub fn warm_up(&mut self, run: &Run<'_>, packets: u32) -> Result<()> {
        self.sender(run.buffers).full(run, packets)?;
        Ok(())
    }

    fn sender(&mut self, buffers: Buffers) -> &mut Sender {
        match buffers {
            Buffers::Many => &mut self.many,
            Buffers::One => &mut self.one,
        }
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
        let mut samples = Vec::new();
        for _ in 0..self.scale.rounds {
            let before = thread_cpu_ns()?;
            program.test_run(options()).context("the test-run failed")?;
            let spent = Duration::from_nanos(thread_cpu_ns()? - before);
            samples.push(spent.as_secs_f64() * 1e9 / f64::from(repeat));
        }
        Ok(Cost { samples })
    }
}

/// Programs that send to others of one kind.
struct Sender {
    object: Ebpf,
    /// Of the empty program, and those for new sources of each family.
    names: [&'static str; 3],
    target: ProgramArray<MapData>,
    /// After how many packets sources come again, or zero.
    sources: Array<MapData, u64>,
}

impl Sender {
    fn new(names: [&'static str; 3]) -> Result<Self> {
        let mut object = object::load(&mut EbpfLoader::new())?;
        let target = object
            .take_map("TARGET")
            .context("no map TARGET")?
            .try_into()?;
        let sources = object::array(&mut object, "SOURCES_IN_TURN")?;
        for name in names {
            object::xdp(&mut object, name)?;
        }
        Ok(Self {
            object,
            names,
            target,
            sources,
        })
    }

    /// Nanoseconds of a packet, less those of the empty program.
    fn net(&mut self, run: &Run<'_>, repeat: u32) -> Result<f64> {
        let empty = self.empty(run, repeat)?;
        Ok(self.full(run, repeat)? - empty)
    }

    fn empty(&mut self, run: &Run<'_>, repeat: u32) -> Result<f64> {
        let floor = self.program(self.names[0])?;
        if run.senders == Senders::Same {
            return nanoseconds(floor, run.frame, repeat);
        }
        let floor = floor.fd()?.try_clone()?;
        self.through(run, &floor, repeat)
    }

    fn full(&mut self, run: &Run<'_>, repeat: u32) -> Result<f64> {
        if run.senders == Senders::Same {
            return nanoseconds(run.program, run.frame, repeat);
        }
        self.through(run, run.program.fd()?, repeat)
    }

    /// Has others send to `next`.
    fn through(&mut self, run: &Run<'_>, next: &ProgramFd, repeat: u32) -> Result<f64> {
        let (name, sources) = match run.senders {
            Senders::New(Family::V6) => (self.names[2], 0),
            Senders::InTurn(sources) => (self.names[1], sources),
            _ => (self.names[1], 0),
        };
        self.sources.set(0, sources, 0)?;
        self.target.set(0, next, 0)?;
        let spent = nanoseconds(self.program(name)?, run.frame, repeat)?;
        // A program goes when its owner lets go of it, and not with the meter.
        self.target.clear_index(&0)?;
        Ok(spent)
    }

    fn program(&self, name: &str) -> Result<&Xdp> {
        let program = self
            .object
            .program(name)
            .with_context(|| format!("no program {name}"))?;
        Ok(program.try_into()?)
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
