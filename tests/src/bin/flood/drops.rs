//! How many packets of a flood a host can deal with, and what each costs it.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lab::bench::{
    report::{Better, Figure, Recorder},
    table::count,
};

use crate::{
    Scale,
    arena::Arena,
    peers::{LIMIT, NFT_SET, Peer, STRANGERS, Standing, nft_rule},
    sources::{Kind, ONE, SIXTEEN, SPOOFED, SPOOFED_SOME, SYN, THOUSAND},
};

const RATE: &str = "A flood beyond all: packets dealt with";
const SHARE: &str = "A flood beyond all: share of an empty XDP_DROP";
const COST: &str = "A moderate flood: the receiver's processor time a packet";

const KINDS: [Kind; 6] = [ONE, SIXTEEN, THOUSAND, SPOOFED_SOME, SPOOFED, SYN];
/// What the others are shares of comes first.
const PEERS: [Peer; 9] = [
    Peer::EmptyDrop,
    Peer::ReadDrop,
    Peer::HashDrop,
    Peer::Guard,
    Peer::GuardTold,
    Peer::XdpFilter,
    Peer::NftIngress,
    Peer::NftInput,
    Peer::Nobody,
];

/// Packets a second that nobody can take who looks at them.
pub(crate) const TOO_MUCH: u64 = 8_000_000;
/// Packets a second that everybody can take.
pub(crate) const MODERATE: u64 = 500_000;
/// After its first frame a flood is under way by then, and goes on for so long after it was looked at.
pub(crate) const SETTLED: Duration = Duration::from_millis(60);

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
                    cell.measure(arena, *kind, &standing, scale.probe)?;
                }
            }
        }
    }
    explain(recorder, scale);
    record(recorder, &cells)
}

/// Of what nobody can list, lists are of no use.
fn is_of_interest(peer: Peer, kind: Kind) -> bool {
    !matches!(peer, Peer::GuardTold | Peer::HashDrop) || !kind.is_spoofed()
}

impl Cell {
    fn measure(
        &mut self,
        arena: &Arena,
        kind: Kind,
        standing: &Standing,
        time: Duration,
    ) -> Result<()> {
        let much = Probe::run(arena, kind, standing, TOO_MUCH, time)?;
        self.rates.push(much.rate / 1e6);
        let some = Probe::run(arena, kind, standing, MODERATE, time)?;
        self.costs.push(some.cost_ns);
        Ok(())
    }

    fn shares_of(&self, floor: &Self) -> Vec<f64> {
        let rates = self.rates.iter().zip(&floor.rates);
        rates.map(|(rate, floor)| rate / floor * 100.0).collect()
    }
}

/// What has been received at an instant.
#[derive(Clone, Copy, Debug)]
struct Received {
    at: Instant,
    packets: u64,
    /// Processor time that took.
    busy: Duration,
}

impl Received {
    fn by_now(arena: &Arena) -> Result<Self> {
        Ok(Self {
            packets: arena.received()?,
            at: Instant::now(),
            busy: arena.receive_time()?,
        })
    }
}

/// A flood of a moment.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// Packets a second that were dealt with.
    rate: f64,
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
        rate_pps: u64,
        time: Duration,
    ) -> Result<Self> {
        let (before, dropped) = (arena.received()?, standing.dropped()?);
        let frames = rate_pps as f64 * (SETTLED + time + SETTLED).as_secs_f64();
        let flood = kind.flood(arena, frames as u64, Some(rate_pps));
        let flood = flood.start(&arena.stage.client)?;
        flood.wait_for_first()?;
        thread::sleep(SETTLED);
        let from = Received::by_now(arena)?;
        thread::sleep(time);
        let to = Received::by_now(arena)?;
        let sent = flood.wait()?;
        if let (Some(before_dropped), Some(after)) = (dropped, standing.dropped()?) {
            let received = arena.received()? - before;
            let passed = received.saturating_sub(after - before_dropped);
            // A burst of a second, and what came meanwhile, with some for the clock's grain.
            let may_pass = f64::from(STRANGERS) * (1.1 + sent.time.as_secs_f64() * 1.1);
            ensure!(
                passed as f64 <= may_pass,
                "guard let {passed} of the {received} packets of `{}` pass",
                kind.name
            );
        }
        let packets = (to.packets - from.packets) as f64;
        ensure!(packets > 0.0, "nothing of `{}` arrived", kind.name);
        Ok(Self {
            rate: packets / (to.at - from.at).as_secs_f64(),
            cost_ns: to.busy.saturating_sub(from.busy).as_secs_f64() * 1e9 / packets,
        })
    }
}

fn explain(recorder: &mut Recorder, scale: Scale) {
    recorder.method(
        RATE,
        format!(
            "Frames of 60 bytes, sent by the kernel itself from the first processor through a veth \
             pair; the last processor receives them, on a thread of its own that goes before all else. \
             Counted is what that has taken within {} ms, whatever became of it. The rest is lost in \
             the cable, whose 256 places are full; and whoever is slower than the sender is slowed \
             further by it: frames that are lost go back on the lock that those of the receiver need. \
             Who goes first changes from round to round.",
            scale.probe.as_millis()
        ),
    );
    recorder.method(
        RATE,
        format!(
            "The sender is capped at {} packets a second, so that whoever is quick meets the same flood \
             in each round. That cap, and not itself, may be what bounds the empty program: then it could \
             take more, and the shares of it are lower in truth than they are here.",
            count(TOO_MUCH as usize)
        ),
    );
    explain_peers(recorder);
    recorder.method(
        SHARE,
        "From the same runs, round by round. The empty program may be bounded by the sender's cap. An \
         empty program never has the packet in its cache: what one that looks at it can reach is `read \
         drop`, and with one look-up more `hash drop`.",
    );
    recorder.method(
        COST,
        format!(
            "The same floods at {} packets a second, which everybody can take: time that the \
             receiving thread ran, by the packets it took. In it is what a veth pair costs, and waking \
             the thread, which the empty program shows.",
            count(MODERATE as usize)
        ),
    );
}

/// Who they are, and what each was told.
fn explain_peers(recorder: &mut Recorder) {
    let [limit, strangers] = [LIMIT, STRANGERS].map(|limit| count(limit as usize));
    recorder.method(
        RATE,
        format!(
            "guard lets each source send {limit} packets a second, a second's worth at once, and those \
             it does not know {strangers} together; it is told nobody's address. nft has the same limit \
             per source, in a table with nothing else: `{NFT_SET}` and, in a chain of the hook, `{}`. So \
             it keeps something of 65,536 sources at most, each for 10 s after it was last seen. \
             xdp-filter (addresses only) has no limit: it is told the sources before, and so is guard in \
             the column `guard, deny list`, as far as they can be listed.",
            nft_rule()
        ),
    );
    recorder.method(
        RATE,
        "Two XDP programs say what any can reach that looks at a packet: `read drop` reads the source \
         and drops, whoever it is; `hash drop` looks the source up in a hash table, is told the same ones \
         as xdp-filter, and knows nothing else. Whoever lets packets through pays for what the stack does \
         with them: an answer that the port is closed, or a SYN-ACK.",
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
