//! From one source to ten million, who send in turn.

use anyhow::Result;
use guard::kernel::Tick;
use lab::bench::{
    Family::V4,
    Scale,
    curve::Point,
    report::Recorder,
    table::{Table, count},
    traffic::{From, Kind, Traffic},
};

use crate::{LIMITS, method, record};

const COSTS: Table = Table::less("Sources", "ns");
const MEMORY: Table = Table::less("Memory of sources", "MiB");

const COUNTS: &[usize] = &[1, 1_000, 100_000, 1_000_000, 10_000_000];
/// With which one sees that it runs.
const TINY_COUNTS: &[usize] = &[1, 1_000, 10_000];

/// Measures packets and memory.
pub(crate) fn measure(scale: &Scale, tick: Tick, recorder: &mut Recorder) -> Result<()> {
    methods(scale, recorder);
    let is_tiny = scale.repeat < 100_000;
    let counts = if is_tiny { TINY_COUNTS } else { COUNTS };
    let mut points = Vec::new();
    for sources in counts {
        let mut point = Point::new(&count(*sources), LIMITS, None, tick)?;
        for (column, kind) in [("UDP", Kind::Udp), ("TCP SYN to a service", Kind::Syn)] {
            let traffic = Traffic::benign(V4, From::New, kind);
            point.gets_in_turn(column, traffic, *sources as u64)?;
        }
        points.push(point);
    }
    record(&mut points, COSTS, MEMORY, scale, recorder)
}

fn methods(scale: &Scale, recorder: &mut Recorder) {
    for table in [COSTS, MEMORY] {
        recorder.counts(table.title, "sources that send in turn");
    }
    recorder.method(COSTS.title, method(scale));
    recorder.method(
        COSTS.title,
        "So many IPv4 addresses, spread as if at random over all there are, send a packet each in turn. \
         All of them have sent before anything is measured, and none is one the host talks with.",
    );
    recorder.method(
        COSTS.title,
        "The shape: flat within the nearest cache, then a rise with the cache misses, of one line a \
         packet, and flat again where there are more than the 262,144 sources that the table holds: \
         one it does not know takes the place of the one that owes least, whoever else there is.",
    );
    recorder.method(
        MEMORY.title,
        "Of all maps, as the kernel counts it. The shape: flat. The table of sources has its size from \
         the start.",
    );
}
