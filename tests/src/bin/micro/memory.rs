//! Memory of the kernel side, and the time it takes to load.

use anyhow::Result;
use guard::kernel::Tick;
use lab::bench::{
    Scale,
    lists::Lists,
    load::Loaded,
    report::Recorder,
    table::{Table, mebibytes, milliseconds},
};

const MEMORY: Table = Table::less("Memory", "MiB");
const LOADING: Table = Table::less("Loading", "ms");

/// Maps smaller than this are not worth a line of their own.
const SHOWN_BYTES: u64 = 64 << 10;

/// Loads guard without lists and with them, again and again.
pub(crate) fn measure(
    scale: &Scale,
    lists: &Lists,
    tick: Tick,
    recorder: &mut Recorder,
) -> Result<()> {
    recorder.method(MEMORY.title, "Of all maps, as the kernel counts it.");
    recorder.method(
        LOADING.title,
        "From configuration to plan, and from plan to verified programs and filled maps.",
    );
    let mut times = Vec::new();
    for (column, lists) in [("defaults", None), ("the lists", Some(lists))] {
        let (mut planned, mut loaded) = (Vec::new(), Vec::new());
        for round in 0..scale.rounds {
            let side = Loaded::new("", lists, tick)?;
            planned.push(side.planned_in);
            loaded.push(side.loaded_in);
            if round == 0 {
                memory(&side, column, recorder)?;
            }
        }
        times.push((column, planned, loaded));
    }
    for (column, planned, loaded) in times {
        LOADING.add(recorder, "planned", column, milliseconds(&planned))?;
        LOADING.add(recorder, "loaded", column, milliseconds(&loaded))?;
    }
    Ok(())
}

fn memory(side: &Loaded, column: &str, recorder: &mut Recorder) -> Result<()> {
    let all = vec![mebibytes(side.map_bytes())];
    MEMORY.add(recorder, "all maps", column, all)?;
    for map in side.maps.iter().filter(|map| map.bytes >= SHOWN_BYTES) {
        MEMORY.add(recorder, &map.name, column, vec![mebibytes(map.bytes)])?;
    }
    Ok(())
}
