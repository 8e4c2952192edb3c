//! What is to be kept out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use anyhow::{Context as _, Result};
use lab::{
    flood::{Flood, Running},
    stage::{NOBODY, SERVER, Stage},
};

use crate::refused::{FIRST, SOURCES};

/// The first of many sources that do not exist, all denied (RFC 2544's network).
const FORGED: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);
/// The first of many that do not exist and that no rule names: the gate of new sources is for them.
const STRANGE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xf00d, 0, 0, 0, 0, 1);
/// Enough to be met by any gap of a millisecond, little enough for two processors.
const RATE_PPS: u64 = 10_000;
/// Of all sources together that are refused as the run goes on: each keeps to its limit.
const REFUSED_PPS: u64 = 5_000;
/// Where all of it goes.
const PORT: u16 = 9;

/// Floods under way.
pub(crate) struct Floods {
    denied: Vec<Running>,
    others: Vec<Running>,
    /// Who listens needs no answer that nobody is there, which the host would have to find a way for.
    _listener: UdpSocket,
}

impl Floods {
    /// Starts them; the agent has to protect already.
    pub(crate) fn start(stage: &Stage) -> Result<Self> {
        let listen = || UdpSocket::bind((SERVER, PORT)).context("the end of the floods");
        let listener = stage.host().run(listen)?;
        let flood = |source: IpAddr, sources, rate_pps| -> Result<Running> {
            let packet = stage.packet(source).udp(4000, PORT).payload([0; 18]);
            let flood = Flood {
                sources,
                rate_pps: Some(rate_pps),
                ..Flood::new(packet.build(), u64::MAX)
            };
            flood.start(&stage.client)
        };
        Ok(Self {
            denied: vec![
                flood(NOBODY.into(), 1, RATE_PPS)?,
                flood(FORGED.into(), 1 << 17, RATE_PPS)?,
            ],
            others: vec![
                flood(STRANGE.into(), 1 << 20, RATE_PPS)?,
                flood(FIRST.into(), u64::from(SOURCES), REFUSED_PPS)?,
            ],
            _listener: listener,
        })
    }

    /// Ends them, and says how many frames of denied sources were sent.
    pub(crate) fn stop(self) -> Result<u64> {
        for flood in self.denied.iter().chain(&self.others) {
            flood.stop();
        }
        let mut sent = 0;
        for flood in self.denied {
            sent += flood.wait()?.frames;
        }
        for flood in self.others {
            flood.wait()?;
        }
        Ok(sent)
    }
}

/// Whether the configuration denies it.
pub(crate) fn is_denied(source: Ipv4Addr) -> bool {
    source == NOBODY || source.to_bits() >> 17 == FORGED.to_bits() >> 17
}
