//! The same random streams of packets through the loaded program and through the model, compared
//! packet by packet.

use std::{collections::BTreeMap, env, fmt::Write as _, ops::Range};

use guard_common::reason::{Reason, Verdict};

use crate::{
    draw,
    model::Model,
    noise::Noise,
    pair::{Judged, Pair},
    report::report,
    traffic::Traffic,
};

/// Each stream has a configuration of its own.
const STREAMS: u64 = 16;
const STEPS: usize = 64_000;
/// The streams of a full run.
const MANY: u64 = 20 * STREAMS;
/// An environment variable: set to a number, only the stream of this number is run.
pub(crate) const ONE: &str = "GUARD_TEST_STREAM";
/// Of so many refused packets, rounding may have refused one.
const REFUSED_PER_ROUNDING: u64 = 1_000;

/// What was compared in all streams together.
#[derive(Default)]
struct Compared {
    packets: u64,
    refused: u64,
    refused_by_rounding: u64,
    ways: BTreeMap<Judged, u64>,
}

impl Compared {
    fn add(&mut self, packets: u64, model: &Model) {
        self.packets += packets;
        self.refused_by_rounding += model.refused_by_rounding();
        for verdict in Verdict::ALL {
            for reason in Reason::ALL {
                let count = model.tally.packets(verdict, reason);
                *self.ways.entry((verdict, reason)).or_default() += count;
                if verdict != Verdict::Pass {
                    self.refused += count;
                }
            }
        }
    }

    fn summary(&self) -> String {
        let mut text = format!(
            "{} packets, {} refused, {} of them by rounding",
            self.packets, self.refused, self.refused_by_rounding
        );
        for ((verdict, reason), count) in &self.ways {
            if *count != 0 {
                // Writing to a string cannot fail.
                let _ = write!(text, "\n{count:9} {}/{}", verdict.name(), reason.name());
            }
        }
        text
    }

    /// Streams that all end alike would show little.
    fn assert_every_way_was_taken(&self) {
        // What a connection is and whom the host lives by depends on what came before, or on what
        // the program was told: those have tests of their own.
        let others = [Reason::Plaintext, Reason::ProtectSelf];
        let reasons = Reason::ALL.iter().filter(|of| !others.contains(of));
        for reason in reasons {
            let ways = self.ways.iter().filter(|((_, of), _)| of == reason);
            let count: u64 = ways.map(|(_, count)| count).sum();
            assert!(count >= 500, "only {count} {}", reason.name());
        }
    }

    fn assert_rounding_is_rare(&self) {
        let most = self.refused / REFUSED_PER_ROUNDING;
        assert!(self.refused_by_rounding <= most, "{}", self.summary());
    }
}

/// Compares the streams of these numbers, or the one that is asked for.
fn compare(streams: Range<u64>) {
    let one = env::var(ONE).ok();
    let one = one.map(|number| number.parse::<u64>().expect("the number of a stream"));
    let least = (streams.end - streams.start) * 1_000_000 / STREAMS;
    let mut compared = Compared::default();
    for stream in one.map_or(streams, |one| one..one + 1) {
        println!("stream {stream}");
        compare_one(stream, &mut compared);
    }
    println!("{}", compared.summary());
    if one.is_none() {
        assert!(compared.packets >= least, "only {}", compared.packets);
        compared.assert_every_way_was_taken();
        compared.assert_rounding_is_rare();
    }
}

fn compare_one(stream: u64, compared: &mut Compared) {
    let mut noise = Noise(stream << 40);
    let setup = draw::setup(stream, &mut noise);
    let traffic = Traffic::random(&setup, STEPS, &mut noise);
    let mut pair = Pair::load(&setup, &traffic);
    match pair.run(&traffic.steps) {
        Ok(packets) => {
            pair.assert_same_counts();
            compared.add(packets, &pair.model);
        }
        Err(difference) => panic!("{}", report(stream, &setup, &traffic, &difference)),
    }
}

#[test]
fn a_million_packets_end_as_the_model_says() {
    compare(0..STREAMS);
}

#[test]
#[ignore = "takes minutes"]
fn twenty_million_packets_end_as_the_model_says() {
    compare(STREAMS..STREAMS + MANY);
}
