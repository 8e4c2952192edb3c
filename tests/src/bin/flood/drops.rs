//! How many packets of a flood a host can deal with, and what each costs it.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::bench::report::{Better, Figure, Recorder};

use crate::{
    Scale,
    arena::Arena,
    peers::{LIMIT, Peer, STRANGERS, Standing},
    sources::{Kind, ONE, SIXTEEN, SPOOFED, SPOOFED_SOME, SYN, THOUSAND},
};

const RATE: &str = "The largest flood that is dealt with";
const SHARE: &str = "The largest flood that is dealt with: share of an empty XDP_DROP";
const COST: &str = "The largest flood that is dealt with: the receiver's processor time a packet";

const KINDS: [Kind; 6] = [ONE, SIXTEEN, THOUSAND, SPOOFED_SOME, SPOOFED, SYN];
/// The yardstick comes first.
const PEERS: [Peer; 7] = [
    Peer::EmptyDrop,
    Peer::Guard,
    Peer::GuardTold,
    Peer::XdpFilter,
    Peer::NftIngress,
    Peer::NftInput,
    Peer::Nobody,
];

/// Packets a second that the sender is asked for at most: more than it manages.
const MOST: f64 = 8e6;
/// Up to this share is lost by chance.
const LOSS: f64 = 0.01;
/// From what is dealt with of too much to the first rate that may be: losing costs, too.
const FIRST_STEP: f64 = 1.0;
/// From one rate to the next.
const STEP: f64 = 1.2;
/// How often the last step is cut in half.
const BISECTIONS: usize = 2;

/// One kind of flood against one peer, by round.
#[derive(Clone, Debug, Default)]
struct Cell {
    /// Millions of packets a second.
    rates: Vec<f64>,
    /// Nanoseconds a packet.
    costs: Vec<f64>,
}

/// Measures all of it.
pub(crate) fn measure(arena: &Arena, scale: Scale, recorder: &mut Recorder) -> Result<()> {
    let mut cells = PEERS.map(|_| KINDS.map(|_| Cell::default()));
    for round in 0..usize::from(scale.rounds) {
        // Who goes first changes, so that whatever drifts does so for all.
        for turn in 0..PEERS.len() {
            let which = (round + turn) % PEERS.len();
            let peer = PEERS[which];
            let standing = peer.stand(arena)?;
            for (kind, cell) in KINDS.iter().zip(&mut cells[which]) {
                if is_of_interest(peer, *kind) {
                    cell.measure(arena, *kind, &standing, scale)?;
                }
            }
        }
    }
    explain(recorder, scale);
    record(recorder, &cells)
}

/// Of what nobody can list, lists are of no use.
fn is_of_interest(peer: Peer, kind: Kind) -> bool {
    peer != Peer::GuardTold || !kind.is_spoofed()
}

impl Cell {
    /// Looks for the highest rate of which nearly nothing is lost: up from what is dealt with of too
    /// much, in steps, and then between the last two of them.
    fn measure(
        &mut self,
        arena: &Arena,
        kind: Kind,
        standing: &Standing,
        scale: Scale,
    ) -> Result<()> {
        let probe = |rate| Probe::run(arena, kind, standing, rate, scale.probe);
        let mut best = probe(MOST)?;
        let mut lost_at = MOST;
        if best.is_lossy() {
            let mut rate = best.rate * FIRST_STEP;
            loop {
                let next = probe(rate)?;
                if next.is_lossy() {
                    lost_at = rate;
                    break;
                }
                best = next;
                rate *= STEP;
            }
            for _ in 0..BISECTIONS {
                let rate = (best.rate * lost_at).sqrt();
                let next = probe(rate)?;
                if next.is_lossy() {
                    lost_at = rate;
                } else {
                    best = next;
                }
            }
        }
        self.rates.push(best.rate / 1e6);
        self.costs.push(best.cost_ns);
        Ok(())
    }
}

/// A flood of a moment.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// Packets a second that were dealt with.
    rate: f64,
    /// Of those sent, how many.
    share: f64,
    /// Nanoseconds a packet.
    cost_ns: f64,
}

impl Probe {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "packets of a moment"
    )]
    fn run(
        arena: &Arena,
        kind: Kind,
        standing: &Standing,
        rate: f64,
        time: Duration,
    ) -> Result<Self> {
        let before = (
            arena.received()?,
            arena.receive_time()?,
            standing.dropped()?,
        );
        let frames = (rate * time.as_secs_f64()) as u64;
        let flood = kind.flood(arena, frames, Some(rate as u64));
        let sent = flood.run(&arena.stage.client)?;
        let received = arena.received()? - before.0;
        let busy = arena.receive_time()?.saturating_sub(before.1);
        ensure!(received > 0, "nothing of `{}` arrived", kind.name);
        if let (Some(before), Some(after)) = (before.2, standing.dropped()?) {
            let passed = received.saturating_sub(after - before);
            // A burst of a second, and what came meanwhile, with some for the clock's grain.
            let may_pass = f64::from(STRANGERS) * (1.1 + sent.time.as_secs_f64() * 1.1);
            ensure!(
                passed as f64 <= may_pass,
                "guard let {passed} of the {received} packets of `{}` pass",
                kind.name
            );
        }
        Ok(Self {
            rate: received as f64 / sent.time.as_secs_f64(),
            share: received as f64 / sent.frames as f64,
            cost_ns: busy.as_secs_f64() * 1e9 / received as f64,
        })
    }

    fn is_lossy(self) -> bool {
        self.share < 1.0 - LOSS
    }
}

fn explain(recorder: &mut Recorder, scale: Scale) {
    recorder.method(
        RATE,
        format!(
            "Frames of 60 bytes, sent by the kernel itself from the first processor through a veth \
             pair; the last processor receives them, on a thread of its own that goes before all else. \
             Looked for is the highest rate of which no more than {} % is lost for want of room in the \
             cable, which has 256 places, by floods of {} ms: up in steps of {STEP}, the last of them \
             cut in half {BISECTIONS} times. The sender manages some 6.6 Mpps. Who goes first changes \
             from round to round.",
            LOSS * 100.0,
            scale.probe.as_millis()
        ),
    );
    recorder.method(
        RATE,
        format!(
            "guard lets each source send {LIMIT} packets a second, and those it does not know \
             {STRANGERS} together; it is told nobody's address. nft has the same limit per source. \
             xdp-filter has none: it is told the sources before, and so is guard in the column `guard, \
             deny list`, as far as they can be listed. Whoever lets packets through pays for what the \
             stack does with them: an answer that the port is closed, or a SYN-ACK."
        ),
    );
    recorder.method(SHARE, "From the same runs, round by round.");
    recorder.method(
        COST,
        "Time that the receiving thread ran, by the packets it took. In it is what a veth pair costs, \
         which the empty program shows.",
    );
}

fn record(recorder: &mut Recorder, cells: &[[Cell; KINDS.len()]; PEERS.len()]) -> Result<()> {
    let floors = &cells[0];
    for (table, unit, better) in [
        (RATE, "Mpps", Better::More),
        (SHARE, "%", Better::More),
        (COST, "ns", Better::Less),
    ] {
        for (number, kind) in KINDS.iter().enumerate() {
            for (peer, cells) in PEERS.iter().zip(cells) {
                let cell = &cells[number];
                let samples = match table {
                    RATE => cell.rates.clone(),
                    COST => cell.costs.clone(),
                    _ => cell.shares_of(&floors[number]),
                };
                if samples.is_empty() {
                    continue;
                }
                recorder.add(Figure {
                    table: table.to_owned(),
                    row: kind.name.to_owned(),
                    column: peer.name().to_owned(),
                    unit: unit.to_owned(),
                    better,
                    samples,
                })?;
            }
        }
    }
    Ok(())
}

impl Cell {
    fn shares_of(&self, floor: &Self) -> Vec<f64> {
        let rates = self.rates.iter().zip(&floor.rates);
        rates.map(|(rate, floor)| rate / floor * 100.0).collect()
    }
}
