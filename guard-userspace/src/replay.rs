//! `guard replay`: a capture through the real kernel programs, on the capture's own clock.
//!
//! The programs are loaded and attached to nothing; each packet that arrived at the protected host
//! is handed to them by a test-run. Seeds are fixed, so that two runs say the same.

pub mod capture;
mod connections;
mod report;
mod sides;

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::maps::{MapData, RingBuf};
use bytes::Bytes;
use guard_common::wire::{COARSE_TICK_NS, Clock, EventClass};

use self::{
    capture::{Capture, Captured},
    connections::{Connection, Connections},
    report::{Packet, Report, Totals},
    sides::{Ends, Sides},
};
use crate::{
    bans::{self, Bans},
    cli::{OutputFormat, ReplayFlags},
    config::{Config, Limits},
    doctor,
    events::Record,
    kernel::{Kernel, Plan, Share, Tick},
    status::connections_by_word,
};

/// Any will do; the same one each time makes what comes out repeatable.
const HASH_SEED: [u64; 2] = [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344];
const NS_PER_SECOND: u64 = 1_000_000_000;
/// Longer than any connection may be quiet.
const AFTER: Duration = Duration::from_mins(5);
/// The shortest frame that a test-run takes: an Ethernet header.
const LEAST_FRAME: usize = 14;
/// The longest: the longest IP packet behind it.
const MOST_FRAME: usize = 65_535 + LEAST_FRAME;

/// Runs the capture through the kernel side as `config` wants it, and writes to `output` what
/// became of each packet, then totals.
///
/// # Errors
/// The capture cannot be read to its end, the kernel does not take the programs, or `output`
/// fails. What was judged before that is written.
pub fn run(config: &Config, flags: &ReplayFlags, output: &mut dyn Write) -> Result<()> {
    let mut capture = Capture::open(&flags.file)?;
    // Where there is nothing to judge, no privilege is asked for.
    let first = capture.next()?;
    doctor::demand_capabilities("guard replay")?;
    let by_loopback = first.as_ref().is_some_and(Captured::is_by_loopback);
    let mut next = Ok(first);
    let mut replay = Replay::new(config, flags, by_loopback)?;
    let mut report = Report::new(output, flags.output == OutputFormat::Json);
    report.begin()?;
    let ended = loop {
        match next {
            Ok(Some(captured)) => report.packet(&replay.judge(captured)?)?,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
        next = capture.next();
    };
    replay.end_connections()?;
    let (connections, totals) = replay.totals(config)?;
    report.end(&connections, &totals)?;
    Ok(ended?)
}

/// Whether an error of [`run`] is that nobody reads the output any more.
pub fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

struct Replay {
    kernel: Kernel,
    limits: Limits,
    events: RingBuf<MapData>,
    bans: Bans,
    connections: Connections,
    /// When connections were last looked at for having been quiet too long.
    swept_ns: u64,
    sides: Sides,
    /// When the first packet was captured.
    begin_ns: Option<u64>,
    /// The latest time so far.
    now_ns: u64,
    totals: Totals,
}

impl Replay {
    fn new(config: &Config, flags: &ReplayFlags, by_loopback: bool) -> Result<Self> {
        let tick = Tick {
            clock: Clock::Manual,
            ns: COARSE_TICK_NS,
        };
        let mut plan = Plan::new(config, tick, HASH_SEED);
        // A capture does not say whom its host asks for names, nor who administers it.
        plan.settings.protects_self = 0;
        plan.settings.tells = 1;
        plan.settings.asks_sockets = 0;
        plan.settings.refuses_land = u32::from(!by_loopback);
        // There is one interface to a test-run.
        plan.settings.interfaces = 1;
        // Whatever there is to tell is told.
        plan.settings.event_budget = u32::MAX;
        plan.settings.sample_budget = u32::MAX;
        plan.settings.talker_budget = 0;
        let mut kernel = Kernel::load(&plan, None)?;
        Ok(Self {
            events: kernel.take_events()?,
            kernel,
            limits: config.limits,
            bans: Bans::default(),
            connections: Connections::new(config)?,
            swept_ns: 0,
            sides: Sides::new(flags.local.clone()),
            begin_ns: None,
            now_ns: 0,
            totals: Totals::default(),
        })
    }

    fn judge(&mut self, captured: Captured) -> Result<Packet> {
        let Captured {
            time_ns,
            mut bytes,
            wire_len,
        } = captured;
        let begin_ns = *self.begin_ns.get_or_insert(time_ns);
        self.totals.packets += 1;
        self.totals.backwards += u64::from(time_ns < self.now_ns);
        // A clock that is set back in the middle of a capture is not set back here.
        self.now_ns = self.now_ns.max(time_ns);
        self.sweep()?;
        let ends = Ends::of(&bytes);
        if let Some(ends) = &ends {
            self.connections.meet(ends);
        }
        let mut packet = Packet {
            number: self.totals.packets,
            time_ns: self.now_ns - begin_ns,
            ends: ends.as_ref().map(ToString::to_string),
            wire_len,
            arrives: self.sides.arrives(ends.as_ref()),
            judged: None,
        };
        if !packet.arrives {
            self.totals.sent += 1;
            self.kernel.set_manual_clock(self.now_ns)?;
            self.kernel.sees_leave(&bytes)?;
            self.listen()?;
        } else if bytes.len() < LEAST_FRAME || wire_len > MOST_FRAME {
            self.totals.unfit += 1;
        } else {
            self.totals.cut += u64::from(bytes.len() < wire_len);
            bytes.resize(wire_len, 0);
            self.kernel.set_manual_clock(self.now_ns)?;
            self.end_bans()?;
            let (verdict, reason) = self
                .kernel
                .judge(&bytes)
                .with_context(|| format!("packet {}", packet.number))?;
            self.totals.count(verdict, reason, wire_len);
            packet.judged = Some((verdict, reason));
            self.listen()?;
        }
        Ok(packet)
    }

    /// Takes in what the programs tell of, and bans whoever the agent would.
    fn listen(&mut self) -> Result<()> {
        while let Some(event) = self.events.next() {
            let record = Bytes::copy_from_slice(&event);
            drop(event);
            let Some(record) = Record::read(record) else {
                continue;
            };
            match self.limits.ban {
                Some(ban) if record.class == EventClass::Offence => {
                    let now = self.now_ns / NS_PER_SECOND;
                    let source = bans::source(record.source, self.limits.ipv6_prefix);
                    if self.bans.add(source, &ban, now).is_some() {
                        let rule = |net| self.kernel.rule(net);
                        let changes = self.bans.changes(&[source], rule, now);
                        self.kernel.change_rules(&changes)?;
                    }
                }
                _ => self.connections.take(&record),
            }
        }
        Ok(())
    }

    /// Gives up the connections that have been quiet for too long by now.
    fn sweep(&mut self) -> Result<()> {
        if self.now_ns < self.swept_ns + NS_PER_SECOND {
            return Ok(());
        }
        self.swept_ns = self.now_ns;
        self.kernel.set_manual_clock(self.now_ns)?;
        self.kernel.sweep(Share::All)?;
        self.listen()
    }

    /// Ends every connection: the capture is over.
    fn end_connections(&mut self) -> Result<()> {
        self.now_ns += AFTER.as_nanos() as u64;
        self.sweep()
    }

    /// Takes off the bans that have ended by now.
    fn end_bans(&mut self) -> Result<()> {
        let now = self.now_ns / NS_PER_SECOND;
        let Some(ban) = self.limits.ban.filter(|_| self.bans.seen() != now) else {
            return Ok(());
        };
        let ended = self.bans.ended(now);
        let rule = |net| self.kernel.rule(net);
        let changes = self.bans.changes(&ended, rule, now);
        self.kernel.change_rules(&changes)?;
        self.bans.forget(&ban, now);
        Ok(())
    }

    /// The totals, with the connections that the kernel side counted.
    fn totals(mut self, config: &Config) -> Result<(Vec<Connection>, Totals)> {
        for (service, position) in config.services.iter().zip(0..) {
            let counts = connections_by_word(self.kernel.counters.connections(position)?);
            self.totals.connections.insert(service.name.clone(), counts);
        }
        self.totals.credentials = self.connections.credentials();
        Ok((self.connections.list(), self.totals))
    }
}

#[cfg(test)]
mod tests;
