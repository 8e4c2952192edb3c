//! From one service to as many as there can be.

use std::fmt::Write as _;

use anyhow::Result;
use guard::kernel::Tick;
use lab::bench::{
    Family::V4,
    Scale,
    curve::Point,
    lists::Lists,
    load::Loaded,
    report::Recorder,
    table::{Table, count, milliseconds},
    traffic::{From, Kind, PORT, Traffic},
};

use crate::{LIMITS, method, record};

const COSTS: Table = Table::less("Services", "ns");
const MEMORY: Table = Table::less("Memory of services", "MiB");
const RULES: Table = Table::less("Rules put in force, services", "ms");

const COUNTS: [usize; 4] = [1, 10, 100, 1_000];
/// The first port of all services but the last.
const FIRST_PORT: usize = 10_000;

/// Measures packets, memory and how long it takes to put them in force.
pub(crate) fn measure(scale: &Scale, tick: Tick, recorder: &mut Recorder) -> Result<()> {
    methods(scale, recorder);
    let none = Lists::new(0, 0)?;
    let mut points = Vec::new();
    for services in COUNTS {
        let mut point = Point::new(&count(services), &settings(services)?, None, tick)?;
        for (column, kind) in [
            ("TCP data to the last service", Kind::Data),
            ("TCP SYN to the last service", Kind::Syn),
            ("TCP data to another port", Kind::Elsewhere),
        ] {
            point.gets(column, Traffic::benign(V4, From::One, kind), &none)?;
        }
        points.push(point);
    }
    record(&mut points, COSTS, MEMORY, scale, recorder)?;
    drop(points);
    for services in COUNTS {
        let mut times = Vec::new();
        for _ in 0..scale.rounds {
            let loaded = Loaded::new(&settings(services)?, None, tick)?;
            times.push(loaded.planned_in + loaded.loaded_in);
        }
        RULES.add(
            recorder,
            &count(services),
            "all services",
            milliseconds(&times),
        )?;
    }
    Ok(())
}

/// So many services, each with limits of its own; the packets go to the last one.
fn settings(services: usize) -> Result<String> {
    let mut text = format!("{LIMITS}\n");
    for service in 1..=services {
        let port = if service == services {
            usize::from(PORT)
        } else {
            FIRST_PORT + service
        };
        writeln!(
            text,
            "[[service]]\nname = \"service-{service}\"\nports = [{port}]\n\
             limits = {{ packets = \"1G/s\", connections = \"1G/s\" }}"
        )?;
    }
    Ok(text)
}

fn methods(scale: &Scale, recorder: &mut Recorder) {
    for table in [COSTS, MEMORY, RULES] {
        recorder.counts(table.title, "services");
    }
    recorder.method(COSTS.title, method(scale));
    recorder.method(
        COSTS.title,
        "Each service has a port and limits of its own, and encryption is required; packets go to the \
         last of them.",
    );
    recorder.method(
        COSTS.title,
        "The shape: flat. The port is the position in an array of 65,536 that names the service, and \
         whom a source's share of it is charged to is found by one hash of both.",
    );
    recorder.method(
        MEMORY.title,
        "Of all maps, as the kernel counts it. The shape: a straight line, hardly to be seen beside the \
         tables of sources: some kilobytes of counts for each service and processor. The array of ports \
         has its size from the start.",
    );
    recorder.method(
        RULES.title,
        "From the configuration to verified programs and filled tables. The shape: flat up to a hundred, \
         since nearly all of it is the programs that the kernel verifies anew, and then a straight line: \
         two fifths more for a thousand, whose counts are that many places.",
    );
}
