//! What is left of a web server for its clients while a flood goes on.

use std::{collections::BTreeMap, thread, time::Duration};

use anyhow::Result;
use lab::bench::{
    report::{Better, Figure, Recorder},
    table::count,
};

use crate::{
    Scale,
    arena::Arena,
    load::{Load, Served},
    peers::Peer,
    sources::{Kind, ONE, SPOOFED, SPOOFED_SOME, SYN, THOUSAND},
};

/// The others and guard under everything; guard with a deny list only where that is what an open flood
/// is held against.
const PEERS: [Peer; 5] = [
    Peer::Guard,
    Peer::GuardTold,
    Peer::XdpFilter,
    Peer::NftIngress,
    Peer::Nobody,
];
const KINDS: [Kind; 5] = [ONE, THOUSAND, SPOOFED_SOME, SPOOFED, SYN];
/// The rate in packets a second from which on guard with a deny list is asked too.
const TOLD_FROM: u64 = 500_000;
/// A flood is on by then.
const SETTLED: Duration = Duration::from_millis(200);

/// A flood at a rate, in packets a second; none at all.
#[derive(Clone, Copy, Debug)]
struct Under(Option<(Kind, u64)>);

/// What was served, by load, flood and peer.
type Cells = BTreeMap<(usize, usize, usize), Vec<Served>>;
/// Thousands of packets a second that were sent, by flood and peer.
type Rates = BTreeMap<(usize, usize), Vec<f64>>;

/// Measures all of it.
pub(crate) fn measure(arena: &Arena, scale: Scale, recorder: &mut Recorder) -> Result<()> {
    let floods = floods(scale);
    let mut served = Cells::new();
    let mut sent = Rates::new();
    for round in 0..usize::from(scale.rounds) {
        for turn in 0..PEERS.len() {
            let which = (round + turn) % PEERS.len();
            let peer = PEERS[which];
            let _standing = peer.stand(arena)?;
            for (number, under) in floods.iter().enumerate() {
                let loads = under.loads(peer);
                if loads.is_empty() {
                    continue;
                }
                let (all, rate) = under.serve(arena, loads, scale.seconds)?;
                for (load, one) in all.into_iter().enumerate() {
                    served.entry((load, number, which)).or_default().push(one);
                }
                sent.entry((number, which)).or_default().extend(rate);
            }
        }
    }
    record(recorder, scale, &floods, &served, &sent)
}

fn floods(scale: Scale) -> Vec<Under> {
    let mut floods = vec![Under(None)];
    for kind in KINDS {
        let rates = if kind == ONE {
            scale.rates_of_one
        } else {
            scale.rates
        };
        floods.extend(rates.iter().map(|rate| Under(Some((kind, *rate)))));
    }
    floods
}

impl Under {
    fn name(self) -> String {
        match self.0 {
            None => "no flood".to_owned(),
            Some((kind, rate)) => format!("{}, {}/s", kind.name, count(rate as usize)),
        }
    }

    /// What the server is asked for meanwhile.
    fn loads(self, peer: Peer) -> &'static [Load] {
        let is_yardstick = peer == Peer::GuardTold;
        match self.0 {
            Some((kind, rate)) if is_yardstick && (kind != ONE || rate < TOLD_FROM) => &[],
            Some((SPOOFED_SOME, _)) => &[Load::Http1],
            _ => &[Load::Http1, Load::Http2],
        }
    }

    /// What is served under it, and how much of it was sent, in thousands of packets a second.
    fn serve(
        self,
        arena: &Arena,
        loads: &[Load],
        time: Duration,
    ) -> Result<(Vec<Served>, Option<f64>)> {
        let ask = || -> Result<Vec<Served>> {
            let loads = loads.iter();
            loads.map(|load| load.run(arena, time)).collect()
        };
        let Some((kind, rate)) = self.0 else {
            return Ok((ask()?, None));
        };
        let flood = kind.flood(arena, u64::MAX, Some(rate));
        let flood = flood.start(&arena.stage.client)?;
        flood.wait_for_first()?;
        thread::sleep(SETTLED);
        let served = ask()?;
        flood.stop();
        let sent = flood.wait()?;
        #[expect(clippy::cast_precision_loss, reason = "packets of a second")]
        let rate = sent.rate() as f64 / 1e3;
        Ok((served, Some(rate)))
    }
}

/// A table about what was served.
struct Table {
    title: &'static str,
    method: &'static str,
    unit: &'static str,
    better: Better,
    of: fn(Served) -> f64,
}

const TABLES: [Table; 3] = [
    Table {
        title: "requests a second",
        method: "Of the same runs.",
        unit: "/s",
        better: Better::More,
        of: |served| served.rate,
    },
    Table {
        title: "time of the median request",
        method: "Of the same runs. Where nothing was answered, it is how long was asked.",
        unit: "ms",
        better: Better::Less,
        of: |served| served.p50_ms,
    },
    Table {
        title: "time within which 99 of 100 are answered",
        method: "Of the same runs. Where nothing was answered, it is how long was asked.",
        unit: "ms",
        better: Better::Less,
        of: |served| served.p99_ms,
    },
];

fn record(
    recorder: &mut Recorder,
    scale: Scale,
    floods: &[Under],
    served: &Cells,
    sent: &Rates,
) -> Result<()> {
    for (number_of_load, load) in [Load::Http1, Load::Http2].into_iter().enumerate() {
        let share = format!("nginx under a flood, {}: share of no flood", load.name());
        explain(recorder, &share, scale);
        each(floods, |number, peer, row, column| {
            let cell = served.get(&(number_of_load, number, peer));
            let without = served.get(&(number_of_load, 0, peer));
            let (Some(cell), Some(without), true) = (cell, without, number > 0) else {
                return Ok(());
            };
            let rates = cell.iter().zip(without);
            let samples = rates.map(|(with, without)| with.rate / without.rate * 100.0);
            let samples = samples.collect();
            recorder.add(figure(&share, row, column, "%", Better::More, samples))
        })?;
        for table in &TABLES {
            let title = format!("nginx under a flood, {}: {}", load.name(), table.title);
            recorder.method(&title, table.method);
            let (unit, better) = (table.unit, table.better);
            each(floods, |number, peer, row, column| {
                let Some(cell) = served.get(&(number_of_load, number, peer)) else {
                    return Ok(());
                };
                let samples = cell.iter().map(|served| (table.of)(*served)).collect();
                recorder.add(figure(&title, row, column, unit, better, samples))
            })?;
        }
    }
    record_sent(recorder, floods, sent)
}

fn record_sent(recorder: &mut Recorder, floods: &[Under], sent: &Rates) -> Result<()> {
    let title = "nginx under a flood: the flood that was sent";
    recorder.method(
        title,
        "Thousands of packets a second that the sender put on the cable, during the runs of both kinds.",
    );
    each(floods, |number, peer, row, column| {
        match sent.get(&(number, peer)) {
            Some(rates) if !rates.is_empty() => {
                let rates = rates.clone();
                recorder.add(figure(title, row, column, "k/s", Better::Neither, rates))
            }
            _ => Ok(()),
        }
    })
}

/// Every flood, and under each every peer.
fn each(
    floods: &[Under],
    mut what: impl FnMut(usize, usize, &str, &str) -> Result<()>,
) -> Result<()> {
    for (number, under) in floods.iter().enumerate() {
        for (peer, column) in PEERS.iter().enumerate() {
            what(number, peer, &under.name(), column.name())?;
        }
    }
    Ok(())
}

fn figure(
    table: &str,
    row: &str,
    column: &str,
    unit: &str,
    better: Better,
    samples: Vec<f64>,
) -> Figure {
    Figure {
        table: table.to_owned(),
        row: row.to_owned(),
        column: column.to_owned(),
        unit: unit.to_owned(),
        better,
        samples,
    }
}

fn explain(recorder: &mut Recorder, table: &str, scale: Scale) {
    recorder.method(
        table,
        format!(
            "nginx with one worker, and its clients (wrk with 64 connections of 64 addresses, h2load \
             with 16 connections of 4 requests at a time), share the last processor with what receives, \
             which goes before them; the flood has the first one for itself, so that it comes as fast \
             whoever protects. Each run takes {} s. A share is of the requests that the same clients \
             were answered in the same round, under the same protection, without a flood. Limits and \
             lists are those of the floods above. The flood of 2^24 spoofed sources meets HTTP/1.1 only.",
            scale.seconds.as_secs()
        ),
    );
}
