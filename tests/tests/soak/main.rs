//! Floods, a reload a second and random kills of an agent that is to keep protecting, also while it
//! starts: nothing gets through that is denied, by the configuration, by hand, by a list of others or by
//! a ban, nothing is leaked, and who is well-behaved goes on.
//!
//! `GUARD_SOAK_SEED` sets what happens when; each run prints its seed.

#![forbid(unsafe_code)]

mod agents;
mod client;
mod configuration;
mod floods;
mod refused;
mod refusing;
mod reloads;
mod run;

use std::time::Duration;

use anyhow::Result;

use self::run::{Plan, soak};

#[test]
fn three_minutes_of_floods_reloads_and_kills_leak_nothing() -> Result<()> {
    soak(&Plan {
        killing: Duration::from_secs(110),
        living: Duration::from_mins(1),
        growth_bytes: 8 << 20,
    })
}

#[test]
#[ignore = "takes an hour: `cargo xtask test --full`"]
fn an_hour_of_floods_reloads_and_kills_leaks_nothing() -> Result<()> {
    soak(&Plan {
        killing: Duration::from_mins(45),
        living: Duration::from_mins(15),
        growth_bytes: 8 << 20,
    })
}
