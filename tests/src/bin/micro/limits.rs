//! What limits let through, against what they say.

use anyhow::Result;
use guard::kernel::Tick;
use lab::bench::{
    Scale, accuracy,
    crowd::{self, Share},
    report::Recorder,
    table::{Table, count},
};

const LIMITS: Table = Table::neither("Limits", "%");
const CROWD: Table = Table::neither("A crowd", "packets");
const CROWD_ERROR: Table = Table::neither("A crowd", "%");

/// The limits that one source overruns, on so many CPUs.
const OVERRUNS: [(&str, usize); 4] = [("250k/s", 1), ("250k/s", 2), ("10k/s", 1), ("10k/s", 2)];

/// Overruns limits, and records how far what passed is from what may.
pub(crate) fn overruns(scale: &Scale, tick: Tick, recorder: &mut Recorder) -> Result<()> {
    recorder.method(
        LIMITS.title,
        format!(
            "One source sends as fast as it can, {} times for {:?}: by how many percent more passes \
             than capacity + time × rate, and what leaks in one tick of the clock, which is {} µs. \
             Less than zero: fewer.",
            scale.overruns,
            scale.overrun,
            count(tick.ns as usize / 1_000)
        ),
    );
    for (rate, cpus) in OVERRUNS {
        let row = format!("{rate}, {cpus} CPU{}", if cpus == 1 { "" } else { "s" });
        if accuracy::cpus()? < cpus {
            recorder.method(
                LIMITS.title,
                format!("Not measured: {row}, for want of CPUs."),
            );
            continue;
        }
        let mut errors = Vec::new();
        for _ in 0..scale.overruns {
            errors.push(accuracy::overrun(rate, cpus, scale.overrun, tick)?.error());
        }
        LIMITS.add(recorder, &row, "guard", errors)?;
    }
    Ok(())
}

/// Has offenders and well-behaved sources send amid a spoofed flood, and records what became of them.
#[expect(clippy::cast_precision_loss, reason = "packets of a few seconds")]
pub(crate) fn crowd(scale: &Scale, recorder: &mut Recorder) -> Result<()> {
    let crowd = crowd::run(scale.spoofed)?;
    recorder.method(
        CROWD.title,
        format!(
            "Amid {} packets from as many spoofed sources, {} sources send 95 % of their limit and {} \
             send 9.5 times theirs. On a manual clock, so each run comes to the same.",
            count(crowd.spoofed.sent as usize),
            crowd.behaved.sources,
            crowd.offenders.sources
        ),
    );
    for (row, share) in [
        ("spoofed, a packet each", crowd.spoofed),
        ("at 95 % of their limit", crowd.behaved),
        ("at 9.5 times their limit", crowd.offenders),
    ] {
        let Share { sent, passed, .. } = share;
        for (column, packets) in [
            ("sent", sent),
            ("passed", passed),
            ("dropped", sent - passed),
        ] {
            CROWD.add(recorder, row, column, vec![packets as f64])?;
        }
    }
    let row = "at 9.5 times their limit";
    CROWD_ERROR.add(recorder, row, "over what may pass", vec![crowd.error()])
}
