//! Nanoseconds a packet.

use anyhow::{Context as _, Result};
use guard::kernel::Tick;
use lab::bench::{
    Scale,
    lists::Lists,
    load::Loaded,
    meter::{Cost, Meter},
    rows::ROWS,
};
use serde_json::{Value, json};

/// What was measured, and what is left of it.
pub(crate) struct Packets {
    pub(crate) figures: Value,
    /// The kernel side that holds the lists.
    pub(crate) with_lists: Loaded,
}

/// Measures and prints every row.
pub(crate) fn measure(scale: &Scale, lists: &Lists, tick: Tick) -> Result<Packets> {
    let mut meter = Meter::new(*scale)?;
    let (mut figures, mut with_lists) = (Vec::new(), None);
    say!(
        "{:<46} {:>9} {:>8} {:>8} {:>10}",
        "PACKET",
        "MEDIAN ns",
        "LEAST",
        "MOST",
        "VERIFIED"
    );
    for rows in ROWS.chunk_by(|one, next| one.settings == next.settings) {
        let settings = rows[0].settings;
        let listed = settings.lists.then_some(lists);
        let mut loaded = Loaded::new(settings.text, listed, tick)
            .with_context(|| format!("loading guard with {}", settings.name))?;
        let program = loaded.kernel.program()?;
        let verified = program.info()?.verified_instruction_count().unwrap_or(0);
        for row in rows {
            let Cost {
                least,
                median,
                most,
            } = row.measure(&mut loaded.kernel, lists, &mut meter, scale)?;
            say!(
                "{:<46} {median:>9.1} {least:>8.1} {most:>8.1} {verified:>10}",
                row.name
            );
            figures.push(json!({
                "name": row.name,
                "settings": settings.name,
                "median_ns": median,
                "least_ns": least,
                "most_ns": most,
                "verified": verified,
            }));
        }
        if settings.lists {
            with_lists = Some(loaded);
        }
    }
    say!("");
    Ok(Packets {
        figures: figures.into(),
        with_lists: with_lists.context("no row has the lists")?,
    })
}
