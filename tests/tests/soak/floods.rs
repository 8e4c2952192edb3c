//! What is to be kept out, and who counts whether it was.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Result;
use lab::{
    counters::SourceCounter,
    flood::{Flood, Running},
    stage::{NOBODY, Stage},
};

/// The first of many sources that do not exist, all denied (RFC 2544's network).
const FORGED: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// The first of many that do not exist and that no rule names: the gate of new sources is for them.
const STRANGE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf00d, 0, 0, 0, 0, 1);
/// Enough to be met by any gap of a millisecond, little enough for two processors.
const RATE_PPS: u64 = 10_000;

/// Floods under way.
pub(crate) struct Floods {
    denied: Vec<Running>,
    strange: Running,
    counter: SourceCounter,
}

/// What came of them.
pub(crate) struct Came {
    /// Frames of denied sources that were sent.
    pub(crate) sent: u64,
    /// Packets of denied sources that the stack received.
    pub(crate) passed: u64,
}

impl Floods {
    /// Starts them; the agent has to protect already.
    pub(crate) fn start(stage: &Stage) -> Result<Self> {
        let counter = SourceCounter::attach(&stage.server)?;
        let flood = |source: IpAddr, sources| -> Result<Running> {
            let packet = stage.packet(source).udp(4000, 9).payload([0; 18]);
            let flood = Flood {
                sources,
                rate_pps: Some(RATE_PPS),
                ..Flood::new(packet.build(), u64::MAX)
            };
            flood.start(&stage.client)
        };
        Ok(Self {
            denied: vec![flood(NOBODY.into(), 1)?, flood(FORGED.into(), 1 << 17)?],
            strange: flood(STRANGE.into(), 1 << 20)?,
            counter,
        })
    }

    /// Packets of denied sources that got through so far.
    pub(crate) fn passed(&self) -> Result<u64> {
        let received = self.counter.received()?;
        let is_denied = |source: &Ipv4Addr| {
            *source == NOBODY || source.to_bits() >> 17 == FORGED.to_bits() >> 17
        };
        let passed = received.iter().filter(|(source, _)| is_denied(source));
        Ok(passed.map(|(_, packets)| packets).sum())
    }

    /// Ends them.
    pub(crate) fn stop(self) -> Result<Came> {
        let mut sent = 0;
        for flood in &self.denied {
            flood.stop();
        }
        self.strange.stop();
        let passed = self.passed()?;
        for flood in self.denied {
            sent += flood.wait()?.frames;
        }
        self.strange.wait()?;
        Ok(Came { sent, passed })
    }
}
