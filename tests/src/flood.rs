//! Floods: one frame sent many times, from one source or from billions, by the kernel itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use aya::{
    EbpfLoader, TestRun as _, TestRunAttrs, TestRunOptions,
    maps::{Array, MapData},
    programs::Xdp,
};

use crate::{frames::Frame, link::Interface, object, scheduling};

/// Frames that leave together when paced; the ring they go into has 256 slots.
const BURST: u64 = 64;

/// Frames the kernel prepares at once.
const BATCH: u32 = 64;

/// Runs of the program between two looks at the progress, some 10 ms of them when paced.
const RUNS: u64 = 256;

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
    pub fn rate(&self) -> f64 {
        self.frames as f64 / self.time.as_secs_f64()
    }
}

/// A flood under way; dropping it stops it.
#[derive(Debug)]
pub struct Running {
    progress: Arc<Progress>,
    thread: Option<JoinHandle<Result<Sent>>>,
}

#[derive(Debug, Default)]
struct Progress {
    sent: AtomicU64,
    stop: AtomicBool,
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

    /// Begins to send out of `interface`, at idle priority on CPU 0.
    pub fn start(self, interface: &Interface) -> Result<Running> {
        let fields = Fields::of(&self.frame)?;
        ensure!((1..=1 << 32).contains(&self.sources), "1 to 2^32 sources");
        ensure!((1..=1 << 16).contains(&self.ports), "1 to 2^16 ports");
        ensure!(
            self.ports == 1 || fields.port_offset != 0,
            "this frame has no ports"
        );
        let progress = Arc::new(Progress::default());
        let (shared, interface) = (Arc::clone(&progress), interface.clone());
        let thread = thread::Builder::new()
            .name("flood".into())
            .spawn(move || self.send(&fields, &interface, &shared))?;
        Ok(Running {
            progress,
            thread: Some(thread),
        })
    }

    fn send(&self, fields: &Fields, interface: &Interface, progress: &Progress) -> Result<Sent> {
        interface.namespace().enter()?;
        scheduling::idle_on_first_cpu()?;
        let mut loader = EbpfLoader::new();
        let interval_ns = self.rate_pps.map_or(0, |rate| BURST * 1_000_000_000 / rate);
        fields.set(&mut loader, self, &interval_ns);
        let mut object = object::load(&mut loader)?;
        let sent: Array<MapData, u64> = object::array(&mut object, "SENT")?;
        let program = object::xdp(&mut object, "flood")?;
        let begin = Instant::now();
        let mut frames = 0;
        while frames < self.count && !progress.stop.load(Ordering::Relaxed) {
            let runs = if self.rate_pps.is_some() {
                RUNS
            } else {
                RUNS.min(self.count - frames)
            };
            self.send_some(program, interface.index(), runs as u32)?;
            let before = frames;
            frames = sent.get(&0, 0)?;
            ensure!(
                self.rate_pps.is_some() || frames > before,
                "the kernel sends no frame"
            );
            progress.sent.store(frames, Ordering::Relaxed);
        }
        Ok(Sent {
            frames,
            time: begin.elapsed(),
        })
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
    pub fn sent(&self) -> u64 {
        self.progress.sent.load(Ordering::Relaxed)
    }

    /// Whether the last frame was sent.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks it to stop early; [`Self::wait`] then tells how far it came.
    pub fn stop(&self) {
        self.progress.stop.store(true, Ordering::Relaxed);
    }

    /// Waits for the end.
    pub fn wait(mut self) -> Result<Sent> {
        let thread = self.thread.take().context("a flood is waited for once")?;
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
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

/// Where the varied fields of a frame are, in bytes from its start, 0 where there are none.
#[derive(Debug, PartialEq, Eq)]
struct Fields {
    address_offset: u32,
    port_offset: u32,
    ip_checksum_offset: u32,
    l4_checksum_offset: u32,
    address: u32,
    port: u32,
    ip_checksum: u32,
    l4_checksum: u32,
}

impl Fields {
    fn of(frame: &Frame) -> Result<Self> {
        let (network, transport) = (frame.network_offset(), frame.transport_offset());
        let version = frame.get(network).context("a frame without IP header")? >> 4;
        let (address_offset, ip_checksum_offset, protocol) = match version {
            4 => (network + 12, network + 10, frame[network + 9]),
            6 => (network + 12, 0, frame[network + 6]),
            other => anyhow::bail!("a flood of IP version {other}"),
        };
        let (port_offset, l4_checksum_offset) = match protocol {
            6 => (transport, transport + 16),
            17 => (transport, transport + 6),
            _ => (0, 0),
        };
        Ok(Self {
            address_offset: address_offset as u32,
            port_offset: port_offset as u32,
            ip_checksum_offset: ip_checksum_offset as u32,
            l4_checksum_offset: l4_checksum_offset as u32,
            address: word(frame, address_offset) << 16 | word(frame, address_offset + 2),
            port: word(frame, port_offset),
            ip_checksum: word(frame, ip_checksum_offset),
            l4_checksum: word(frame, l4_checksum_offset),
        })
    }

    fn set<'a>(&'a self, loader: &mut EbpfLoader<'a>, flood: &'a Flood, interval_ns: &'a u64) {
        let words = [
            ("ADDRESS_OFFSET", &self.address_offset),
            ("PORT_OFFSET", &self.port_offset),
            ("IP_CHECKSUM_OFFSET", &self.ip_checksum_offset),
            ("L4_CHECKSUM_OFFSET", &self.l4_checksum_offset),
            ("ADDRESS_BASE", &self.address),
            ("PORT_BASE", &self.port),
            ("IP_CHECKSUM", &self.ip_checksum),
            ("L4_CHECKSUM", &self.l4_checksum),
        ];
        let long_words = [
            ("ADDRESS_COUNT", &flood.sources),
            ("PORT_COUNT", &flood.ports),
            ("FRAME_COUNT", &flood.count),
            ("INTERVAL_NS", interval_ns),
            ("BURST", &BURST),
        ];
        for (name, value) in words {
            loader.override_global(name, value, true);
        }
        for (name, value) in long_words {
            loader.override_global(name, value, true);
        }
    }
}

/// The 16 bits at `offset`, in network order.
fn word(frame: &[u8], offset: usize) -> u32 {
    u32::from(u16::from_be_bytes([frame[offset], frame[offset + 1]]))
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
    use crate::frames::Packet;

    #[test]
    fn finds_the_fields_of_both_families() {
        let frame = Packet::ipv4("10.1.2.3", "10.0.0.1").udp(4000, 9).build();
        let fields = Fields::of(&frame).expect("a UDP frame");
        assert_eq!(fields.address, 0x0a01_0203);
        assert_eq!(fields.port, 4000);
        assert_eq!((fields.address_offset, fields.ip_checksum_offset), (26, 24));
        assert_eq!((fields.port_offset, fields.l4_checksum_offset), (34, 40));

        let frame = Packet::ipv6("2001:db8:1:2::3", "2001:db8::1")
            .tcp(4000, 9)
            .build();
        let fields = Fields::of(&frame).expect("a TCP frame");
        assert_eq!(fields.address, 0x0001_0002);
        assert_eq!((fields.address_offset, fields.ip_checksum_offset), (26, 0));
        assert_eq!((fields.port_offset, fields.l4_checksum_offset), (54, 70));
    }

    #[test]
    fn a_frame_without_ports_varies_its_address_only() {
        let frame = Packet::ipv4("10.1.2.3", "10.0.0.1").icmp(8, 0).build();
        let fields = Fields::of(&frame).expect("an ICMP frame");
        assert_eq!((fields.port_offset, fields.l4_checksum_offset), (0, 0));
        assert!(Fields::of(&Packet::arp("10.1.2.3", "10.0.0.1").build()).is_err());
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
