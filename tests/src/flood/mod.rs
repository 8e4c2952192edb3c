//! Floods: one frame sent many times, from one source or from billions, by the kernel itself.

mod fields;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, EbpfLoader, TestRun as _, TestRunAttrs, TestRunOptions,
    maps::{Array, MapData},
    programs::Xdp,
};

use self::fields::Fields;
use crate::{frames::Frame, link::Interface, object, scheduling};

/// Frames that leave together when paced; the ring they go into has 256 slots.
const BURST: u64 = 64;

/// Frames the kernel prepares at once.
const BATCH: u32 = 64;

/// How long one call runs the program when paced. The kernel takes some 25 ms to end a call, and
/// between two calls nothing is sent.
const CALL: Duration = Duration::from_millis(500);

/// Runs of the program in the first call when paced, and the least in any.
const FEW_RUNS: u32 = 65_536;

/// A frame to be sent many times.
#[derive(Clone, Debug)]
pub struct Flood {
    /// The first frame, its hardware addresses included. Further sources count up from its own.
    pub frame: Frame,
    /// How many source addresses; at most 2^32. Of IPv6 it is bits 32 to 63 that count, the low
    /// half of the /64 prefix.
    pub sources: u64,
    /// How many source ports; at most 2^16, and 1 unless the frame is TCP or UDP.
    pub ports: u64,
    /// How many frames in all.
    pub count: u64,
    /// Frames a second; as fast as it goes without.
    pub rate_pps: Option<u64>,
}

/// What a flood did.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Frames handed to the cable.
    pub frames: u64,
    /// How long it took.
    pub time: Duration,
}

impl Sent {
    /// Frames a second.
    pub fn rate(&self) -> u64 {
        per_second(self.frames, self.time)
    }
}

/// A flood under way; dropping it stops it.
pub struct Running {
    sent: Arc<Array<MapData, u64>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Sent>>>,
}

impl Flood {
    /// One source, one port, as fast as it goes.
    pub fn new(frame: Frame, count: u64) -> Self {
        Self {
            frame,
            sources: 1,
            ports: 1,
            count,
            rate_pps: None,
        }
    }

    /// Sends everything out of `interface` and returns when done.
    pub fn run(self, interface: &Interface) -> Result<Sent> {
        self.start(interface)?.wait()
    }

    /// Begins to send out of `interface`, on the first CPU.
    ///
    /// A paced flood waits by polling the clock, at idle priority so that the servers it is sent
    /// to have the CPU; only while it is late does it compete with them.
    pub fn start(self, interface: &Interface) -> Result<Running> {
        let mut object = self.load()?;
        let sent = Arc::new(object::array(&mut object, "SENT")?);
        let stop = Arc::new(AtomicBool::new(false));
        let sender = Sender {
            flood: self,
            object,
            interface: interface.clone(),
            sent: Arc::clone(&sent),
            stop: Arc::clone(&stop),
        };
        let thread = thread::Builder::new()
            .name("flood".into())
            .spawn(move || sender.send())?;
        Ok(Running {
            sent,
            stop,
            thread: Some(thread),
        })
    }

    fn load(&self) -> Result<Ebpf> {
        let fields = Fields::of(&self.frame)?;
        ensure!((1..=1 << 32).contains(&self.sources), "1 to 2^32 sources");
        ensure!((1..=1 << 16).contains(&self.ports), "1 to 2^16 ports");
        ensure!(
            self.ports == 1 || fields.port_offset != 0,
            "this frame has no ports"
        );
        ensure!(self.rate_pps != Some(0), "a rate of 0 sends nothing");
        let mut loader = EbpfLoader::new();
        let interval_ns = self.rate_pps.map_or(0, |rate| BURST * 1_000_000_000 / rate);
        fields.set(&mut loader, self);
        loader.override_global("INTERVAL_NS", &interval_ns, true);
        object::load(&mut loader)
    }
}

/// What the sending thread works with.
struct Sender {
    flood: Flood,
    object: Ebpf,
    interface: Interface,
    sent: Arc<Array<MapData, u64>>,
    stop: Arc<AtomicBool>,
}

impl Sender {
    fn send(mut self) -> Result<Sent> {
        self.interface.namespace().enter()?;
        scheduling::pin_to_first_cpu()?;
        let Self {
            flood,
            object,
            interface,
            sent,
            stop,
        } = &mut self;
        let program = object::xdp(object, "flood")?;
        let begin = Instant::now();
        let (mut frames, mut runs_per_second) = (0, 0);
        while frames < flood.count && !stop.load(Ordering::Relaxed) {
            let runs = flood.runs(flood.count - frames, runs_per_second);
            scheduling::yield_to_others(flood.is_on_schedule(frames, begin.elapsed()))?;
            let call = Instant::now();
            flood.send_some(program, interface.index(), runs)?;
            runs_per_second = per_second(runs.into(), call.elapsed());
            let before = frames;
            frames = sent.get(&0, 0)?;
            ensure!(
                frames > before,
                "the kernel sent no frame in {:?}",
                call.elapsed()
            );
        }
        Ok(Sent {
            frames,
            time: begin.elapsed(),
        })
    }
}

impl Flood {
    /// Whether a paced flood has sent most of what was due after so long.
    fn is_on_schedule(&self, frames: u64, time: Duration) -> bool {
        let rate = self.rate_pps.unwrap_or(u64::MAX);
        u128::from(frames) * 1_000_000_000 >= u128::from(rate) * time.as_nanos() / 10 * 9
    }

    /// How often to run the program in the next call: once a frame, or until the last frame is due.
    fn runs(&self, frames_left: u64, runs_per_second: u64) -> u32 {
        let Some(rate) = self.rate_pps else {
            return u32::try_from(frames_left).unwrap_or(u32::MAX);
        };
        let time_left = Duration::from_nanos(frames_left.saturating_mul(1_000_000_000) / rate);
        let runs = u128::from(runs_per_second) * time_left.min(CALL).as_nanos() / 1_000_000_000;
        u32::try_from(runs).unwrap_or(u32::MAX).max(FEW_RUNS)
    }

    fn send_some(&self, program: &Xdp, interface: u32, runs: u32) -> Result<()> {
        let context = context(&self.frame, interface);
        let options = TestRunOptions {
            data_in: Some(&self.frame),
            ctx_in: Some(&context),
            repeat: runs,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        program
            .test_run(options)
            .context("the kernel does not run the flood")?;
        Ok(())
    }
}

impl Running {
    /// Frames sent so far.
    pub fn sent(&self) -> Result<u64> {
        Ok(self.sent.get(&0, 0)?)
    }

    /// Whether the last frame was sent.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks it to stop early; [`Self::wait`] then tells how far it came.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Result<Sent> {
        let thread = self.thread.take().context("a flood is waited for once")?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running")
            .field("thread", &self.thread)
            .finish_non_exhaustive()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            // Whoever wanted to know how it ended has waited for it.
            let _ = thread.join();
        }
    }
}

fn per_second(count: u64, time: Duration) -> u64 {
    let rate = u128::from(count) * 1_000_000_000 / time.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// The `struct xdp_md` of a run: data from 0 to the frame's length, met on `interface`.
fn context(frame: &[u8], interface: u32) -> Vec<u8> {
    let [data, data_meta, rx_queue_index, egress_ifindex] = [0; 4];
    let data_end = frame.len() as u32;
    [
        data,
        data_end,
        data_meta,
        interface,
        rx_queue_index,
        egress_ifindex,
    ]
    .into_iter()
    .flat_map(u32::to_ne_bytes)
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paced_call_ends_with_the_last_frame() {
        let frame = crate::frames::Packet::ipv4("10.1.2.3", "10.0.0.1")
            .udp(1, 9)
            .build();
        let flood = Flood {
            rate_pps: Some(1000),
            ..Flood::new(frame.clone(), 5000)
        };
        assert_eq!(flood.runs(5000, 0), FEW_RUNS);
        assert_eq!(
            flood.runs(5000, 10_000_000),
            5_000_000,
            "half a second of runs"
        );
        assert_eq!(
            flood.runs(100, 10_000_000),
            1_000_000,
            "a tenth is all that is left"
        );
        assert!(flood.is_on_schedule(900, Duration::from_secs(1)));
        assert!(!flood.is_on_schedule(899, Duration::from_secs(1)));
        assert_eq!(Flood::new(frame, 9).runs(7, 1), 7);
    }

    #[test]
    fn the_context_spans_the_frame() {
        let words: Vec<u32> = context(&[0; 60], 7)
            .chunks_exact(4)
            .map(|word| u32::from_ne_bytes(word.try_into().expect("4 bytes")))
            .collect();
        assert_eq!(words, [0, 60, 0, 7, 0, 0]);
    }
}
