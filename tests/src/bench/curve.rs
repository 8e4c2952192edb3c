//! Kernel sides that differ in one thing, and what the same packets cost each of them: a point of a
//! curve each.

use anyhow::{Context as _, Result, ensure};
use guard::kernel::Tick;

use super::{
    lists::Lists,
    load::Loaded,
    meter::{Buffers, Cost, Meter, Run, Senders},
    traffic::Traffic,
};
use crate::frames::Frame;

/// Packets that are sent before any is measured.
const WARM_UP: u32 = 1_000;

/// A kernel side, and the packets it gets.
pub struct Point {
    /// How many there are of what differs.
    pub row: String,
    /// The kernel side.
    pub loaded: Loaded,
    packets: Vec<Sent>,
}

struct Sent {
    column: String,
    traffic: Traffic,
    senders: Senders,
    frame: Frame,
}

impl Point {
    /// Loads a kernel side with these settings, a TOML text, and these lists.
    ///
    /// # Errors
    /// The settings are wrong, or the kernel refuses them.
    pub fn new(row: &str, settings: &str, lists: Option<&Lists>, tick: Tick) -> Result<Self> {
        let loaded = Loaded::new(settings, lists, tick);
        Ok(Self {
            row: row.to_owned(),
            loaded: loaded.with_context(|| format!("loading guard for `{row}`"))?,
            packets: Vec::new(),
        })
    }

    /// Adds a packet it gets: a column. `lists` are those whose entries may send it.
    ///
    /// # Errors
    /// The lists have no such entry, or the kernel side does not take a connection.
    pub fn gets(&mut self, column: &str, traffic: Traffic, lists: &Lists) -> Result<()> {
        traffic.prepare(&mut self.loaded.kernel)?;
        self.packets.push(Sent {
            column: column.to_owned(),
            traffic,
            senders: traffic.senders(),
            frame: traffic.frame(lists)?,
        });
        Ok(())
    }

    /// Adds a packet that so many sources send in turn.
    ///
    /// # Errors
    /// As [`Self::gets`].
    pub fn gets_in_turn(&mut self, column: &str, traffic: Traffic, sources: u64) -> Result<()> {
        self.packets.push(Sent {
            column: column.to_owned(),
            traffic,
            senders: Senders::InTurn(sources),
            frame: traffic.frame(&Lists::new(0, 0)?)?,
        });
        Ok(())
    }

    /// Sends some of each packet, all sources of those with several among them, and sees to it that
    /// they are counted as meant.
    fn warm_up(&mut self, meter: &mut Meter) -> Result<()> {
        let Self {
            row,
            loaded,
            packets,
        } = self;
        let kernel = &mut loaded.kernel;
        for sent in &*packets {
            let count = match sent.senders {
                Senders::InTurn(sources) => u32::try_from(sources)?.max(WARM_UP),
                _ => WARM_UP,
            };
            let before = sent.traffic.counted(kernel)?;
            meter.warm_up(&sent.run(kernel.program()?), count)?;
            let as_meant = sent.traffic.counted(kernel)? - before;
            ensure!(
                as_meant > u64::from(count) / 2,
                "of {count} packets of `{}` only {as_meant} were counted as {} at `{row}`",
                sent.column,
                sent.traffic.reason.name()
            );
        }
        Ok(())
    }
}

impl Sent {
    fn run<'a>(&'a self, program: &'a aya::programs::Xdp) -> Run<'a> {
        Run {
            program,
            frame: &self.frame,
            senders: self.senders,
            buffers: Buffers::Many,
        }
    }
}

/// What one packet cost one kernel side.
#[derive(Clone, Debug)]
pub struct Measured {
    /// That of the point.
    pub row: String,
    /// The packet.
    pub column: String,
    /// Its cost.
    pub cost: Cost,
}

/// Measures every packet of every point, all in turn in each round.
///
/// # Errors
/// A packet is not counted as meant.
pub fn measure(points: &mut [Point], meter: &mut Meter) -> Result<Vec<Measured>> {
    for point in &mut *points {
        point.warm_up(meter)?;
    }
    let (mut runs, mut names) = (Vec::new(), Vec::new());
    for point in points {
        let program = &*point.loaded.kernel.program()?;
        for sent in &point.packets {
            runs.push(sent.run(program));
            names.push((point.row.clone(), sent.column.clone()));
        }
    }
    let costs = meter.in_turn(&runs)?;
    let measured = names.into_iter().zip(costs);
    Ok(measured
        .map(|((row, column), cost)| Measured { row, column, cost })
        .collect())
}
