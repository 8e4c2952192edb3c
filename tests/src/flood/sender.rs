//! The thread that has the kernel send a flood.

use std::{
    io::ErrorKind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    Ebpf, TestRun as _, TestRunAttrs, TestRunOptions,
    maps::{Array, MapData},
    programs::{ProgramError, Xdp},
};

use super::{Flood, Sent, per_second};
use crate::{link::Interface, object, scheduling};

/// Frames that leave together at most when paced; the ring they go into has 256 slots.
const BURST: u64 = 64;

/// Frames the kernel prepares at once.
const BATCH: u32 = 64;

/// How long one call runs the program when paced. The kernel takes some 25 ms to end a call, and
/// between two calls nothing is sent.
const CALL: Duration = Duration::from_millis(500);

/// Runs of the program in the first call when paced, and the least in any.
const FEW_RUNS: u32 = 1 << 16;

/// Runs of the program in one call at most: between two calls a flood can be stopped.
const MANY_RUNS: u32 = 1 << 23;

/// How long a flood may stand still before that is an error.
const STANDSTILL: Duration = Duration::from_secs(3);

/// What the sending thread works with.
pub(super) struct Sender {
    pub(super) flood: Flood,
    pub(super) object: Ebpf,
    pub(super) interface: Interface,
    pub(super) sent: Arc<Array<MapData, u64>>,
    pub(super) stop: Arc<AtomicBool>,
}

impl Sender {
    /// Sends until everything is sent or somebody says stop.
    pub(super) fn send(mut self) -> Result<Sent> {
        self.interface.namespace().enter()?;
        scheduling::pin_to(self.flood.cpu)?;
        let Self {
            flood,
            object,
            interface,
            sent,
            stop,
        } = &mut self;
        let program = object::xdp(object, "flood")?;
        let begin = Instant::now();
        let (mut frames, mut runs_per_second, mut last_sent) = (0, 0, begin);
        while frames < flood.count && !stop.load(Ordering::Relaxed) {
            let runs = flood.runs(flood.count - frames, runs_per_second);
            scheduling::yield_to_others(flood.is_on_schedule(frames, begin.elapsed()))?;
            let call = Instant::now();
            flood.send_some(program, interface.index(), runs)?;
            runs_per_second = per_second(runs.into(), call.elapsed());
            let before = std::mem::replace(&mut frames, sent.get(&0, 0)?);
            if frames > before {
                last_sent = Instant::now();
            }
            ensure!(last_sent.elapsed() < STANDSTILL, "the flood stands still");
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
            return u32::try_from(frames_left)
                .unwrap_or(MANY_RUNS)
                .min(MANY_RUNS);
        };
        let time_left = Duration::from_nanos(frames_left.saturating_mul(1_000_000_000) / rate);
        let runs = u128::from(runs_per_second) * time_left.min(CALL).as_nanos() / 1_000_000_000;
        u32::try_from(runs)
            .unwrap_or(MANY_RUNS)
            .clamp(FEW_RUNS, MANY_RUNS)
    }

    /// Frames that leave together: as many as are due in a millisecond, a power of two.
    pub(super) fn burst(&self) -> u64 {
        let due = self.rate_pps.unwrap_or(u64::MAX) / 1000;
        1 << due.clamp(1, BURST).ilog2()
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
        match program.test_run(options) {
            // The kernel has something else to do with this thread: the next call goes on.
            Err(error) if is_interrupted(&error) => Ok(()),
            Err(error) => Err(error).context("the kernel does not run the flood"),
            Ok(_) => Ok(()),
        }
    }
}

fn is_interrupted(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else {
        return false;
    };
    error.io_error.kind() == ErrorKind::Interrupted
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
    fn a_burst_is_a_millisecond_long() {
        let frame = crate::frames::Packet::ipv4("10.1.2.3", "10.0.0.1")
            .udp(1, 9)
            .build();
        for (rate, burst) in [
            (1, 1),
            (1999, 1),
            (20_000, 16),
            (100_000, 64),
            (1 << 40, 64),
        ] {
            let flood = Flood {
                rate_pps: Some(rate),
                ..Flood::new(frame.clone(), 1)
            };
            assert_eq!(flood.burst(), burst, "{rate}");
        }
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
