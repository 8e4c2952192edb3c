//! What guard costs and how exact its limits are: test-runs of the real kernel side, which is
//! attached to nothing.
//!
//! A new row of the table of packets is a line in [`rows`].

use std::time::Duration;

pub mod accuracy;
pub mod crowd;
pub mod curve;
pub mod feed;
pub mod lists;
pub mod load;
mod memory;
pub mod meter;
pub mod report;
pub mod rows;
pub mod table;
pub mod traffic;
pub mod xdp_filter;
pub mod yardsticks;

pub use memory::MapMemory;

/// The packets' way to a host of documentation addresses (RFC 5737, RFC 3849).
const SOURCE_V4: &str = "192.0.2.7";
const SOURCE_V6: &str = "2001:db8::7";
const STRANGER_V4: &str = "192.0.2.8";
const STRANGER_V6: &str = "2001:db8:0:1::8";
/// Who is denied where the packets' source is not.
const NEIGHBOUR_V4: &str = "192.0.2.9";
const NEIGHBOUR_V6: &str = "2001:db8:0:2::9";
const HOST_V4: &str = "198.51.100.1";
const HOST_V6: &str = "2001:db8:ffff::1";

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Rounds of each figure, which is their median.
    pub rounds: usize,
    /// Packets of a round.
    pub repeat: u32,
    /// Single addresses on the lists, of each family.
    pub addresses: usize,
    /// Prefixes on the lists, of each family.
    pub prefixes: usize,
    /// How long a limit is overrun, and how often.
    pub overrun: Duration,
    /// How often each limit is overrun.
    pub overruns: usize,
    /// Packets of the spoofed flood.
    pub spoofed: u64,
}

impl Scale {
    /// What figures to be quoted take.
    pub fn full(rounds: usize) -> Self {
        Self {
            rounds,
            repeat: 1_000_000,
            addresses: 1_000_000,
            prefixes: 100_000,
            overrun: Duration::from_secs(1),
            overruns: 3,
            spoofed: 10_000_000,
        }
    }

    /// Enough to see that everything runs; the figures mean nothing.
    pub fn tiny(rounds: usize) -> Self {
        Self {
            rounds,
            repeat: 1_000,
            addresses: 1_000,
            prefixes: 200,
            overrun: Duration::from_millis(20),
            overruns: 1,
            spoofed: 50_000,
        }
    }
}

/// Percent by which more `passed` than may; negative when fewer did.
#[expect(
    clippy::cast_precision_loss,
    reason = "packets of a few seconds are far from 2^53"
)]
fn percent_over(passed: u64, bound: u64) -> f64 {
    (passed as f64 / bound as f64 - 1.0) * 100.0
}
