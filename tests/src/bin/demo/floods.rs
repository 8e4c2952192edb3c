//! The two floods, and what came of them.

use std::{
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::Result;
use lab::{
    agent::Agent,
    flood::{Flood, Sent},
    frames::{Packet, tcp},
    metrics::Metrics,
};

use crate::{
    client::Client,
    interrupt::Interrupt,
    scene::{SERVER, SYN_FLOOD, Scene, TLS_PORT, UDP_FLOOD},
    text,
};

const FRAMES: u64 = 600_000;
const RATE_PPS: u64 = 100_000;

/// The least a flood must have sent to be one.
pub(crate) const FRAMES_PROMISED: u64 = 500_000;

/// What one flood did.
pub(crate) struct Outcome {
    pub(crate) source: Ipv4Addr,
    pub(crate) sent: Sent,
    /// As the server's stack counted it, after guard.
    pub(crate) got_through: u64,
}

impl Outcome {
    /// What was sent and did not reach the server's stack.
    pub(crate) fn stopped(&self) -> u64 {
        self.sent.frames.saturating_sub(self.got_through)
    }
}

pub(crate) struct Floods {
    pub(crate) udp: Outcome,
    pub(crate) syn: Outcome,
    /// What guard says it dropped meanwhile, by reason.
    pub(crate) dropped_packets: u64,
    pub(crate) dropped_connections: u64,
    pub(crate) dropped_otherwise: u64,
    /// Lost before guard, in the ring of the virtual cable.
    pub(crate) lost: u64,
}

impl Floods {
    /// What guard says it dropped, for whatever reason.
    pub(crate) fn dropped_in_all(&self) -> u64 {
        self.dropped_packets + self.dropped_connections + self.dropped_otherwise
    }

    /// Drops for too many packets, of the UDP flood and of the SYN flood. guard's metrics carry no
    /// source, but of the UDP flood nothing is dropped for another reason.
    pub(crate) fn dropped_packets_by_source(&self) -> [u64; 2] {
        let of_udp = self.udp.stopped().min(self.dropped_packets);
        [of_udp, self.dropped_packets - of_udp]
    }

    /// Sends both at once and watches.
    pub(crate) fn run(
        scene: &Scene,
        agent: &Agent,
        client: &Client,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let before = agent.metrics()?;
        let lost_before = scene.client.overruns()?;
        let udp = flood(udp_frame(scene), 1).start(&scene.client)?;
        // Every SYN from another port, as if each were a new connection.
        let syn = flood(syn_frame(scene), 60_000).start(&scene.client)?;
        let begin = Instant::now();
        while !(udp.is_finished() && syn.is_finished()) {
            interrupt.sleep(Duration::from_secs(1))?;
            let sent = udp.sent()? + syn.sent()?;
            let dropped = dropped(&agent.metrics()?, &before, None);
            let seconds = begin.elapsed().as_secs_f64();
            text::progress(&format!(
                "{seconds:4.1} s   sent {:>9}   guard dropped {:>9}   {}",
                text::commas(sent),
                text::commas(dropped),
                client.summary()
            ));
        }
        text::end_progress();
        let (udp, syn) = (udp.wait()?, syn.wait()?);
        // The last frames are still under way.
        interrupt.sleep(Duration::from_millis(300))?;
        let after = agent.metrics()?;
        let dropped_packets = dropped(&after, &before, Some("limit_packets"));
        let dropped_connections = dropped(&after, &before, Some("limit_connections"));
        let dropped_in_all = dropped(&after, &before, None);
        Ok(Self {
            udp: outcome(scene, UDP_FLOOD, udp)?,
            syn: outcome(scene, SYN_FLOOD, syn)?,
            dropped_packets,
            dropped_connections,
            dropped_otherwise: dropped_in_all - dropped_packets - dropped_connections,
            lost: scene.client.overruns()? - lost_before,
        })
    }
}

fn outcome(scene: &Scene, source: Ipv4Addr, sent: Sent) -> Result<Outcome> {
    Ok(Outcome {
        source,
        sent,
        got_through: scene.got_through(source)?,
    })
}

fn flood(frame: lab::frames::Frame, ports: u64) -> Flood {
    Flood {
        cpu: 0,
        ports,
        rate_pps: Some(RATE_PPS),
        ..Flood::new(frame, FRAMES)
    }
}

/// 60 bytes, which are 64 on a wire, where a check sequence of 4 follows.
fn udp_frame(scene: &Scene) -> lab::frames::Frame {
    packet(scene, UDP_FLOOD)
        .udp(4000, 9)
        .payload([0; 18])
        .build()
}

fn syn_frame(scene: &Scene) -> lab::frames::Frame {
    packet(scene, SYN_FLOOD)
        .tcp(1024, TLS_PORT)
        .flags(tcp::SYN)
        .build()
        .pad(60)
}

fn packet(scene: &Scene, source: Ipv4Addr) -> Packet {
    Packet::ip(source.into(), SERVER.into()).macs(scene.client.mac(), scene.server.mac())
}

/// What guard dropped between two scrapes, for one reason or for all.
fn dropped(after: &Metrics, before: &Metrics, reason: Option<&str>) -> u64 {
    let mut labels = vec![("verdict", "drop")];
    labels.extend(reason.map(|reason| ("reason", reason)));
    let sum = |metrics: &Metrics| metrics.sum("guard_packets_total", &labels);
    text::whole(sum(after) - sum(before))
}
