//! What is told of a packet on which the program and the model do not agree.

use std::fmt::Write as _;

use crate::{
    noise::hex,
    pair::{Difference, Pair},
    setup::Setup,
    streams::ONE,
    traffic::{Does, Step, Traffic},
};

/// Steps that are told.
const MOST_SHOWN: usize = 60;

/// Everything that it takes to see a difference again, on few packets if possible.
pub(crate) fn report(
    stream: u64,
    setup: &Setup,
    traffic: &Traffic,
    difference: &Difference,
) -> String {
    let Difference {
        position,
        kernel,
        model,
    } = difference;
    // Writing to a string cannot fail.
    let mut text = format!(
        "stream {stream}, step {position}: the kernel side says {kernel:?}, the model {model:?}\n\
         {ONE}={stream} runs this stream alone. Its configuration:\n{}\nown: {:?}, a single \
         set: {}\nThe last of the fewest steps found that end so:\n",
        setup.text(),
        setup.own,
        setup.cramped,
    );
    let fewest = fewest(setup, traffic, &traffic.steps[..=*position]);
    for step in &fewest[fewest.len().saturating_sub(MOST_SHOWN)..] {
        let Step { at_ns, does } = *step;
        let _ = match does {
            Does::Arrives(at) => {
                let bytes = &traffic.arriving[at].bytes;
                writeln!(
                    text,
                    "{at_ns} arrives {}",
                    hex(&bytes[..bytes.len().min(120)])
                )
            }
            Does::Leaves(at) => {
                writeln!(text, "{at_ns} leaves {}", hex(&traffic.leaving[at].bytes))
            }
            Does::Changes(at) => writeln!(text, "{at_ns} {:?}", traffic.changes[at]),
        };
    }
    text
}

/// Leaves out steps, many at a time and then fewer, as long as there is still a difference.
fn fewest(setup: &Setup, traffic: &Traffic, steps: &[Step]) -> Vec<Step> {
    /// Each takes half a second.
    const ATTEMPTS: usize = 200;

    let mut steps = steps.to_vec();
    let (mut chunk, mut attempts) = (steps.len() / 2, 0);
    while chunk > 0 && attempts < ATTEMPTS {
        let mut at = 0;
        while at < steps.len() && attempts < ATTEMPTS {
            let mut fewer = steps.clone();
            fewer.drain(at..(at + chunk).min(steps.len()));
            attempts += 1;
            match Pair::load(setup, traffic).run(&fewer) {
                Err(difference) => {
                    fewer.truncate(difference.position + 1);
                    steps = fewer;
                }
                Ok(_) => at += chunk,
            }
        }
        chunk /= 2;
    }
    steps
}
