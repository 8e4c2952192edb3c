//! The time it takes to replace the lists, and to add an entry to them.

use std::time::Duration;

use anyhow::Result;
use guard::kernel::Tick;
use lab::bench::{Family, Scale, feed::Replaced, lists::Lists};
use serde_json::{Value, json};

/// What is added.
const ENTRIES: [(&str, Family, u8); 4] = [
    ("an address, IPv4", Family::V4, 32),
    ("a prefix, IPv4 /24", Family::V4, 24),
    ("an address, IPv6", Family::V6, 128),
    ("a prefix, IPv6 /48", Family::V6, 48),
];

/// Measures and prints both.
pub(crate) fn measure(scale: &Scale, lists: &Lists, tick: Tick) -> Result<Value> {
    let mut replaced = Replaced::new(scale, lists, tick)?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let [read, plan, kernel] = [replaced.read_in, replaced.planned_in, replaced.loaded_in].map(ms);
    say!(
        "{:<46} {:>9} {:>9} {:>9}",
        "REPLACING A FEED",
        "READ ms",
        "PLAN ms",
        "KERNEL ms"
    );
    say!(
        "{:<46} {read:>9.0} {plan:>9.0} {kernel:>9.0}",
        "of the lists"
    );
    say!("");
    say!("{:<46} {:>9}", "ADDING TO THEM", "MEDIAN ms");
    let mut entries = Vec::new();
    for (name, family, length) in ENTRIES {
        let time = ms(replaced.add_one(family, length)?);
        say!("{name:<46} {time:>9.3}");
        entries.push(json!({ "name": name, "median_ms": time }));
    }
    say!("");
    Ok(json!({ "read_ms": read, "plan_ms": plan, "kernel_ms": kernel, "entry": entries }))
}
