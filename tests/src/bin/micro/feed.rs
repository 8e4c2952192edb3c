//! The time it takes to replace the lists, and to add an entry to them.

use anyhow::Result;
use guard::kernel::Tick;
use lab::bench::{
    Family, Scale,
    feed::Replaced,
    lists::Lists,
    report::Recorder,
    table::{Table, count, microseconds, milliseconds},
};

const TABLE: Table = Table::less("Lists", "ms");
const ENTRY: Table = Table::less("Lists", "µs");

/// What is added.
const ENTRIES: [(&str, Family, u8); 4] = [
    ("an address added, IPv4", Family::V4, 32),
    ("a prefix added, IPv4 /24", Family::V4, 24),
    ("an address added, IPv6", Family::V6, 128),
    ("a prefix added, IPv6 /48", Family::V6, 48),
];

/// Measures both.
pub(crate) fn measure(
    scale: &Scale,
    lists: &Lists,
    tick: Tick,
    recorder: &mut Recorder,
) -> Result<()> {
    recorder.method(
        TABLE.title,
        format!(
            "A feed of {} addresses and {} prefixes of each family, from a fixed seed, takes the \
             place of the same before, as a reload does it; then single entries are added.",
            count(scale.addresses),
            count(scale.prefixes)
        ),
    );
    let mut replaced = Replaced::new(scale.rounds, lists, tick)?;
    let parts = [
        ("replaced: file read", &replaced.read_in),
        ("replaced: planned", &replaced.planned_in),
        ("replaced: put in force", &replaced.loaded_in),
        ("replaced: all of it", &replaced.whole()),
    ];
    for (row, times) in parts {
        TABLE.add(recorder, row, "guard", milliseconds(times))?;
    }
    for (row, family, length) in ENTRIES {
        let times = replaced.add_one(family, length)?;
        ENTRY.add(recorder, row, "guard", microseconds(&times))?;
    }
    Ok(())
}
