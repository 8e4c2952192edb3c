//! Where the receiver's processor time goes under a flood.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::{Context as _, Result};
use lab::bench::{
    report::Recorder,
    table::{Table, count},
};

use crate::{
    Scale,
    arena::Arena,
    drops::{MODERATE, SETTLED, TOO_MUCH},
    groups,
    peers::Peer,
    perf,
    sources::ONE,
};

/// A flood that is more than anybody takes, and one that everybody takes, in packets a second.
const FLOODS: [(Table, u64); 2] = [
    (
        Table::neither(
            "A flood beyond all: where the receiver's processor time goes",
            "%",
        ),
        TOO_MUCH,
    ),
    (
        Table::neither(
            "A moderate flood: where the receiver's processor time goes",
            "%",
        ),
        MODERATE,
    ),
];
const PEERS: [Peer; 4] = [Peer::Guard, Peer::XdpFilter, Peer::HashDrop, Peer::Nobody];

/// Percent by flood, group and peer.
type Shares = BTreeMap<(usize, &'static str, usize), Vec<f64>>;

/// Measures all of it.
pub(crate) fn measure(arena: &Arena, scale: Scale, recorder: &mut Recorder) -> Result<()> {
    let mut all = Shares::new();
    let mut names = Vec::new();
    for round in 0..usize::from(scale.rounds) {
        for turn in 0..PEERS.len() {
            let which = (round + turn) % PEERS.len();
            let peer = PEERS[which];
            let _standing = peer.stand(arena)?;
            for (number, (_, rate_pps)) in FLOODS.iter().enumerate() {
                let shares = shares(arena, *rate_pps, scale.profile)
                    .with_context(|| format!("the profile of {}", peer.name()))?;
                names = shares.iter().map(|(name, _)| *name).collect();
                for (name, share) in shares {
                    all.entry((number, name, which)).or_default().push(share);
                }
            }
        }
    }
    for (number, (table, _)) in FLOODS.iter().enumerate() {
        explain(recorder, table, scale);
        for name in &names {
            for (which, peer) in PEERS.iter().enumerate() {
                let samples = all.remove(&(number, *name, which)).unwrap_or_default();
                table.add(recorder, name, peer.name(), samples)?;
            }
        }
    }
    Ok(())
}

/// Percent of the receiver's time that each group takes while the flood goes on.
fn shares(arena: &Arena, rate_pps: u64, time: Duration) -> Result<Vec<(&'static str, f64)>> {
    let flood = ONE.flood(arena, u64::MAX, Some(rate_pps));
    let flood = flood.start(&arena.stage.client)?;
    flood.wait_for_first()?;
    thread::sleep(SETTLED);
    let functions = perf::record(arena.threads(), time)?;
    flood.stop();
    flood.wait()?;
    groups::shares(&functions)
}

fn explain(recorder: &mut Recorder, table: &Table, scale: Scale) {
    recorder.method(
        table.title,
        format!(
            "The flood of one source once more, in runs of its own: {} times a second for {} s, `perf \
             record -e {} -C` of the last processor notes which function the receiving thread is in; what \
             the others on that processor do is left out. Functions are put together by their names \
             (tests/src/bin/flood/groups.rs). The clock cannot interrupt where interrupts are off: what \
             is done there shows where they go on again. An idle receiver has no share: under the \
             moderate flood the whole is less time than under the other.",
            count(perf::FREQUENCY as usize),
            scale.profile.as_secs_f64(),
            perf::EVENT
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `perf script --fields tid,ip,sym` listed while guard met a flood.
    /// Thread 29117 received.
    const LISTED: &str = include_str!("profile.txt");

    #[test]
    fn what_perf_lists_is_folded_into_groups() {
        let functions = perf::functions(LISTED, &[29117]);
        assert_eq!(functions.len(), 54);
        let shares = groups::shares(&functions).expect("samples");
        let samples = shares
            .iter()
            .map(|(name, share)| format!("{:.0}: {name}", share * 0.54));
        assert_eq!(
            samples.collect::<Vec<_>>(),
            [
                "19: the program itself",
                "0: helpers and maps that it calls",
                "9: waking, polling and scheduling",
                "15: giving frames back: the page pool and its lock",
                "6: the driver (veth)",
                "5: the rest, such as the stack",
            ]
        );
        let whole: f64 = shares.iter().map(|(_, share)| share).sum();
        assert!((whole - 100.0).abs() < 1e-9, "{shares:?}");
    }

    #[test]
    fn nobody_else_is_counted() {
        assert!(perf::functions(LISTED, &[1]).is_empty());
        assert!(groups::shares(&[]).is_err());
    }
}
