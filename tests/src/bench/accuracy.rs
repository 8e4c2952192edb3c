//! What a limit lets through, against what the specification says it does.

use std::{
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use aya::{EbpfLoader, maps::PerCpuArray, programs::Xdp};
use guard::{
    config::{Rate, Unit},
    kernel::Tick,
};
use guard_common::reason::{Reason, Verdict};

use super::{HOST_V4, SOURCE_V4, load::Loaded, meter, percent_over};
use crate::{frames::Packet, object, scheduling};

/// The default of `limits.burst`.
const BURST: Duration = Duration::from_secs(1);
/// Packets of one test-run: less than a tenth of a second of them. Between two runs nothing is sent for
/// some milliseconds, in which nobody's capacity is full again.
const CHUNK: u32 = 1 << 20;

/// One source, overrunning its limit.
#[derive(Clone, Copy, Debug)]
pub struct Overrun {
    /// From the first packet to the last.
    pub time: Duration,
    /// Packets it sent.
    pub sent: u64,
    /// Those that passed.
    pub passed: u64,
    /// The most that may: capacity + time × rate, and what leaks in one tick of the clock.
    pub bound: u64,
}

impl Overrun {
    /// Percent by which more passed than may; negative when fewer did.
    pub fn error(&self) -> f64 {
        percent_over(self.passed, self.bound)
    }
}

/// How many CPUs there are to overrun a limit with.
pub fn cpus() -> Result<usize> {
    Ok(scheduling::cpus()?.len())
}

/// Overruns a limit of `rate` packets by one source, on so many CPUs at once for about `time`.
pub fn overrun(rate: &str, cpus: usize, time: Duration, tick: Tick) -> Result<Overrun> {
    let limits = format!(
        "limits = {{ packets = \"{rate}\", connections = \"off\", new_sources = \"off\" }}"
    );
    let mut loaded = Loaded::new(&limits, None, tick)?;
    let time = send(loaded.kernel.program()?, cpus, time)?;
    let counters = &loaded.kernel.counters;
    let passed = counters.packets(0, Verdict::Pass, Reason::Pass)?.packets;
    let dropped = counters.packets(0, Verdict::Drop, Reason::LimitPackets)?;

    let rate = Rate::parse(rate, Unit::Count).map_err(|_| anyhow!("`{rate}` is no rate"))?;
    let refilled_for = time + Duration::from_nanos(tick.ns);
    let refilled = u128::from(rate.amount) * refilled_for.as_nanos() / rate.per.as_nanos();
    Ok(Overrun {
        time,
        sent: passed + dropped.packets,
        passed,
        bound: rate.allowance(BURST).units + u64::try_from(refilled)?,
    })
}

/// Sends to `program` on the first `cpus` CPUs, from the same instant on. Returns how long it was
/// from the first packet to the last by the kernel's clock: a test-run takes milliseconds to begin
/// and to end.
fn send(program: &Xdp, cpus: usize, time: Duration) -> Result<Duration> {
    let mut object = object::load(&mut EbpfLoader::new())?;
    object::set_target(&mut object, program)?;
    let stamps = object.take_map("STAMPS").context("no map STAMPS")?;
    let stamps: PerCpuArray<_, [u64; 3]> = stamps.try_into()?;
    let stamp = object::xdp(&mut object, "stamp")?;

    let chosen = scheduling::cpus()?;
    let chosen = chosen.get(..cpus).context("there are not so many CPUs")?;
    let start = Barrier::new(cpus);
    thread::scope(|scope| {
        let senders = chosen
            .iter()
            .map(|cpu| scope.spawn(|| overrun_on(*cpu, stamp, &start, time)));
        let senders: Vec<_> = senders.collect();
        senders.into_iter().try_for_each(|sender| {
            let sent = sender.join();
            sent.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;

    let stamps = stamps.get(&0, 0).context("reading STAMPS")?;
    let sent = || stamps.iter().filter(|[count, _, _]| *count > 0);
    let first = sent().map(|[_, first, _]| *first).min();
    let last = sent().map(|[_, _, last]| *last).max();
    let (first, last) = first.zip(last).context("nobody sent")?;
    Ok(Duration::from_nanos(last - first))
}

/// Sends on one CPU, when all others of `start` are ready too.
fn overrun_on(cpu: usize, program: &Xdp, start: &Barrier, time: Duration) -> Result<()> {
    let frame = Packet::ipv4(SOURCE_V4, HOST_V4).udp(4000, 9).build();
    let pinned = scheduling::pin_to(cpu);
    // Whoever fails comes here too, or the others would wait for it.
    start.wait();
    pinned?;
    let begin = Instant::now();
    while begin.elapsed() < time {
        meter::run(program, &frame, CHUNK)?;
    }
    Ok(())
}
