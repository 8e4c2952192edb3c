//! From no entry on the lists to very many.

use anyhow::Result;
use guard::kernel::Tick;
use lab::bench::{
    Family::{self, V4, V6},
    Scale,
    curve::Point,
    feed::Replaced,
    lists::Lists,
    report::Recorder,
    table::{Table, count, microseconds, milliseconds},
    traffic::{From, Kind, Traffic},
};

use crate::{LIMITS, method, record};

/// What there is more and more of.
pub(crate) struct Entries {
    costs: Table,
    memory: Table,
    rules: Table,
    added: Table,
    /// What rows count.
    counted: &'static str,
    /// Of each of these in words.
    shapes: [&'static str; 4],
    /// The lists with so many of them, of each family.
    lists: fn(usize) -> Result<Lists>,
    /// The most of them, at this scale.
    most: fn(&Scale) -> usize,
    /// Who is denied.
    denied: From,
    /// How long one is that is added.
    lengths: [(&'static str, Family, u8); 2],
}

/// Single addresses.
pub(crate) const ADDRESSES: Entries = Entries {
    costs: Table::less("Addresses on the list", "ns"),
    memory: Table::less("Memory of addresses on the list", "MiB"),
    rules: Table::less("Rules put in force, addresses", "ms"),
    added: Table::less("One address added", "µs"),
    counted: "addresses of each family on the list",
    shapes: [
        "The shape: flat, but for the caches. A packet costs two loads however long the list is, a word \
         of a filter and, where that does not rule the address out, the one cache line that its hash \
         names. One source finds both in the nearest cache, and costs about the same however long the list \
         is, over IPv6 half as much again at the end, which is not explained; new sources find them the \
         further away the more lines the list has, and cost up to twice as much.",
        "The shape: flat up to some thousands, which the smallest tables hold, and then a straight line: \
         twice the addresses, twice the lines, in powers of two.",
        "The shape: a constant, which is the programs that the kernel verifies anew, and then a straight \
         line.",
        "The shape: a slow rise, four times as much for a million, by the caches alone: the entry is \
         written into its line, and some bits into the filter, however many there are.",
    ],
    lists: |addresses| Lists::new(addresses, 0),
    most: |scale| scale.addresses,
    denied: From::Listed,
    lengths: [("IPv4", V4, 32), ("IPv6", V6, 128)],
};

/// Prefixes.
pub(crate) const PREFIXES: Entries = Entries {
    costs: Table::less("Prefixes on the list", "ns"),
    memory: Table::less("Memory of prefixes on the list", "MiB"),
    rules: Table::less("Rules put in force, prefixes", "ms"),
    added: Table::less("One prefix added", "µs"),
    counted: "prefixes of each family on the list",
    shapes: [
        "The shape: a step at the first prefix, a call and a load of the address's leading 16 bits, and \
         then a logarithm: prefixes are cut into ranges beforehand, and a bisection among those with the \
         same leading bits finds the one. Ten times the prefixes are three steps more at most.",
        "The shape: flat up to some thousands, and then a straight line: every prefix is one range or \
         two.",
        "The shape: a constant, which is the programs that the kernel verifies anew, and then a straight \
         line.",
        "The shape: a slow rise, with the prefixes that share the entry's leading 16 bits, which are cut \
         anew with it, and nothing else is. Those of IPv6 share theirs with more others.",
    ],
    lists: |prefixes| Lists::new(0, prefixes),
    most: |scale| scale.prefixes,
    denied: From::InListed,
    lengths: [("IPv4 /24", V4, 24), ("IPv6 /48", V6, 48)],
};

/// Measures packets and memory, and then how long it takes to change the list.
pub(crate) fn measure(
    entries: &Entries,
    scale: &Scale,
    tick: Tick,
    recorder: &mut Recorder,
) -> Result<()> {
    methods(entries, scale, recorder);
    let lists = counts((entries.most)(scale)).map(|entries_of_each| {
        let lists = (entries.lists)(entries_of_each)?;
        Ok((count(entries_of_each), lists))
    });
    let lists: Vec<_> = lists.collect::<Result<_>>()?;
    let mut points = Vec::new();
    for (row, lists) in &lists {
        points.push(point(entries, row, lists, tick)?);
    }
    record(&mut points, entries.costs, entries.memory, scale, recorder)?;
    drop(points);
    changes(entries, &lists, scale, tick, recorder)
}

/// None, one, and from a thousand on ten times as many each time.
fn counts(most: usize) -> impl Iterator<Item = usize> {
    let rising = std::iter::successors(Some(1_000), |count| Some(count * 10));
    [0, 1]
        .into_iter()
        .chain(rising.take_while(move |count| *count < most))
        .chain([most])
}

fn point(entries: &Entries, row: &str, lists: &Lists, tick: Tick) -> Result<Point> {
    let mut point = Point::new(row, LIMITS, Some(lists), tick)?;
    for (column, family, from) in [
        ("benign UDP", V4, From::One),
        ("benign UDP, IPv6", V6, From::One),
        ("UDP, each from a new source", V4, From::New),
        ("UDP, each from a new source, IPv6", V6, From::New),
    ] {
        point.gets(column, Traffic::benign(family, from, Kind::Udp), lists)?;
    }
    if row != "0" {
        for (column, family) in [("denied", V4), ("denied, IPv6", V6)] {
            point.gets(column, Traffic::denied(family, entries.denied), lists)?;
        }
    }
    Ok(point)
}

/// Measures how long it takes to put each list in force, and then one entry more.
fn changes(
    entries: &Entries,
    lists: &[(String, Lists)],
    scale: &Scale,
    tick: Tick,
    recorder: &mut Recorder,
) -> Result<()> {
    let mut added = Vec::new();
    for (row, lists) in lists {
        let mut replaced = Replaced::new(scale.rounds, lists, tick)?;
        let whole = milliseconds(&replaced.whole());
        entries.rules.add(recorder, row, "the whole list", whole)?;
        for (column, family, length) in entries.lengths {
            added.push((row, column, replaced.add_one(family, length)?));
        }
    }
    for (row, column, times) in added {
        let times = microseconds(&times);
        entries.added.add(recorder, row, column, times)?;
    }
    Ok(())
}

fn methods(entries: &Entries, scale: &Scale, recorder: &mut Recorder) {
    let Entries {
        costs,
        memory,
        rules,
        added,
        ..
    } = entries;
    recorder.method(costs.title, method(scale));
    recorder.method(
        costs.title,
        "Rows are the entries of each family: the same number of IPv4 and of IPv6, from a fixed seed.",
    );
    recorder.method(memory.title, "Of all maps, as the kernel counts it.");
    recorder.method(
        rules.title,
        format!(
            "The whole list takes the place of the same before, {} times: from the file to verified \
             programs and filled tables.",
            scale.rounds
        ),
    );
    recorder.method(
        added.title,
        "101 entries are added, one by one, each until it is in force.",
    );
    for (table, shape) in [costs, memory, rules, added]
        .into_iter()
        .zip(entries.shapes)
    {
        recorder.method(table.title, shape);
        recorder.counts(table.title, entries.counted);
    }
}
