//! What each stage costs: one thing is switched on after another.

use anyhow::Result;
use guard::kernel::Tick;
use lab::bench::{
    Family::V4,
    Scale, curve,
    curve::Point,
    lists::Lists,
    meter::Meter,
    report::Recorder,
    table::Table,
    traffic::{From, Kind, Traffic},
};

const TABLE: Table = Table::less("What each stage costs", "ns");

/// What is switched on: a name, keys of `limits`, of the service, and of its limits, and whether the
/// lists are there.
struct Step {
    row: &'static str,
    limits: &'static str,
    service: &'static str,
    lists: bool,
}

const fn step(row: &'static str, limits: &'static str, service: &'static str) -> Step {
    Step {
        row,
        limits,
        service,
        lists: false,
    }
}

/// In the order of the stages, as far as one does not need another; a key that stands in a later one
/// takes the place of the earlier one's.
const STEPS: &[Step] = &[
    step("parsed and counted", "", ""),
    step("+ packets of a source limited", "packets = \"1G/s\"", ""),
    step("+ its connections", "connections = \"1G/s\"", ""),
    step("+ new sources together", "new_sources = \"1G/s\"", ""),
    step("+ first bytes looked at", "", "encryption = \"required\""),
    step("+ bytes of a source", "bytes = \"1000GB/s\"", ""),
    step(
        "+ ICMP, fragments and UDP together",
        "protocol = { icmp = \"1G/s\", fragments = \"1G/s\", udp = \"1G/s\" }",
        "",
    ),
    step(
        "+ networks",
        "aggregate = { packets = \"1G/s\", connections = \"1G/s\" }",
        "",
    ),
    step(
        "+ the source at the service",
        "",
        "limits = { packets = \"1G/s\", connections = \"1G/s\" }",
    ),
    step("+ sources banned", "ban = {}", ""),
    step(
        "+ who may reach the service",
        "",
        "allow = [\"192.0.2.0/24\"]",
    ),
    Step {
        lists: true,
        ..step("+ the lists", "", "")
    },
];

const PACKETS: [(&str, Kind); 3] = [
    ("benign UDP", Kind::Udp),
    ("TCP data to a service", Kind::Data),
    ("TCP SYN to a service", Kind::Syn),
];

/// Measures all steps in turn.
pub(crate) fn measure(
    scale: &Scale,
    lists: &Lists,
    tick: Tick,
    recorder: &mut Recorder,
) -> Result<()> {
    recorder.method(
        TABLE.title,
        format!(
            "Each row has on what the rows above have, and one thing more; all have their turn in each \
             of {} rounds. What does not concern a packet costs it nothing or a branch: settings are \
             constants of the program.",
            scale.rounds
        ),
    );
    let mut points = Vec::new();
    for (last, step) in STEPS.iter().enumerate() {
        let settings = settings(&STEPS[..=last]);
        let mut point = Point::new(step.row, &settings, step.lists.then_some(lists), tick)?;
        for (column, kind) in PACKETS {
            point.gets(column, Traffic::benign(V4, From::One, kind), lists)?;
        }
        points.push(point);
    }
    for measured in curve::measure(&mut points, &mut Meter::new(*scale)?)? {
        let samples = measured.cost.samples;
        TABLE.add(recorder, &measured.row, &measured.column, samples)?;
    }
    Ok(())
}

/// A configuration with all these steps, and nothing else on.
fn settings(steps: &[Step]) -> String {
    let limits = lines(
        "packets = \"off\"\nconnections = \"off\"\nnew_sources = \"off\"\n\
         protocol = { icmp = \"off\", fragments = \"off\" }",
        steps.iter().map(|step| step.limits),
    );
    let service = lines(
        "encryption = \"off\"",
        steps.iter().map(|step| step.service),
    );
    format!("[limits]\n{limits}\n[[service]]\nname = \"api\"\nports = [443]\n{service}\n")
}

/// Those lines, of each key the last one.
fn lines<'a>(first: &'a str, then: impl Iterator<Item = &'a str>) -> String {
    let key = |line: &str| line.split_once(" =").map(|(key, _)| key.to_owned());
    let mut kept: Vec<&str> = Vec::new();
    for line in first.lines().chain(then).filter(|line| !line.is_empty()) {
        kept.retain(|known| key(known) != key(line));
        kept.push(line);
    }
    kept.join("\n")
}
