//! Memory of the kernel side, and the time it takes to load.

use std::time::Duration;

use lab::bench::load::Loaded;
use serde_json::{Map, Value, json};

/// Maps smaller than this are not worth a line of their own.
const SHOWN_BYTES: u64 = 64 << 10;

/// Prints what the maps of each kernel side take.
pub(crate) fn show(loaded: &[(&str, &Loaded)]) -> Value {
    let mut figures = Vec::new();
    say!("{:<46} {:>9}", "MEMORY OF MAPS", "KiB");
    for (name, loaded) in loaded {
        let all: u64 = loaded.maps.iter().map(|map| map.bytes).sum();
        say!("{:<46} {:>9}", format!("with {name}"), kib(all));
        let (shown, rest): (Vec<_>, Vec<_>) =
            loaded.maps.iter().partition(|map| map.bytes >= SHOWN_BYTES);
        for map in shown {
            say!("  {:<44} {:>9}", map.name, kib(map.bytes));
        }
        let bytes: u64 = rest.iter().map(|map| map.bytes).sum();
        say!(
            "  {:<44} {:>9}",
            format!("{} others", rest.len()),
            kib(bytes)
        );
        let maps = loaded
            .maps
            .iter()
            .map(|map| (map.name.clone(), json!(map.bytes)));
        let maps: Map<_, _> = maps.collect();
        figures.push(json!({ "name": name, "bytes": all, "maps": maps }));
    }
    say!("");
    figures.into()
}

fn kib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 10)
}

/// Prints how long each took to load.
pub(crate) fn show_time(loaded: &[(&str, &Loaded)]) -> Value {
    let mut figures = Vec::new();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    say!("{:<46} {:>9} {:>9}", "LOADING", "PLAN ms", "KERNEL ms");
    for (name, loaded) in loaded {
        let (plan, kernel) = (ms(loaded.planned_in), ms(loaded.loaded_in));
        say!("{:<46} {plan:>9.0} {kernel:>9.0}", format!("with {name}"));
        figures.push(json!({ "name": name, "plan_ms": plan, "kernel_ms": kernel }));
    }
    say!("");
    figures.into()
}
