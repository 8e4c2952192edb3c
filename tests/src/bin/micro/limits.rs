//! What limits let through, against what they say.

use anyhow::Result;
use guard::kernel::Tick;
use lab::bench::{
    Scale,
    accuracy::{self, Overrun},
    crowd::{self, Share},
};
use serde_json::{Value, json};

/// The limits that one source overruns, on so many CPUs.
const OVERRUNS: [(&str, usize); 4] = [("250k/s", 1), ("250k/s", 2), ("10k/s", 1), ("10k/s", 2)];

/// Overruns limits, and prints how far what passed is from what may.
pub(crate) fn overruns(scale: &Scale, tick: Tick) -> Result<Value> {
    let mut figures = Vec::new();
    say!(
        "{:<30} {:>11} {:>11} {:>11} {:>8} {:>8} {:>8}",
        "LIMIT OVERRUN BY ONE SOURCE",
        "SENT",
        "PASSED",
        "ALLOWED",
        "ERROR %",
        "LEAST",
        "MOST"
    );
    for (rate, cpus) in OVERRUNS {
        let name = format!("{rate}, {cpus} CPU{}", if cpus == 1 { "" } else { "s" });
        if accuracy::cpus()? < cpus {
            say!("{name:<30} not measured: there are not so many CPUs");
            continue;
        }
        let mut runs = Vec::new();
        for _ in 0..scale.overruns {
            runs.push(accuracy::overrun(rate, cpus, scale.overrun, tick)?);
        }
        runs.sort_by(|one, other| one.error().total_cmp(&other.error()));
        let (least, most) = (runs[0].error(), runs[runs.len() - 1].error());
        let median = runs[runs.len() / 2];
        let error = median.error();
        let Overrun {
            time,
            sent,
            passed,
            bound,
        } = median;
        say!(
            "{name:<30} {sent:>11} {passed:>11} {bound:>11} {error:>8.2} {least:>8.2} {most:>8.2}"
        );
        figures.push(json!({
            "limit": rate,
            "cpus": cpus,
            "seconds": time.as_secs_f64(),
            "sent": sent,
            "passed": passed,
            "allowed": bound,
            "error_percent": error,
            "least_percent": least,
            "most_percent": most,
        }));
    }
    say!("");
    Ok(figures.into())
}

/// Has offenders and well-behaved sources send amid a spoofed flood, and prints what became of them.
pub(crate) fn crowd(scale: &Scale) -> Result<Value> {
    let crowd = crowd::run(scale.spoofed)?;
    say!(
        "{:<30} {:>11} {:>11} {:>11} {:>11}",
        "AMID A SPOOFED FLOOD",
        "SOURCES",
        "SENT",
        "PASSED",
        "DROPPED"
    );
    let (behaved, offenders, spoofed) = (crowd.behaved, crowd.offenders, crowd.spoofed);
    let offending = format!("9.5 times their limit ({:+.2} %)", crowd.error());
    for (name, share) in [
        ("spoofed, a packet each", spoofed),
        ("95 % of their limit", behaved),
        (&*offending, offenders),
    ] {
        let Share {
            sources,
            sent,
            passed,
        } = share;
        let dropped = sent - passed;
        say!("{name:<30} {sources:>11} {sent:>11} {passed:>11} {dropped:>11}");
    }
    say!("");
    let share = |share: Share| {
        json!({
            "sources": share.sources,
            "sent": share.sent,
            "passed": share.passed,
            "dropped": share.sent - share.passed,
        })
    };
    Ok(json!({
        "spoofed": share(spoofed),
        "behaved": share(behaved),
        "offenders": share(offenders),
        "offenders_allowed": crowd.bound,
        "offenders_error_percent": crowd.error(),
    }))
}
