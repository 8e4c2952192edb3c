//! Floods: one frame sent many times, from one source or from billions, by the kernel itself.

mod fields;
mod sender;

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
    Ebpf, EbpfLoader,
    maps::{Array, MapData},
};

use self::{fields::Fields, sender::Sender};
use crate::{frames::Frame, link::Interface, object};

/// How long the first frame may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A frame to be sent many times.
#[derive(Clone, Debug)]
pub struct Flood {
    /// The first frame, its hardware addresses included. Further sources count up from its own.
    pub frame: Frame,
    /// How many source addresses; at most 2^32. Of IPv6 it is bits 32 to 63 that count, the low
    /// half of the /64 prefix.
    pub sources: u64,
    /// From one frame's source to the next one's, modulo their number: 1 unless they should come in no
    /// order, for which it is to be odd, and the number a power of two.
    pub step: u64,
    /// How many source ports; at most 2^16, and 1 unless the frame is TCP or UDP.
    pub ports: u64,
    /// How many frames in all.
    pub count: u64,
    /// Frames a second; as fast as it goes without.
    pub rate_pps: Option<u64>,
    /// The CPU that sends. Where the cable has a queue for each CPU, they arrive in its queue.
    pub cpu: usize,
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
            step: 1,
            ports: 1,
            count,
            rate_pps: None,
            cpu: 0,
        }
    }

    /// Sends everything out of `interface` and returns when done.
    pub fn run(self, interface: &Interface) -> Result<Sent> {
        self.start(interface)?.wait()
    }

    /// Begins to send out of `interface`.
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
        let burst = self.burst();
        let interval_ns = self.rate_pps.map_or(0, |rate| burst * 1_000_000_000 / rate);
        fields.set(&mut loader, self);
        loader.override_global("BURST", &burst, true);
        loader.override_global("INTERVAL_NS", &interval_ns, true);
        object::load(&mut loader)
    }
}

impl Running {
    /// Frames sent so far.
    pub fn sent(&self) -> Result<u64> {
        Ok(self.sent.get(&0, 0)?)
    }

    /// Waits until the first frame is sent, which takes a while on a busy machine.
    ///
    /// # Errors
    /// None is within some seconds.
    pub fn wait_for_first(&self) -> Result<()> {
        let begin = Instant::now();
        while self.sent()? == 0 {
            ensure!(begin.elapsed() < PATIENCE, "a flood does not begin");
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
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
