//! Thousands of connections of real clients to real servers: what guard says of each service is held
//! against what is known of its connections beforehand.

#![forbid(unsafe_code)]

mod clients;
mod ledger;
mod said;
mod town;
mod visits;

use std::time::Instant;

use anyhow::Result;

use crate::{ledger::Ledger, town::Town};

/// Every client visits every server it knows, so many times as often as in a quick test.
fn every_verdict_is_right(times: u64) -> Result<()> {
    let town = Town::new()?;
    let mut ledger = Ledger::default();
    let start = Instant::now();
    visits::tls(&town, times, &mut ledger)?;
    visits::plain(&town, times, &mut ledger)?;
    visits::strangers(&town, times, &mut ledger)?;
    visits::in_pieces(&town, times, &mut ledger)?;
    println!("{} connections in {:.1?}", ledger.opened(), start.elapsed());
    ledger.wait_and_compare(&town.agent)?;
    town.leave()
}

#[test]
fn two_thousand_connections_are_told_right() -> Result<()> {
    every_verdict_is_right(1)
}

#[test]
#[ignore = "takes minutes: `cargo xtask test --full`"]
fn forty_thousand_connections_are_told_right() -> Result<()> {
    every_verdict_is_right(20)
}
