//! The benchmarks run, and say everything they are there to say. Their figures are measured, not
//! asserted, but for how one end of a curve stands to the other.

#![forbid(unsafe_code)]

use std::{process::Command, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::util::nr_cpus;
use guard::kernel::Tick;
use lab::{
    Scratch,
    bench::{
        Family::{self, V4, V6},
        Scale, curve,
        curve::Point,
        feed::Replaced,
        lists::Lists,
        load::Loaded,
        meter::Meter,
        report::{Figure, Report},
        rows::ROWS,
        traffic::{From, Kind, PORT, Traffic},
        xdp_filter::XdpFilter,
    },
    command,
};

/// Has a benchmark run as quickly as it can, and returns what it wrote and printed.
fn report_of(bench: &str, program: &str) -> Result<(Report, String)> {
    let folder = Scratch::new()?;
    let json = folder.path().join("report.json");
    let mut command = Command::new(program);
    command.args(["--tiny", "--rounds", "1", "--json"]);
    let printed = command::output(command.arg(&json))?;
    let report = Report::read(&json)?;
    assert_eq!(report.bench, bench);
    for figure in &report.figures {
        let is_told = printed.contains(&figure.table) && printed.contains(&figure.row);
        assert!(is_told, "{figure:?} is not printed");
        assert!(
            report.method.contains_key(&figure.table),
            "{figure:?}: how?"
        );
    }
    Ok((report, printed))
}

/// The figures of one table and column, in the order of the rows.
fn column<'a>(report: &'a Report, table: &str, column: &str) -> Vec<&'a Figure> {
    let figures = report.figures.iter();
    let wanted = figures.filter(|figure| figure.table == table && figure.column == column);
    wanted.collect()
}

fn rows<'a>(figures: &[&'a Figure]) -> Vec<&'a str> {
    figures.iter().map(|figure| figure.row.as_str()).collect()
}

fn value(report: &Report, table: &str, row: &str, column: &str) -> Result<f64> {
    let mut figures = report.figures.iter();
    let figure = figures
        .find(|figure| (&*figure.table, &*figure.row, &*figure.column) == (table, row, column));
    let figure = figure.with_context(|| format!("no `{row}`, `{column}` in `{table}`"))?;
    Ok(figure.summary().median)
}

#[test]
fn the_micro_benchmark_has_every_figure() -> Result<()> {
    let (report, _) = report_of("micro", env!("CARGO_BIN_EXE_micro"))?;
    let value = |table, row, column| value(&report, table, row, column);

    let packets = column(&report, "Nanoseconds a packet", "guard");
    let names: Vec<_> = ROWS.iter().map(|row| row.name).collect();
    assert_eq!(rows(&packets), names);
    let with_yardsticks = ROWS.iter().filter(|row| row.has_yardsticks());
    let names: Vec<_> = with_yardsticks.map(|row| row.name).collect();
    let filters = ["xdp-filter (ip)", "xdp-filter (all)"];
    let filters = filters.iter().filter(|_| XdpFilter::is_installed());
    for yardstick in filters.chain(&["hash drop"]) {
        let packets = column(&report, "Nanoseconds a packet", yardstick);
        assert_eq!(rows(&packets), names, "{yardstick}");
        assert!(value("Program", yardstick, "verified")? > 0.0);
    }
    for row in ROWS {
        assert!(value("Program", row.settings.name, "verified")? > 0.0);
    }
    let stages = column(&report, "What each stage costs", "benign UDP");
    assert_eq!(stages.len(), 12);

    assert!(value("Memory", "SOURCES", "defaults")? >= 4.0);
    let all = ["defaults", "the lists"].map(|column| value("Memory", "all maps", column));
    let [defaults, lists] = all;
    assert!(defaults? < lists?, "the lists take memory");
    assert!(value("Loading", "loaded", "the lists")? > 0.0);
    assert!(value("Lists", "replaced: all of it", "guard")? > 0.0);
    assert!(value("Lists", "a prefix added, IPv6 /48", "guard")? > 0.0);
    assert!(!column(&report, "Limits", "guard").is_empty());
    assert!(value("A crowd", "at 95 % of their limit", "sent")? > 0.0);
    assert!(value("A crowd", "at 95 % of their limit", "dropped")? < 1.0);
    Ok(())
}

#[test]
fn the_benchmark_of_floods_has_every_figure() -> Result<()> {
    let (report, _) = report_of("flood", env!("CARGO_BIN_EXE_flood"))?;
    let dealt_with = "A flood beyond all: packets dealt with";
    let kinds = rows(&column(&report, dealt_with, "empty XDP_DROP"));
    assert_eq!(kinds.len(), 6);
    for peer in [
        "guard",
        "xdp-filter",
        "read drop",
        "nft ingress",
        "nft input",
        "no firewall",
    ] {
        assert_eq!(rows(&column(&report, dealt_with, peer)), kinds, "{peer}");
    }
    // What nobody can list is on no list.
    for peer in ["guard, deny list", "hash drop"] {
        let listed = column(&report, dealt_with, peer);
        assert_eq!(listed.len(), 4, "{peer}");
    }

    let flood = "UDP from 1 source, 20,000/s";
    for peer in ["guard", "xdp-filter", "nft ingress", "no firewall"] {
        for load in ["HTTP/1.1", "HTTP/2 over TLS"] {
            let share = format!("nginx under a flood, {load}: share of no flood");
            assert!(value(&report, &share, flood, peer)? > 0.0, "{peer}");
            let served = format!("nginx under a flood, {load}: requests a second");
            assert!(value(&report, &served, "no flood", peer)? > 0.0, "{peer}");
        }
    }
    for flood in ["A flood beyond all", "A moderate flood"] {
        let profile = format!("{flood}: where the receiver's processor time goes");
        for peer in ["guard", "xdp-filter", "hash drop", "no firewall"] {
            let shares = column(&report, &profile, peer);
            let whole: f64 = shares.iter().map(|figure| figure.summary().median).sum();
            assert!((whole - 100.0).abs() < 1e-6, "{peer}: {whole} %");
        }
    }
    let profile = "A flood beyond all: where the receiver's processor time goes";
    assert!(value(&report, profile, "the program itself", "hash drop")? > 0.0);
    Ok(())
}

#[test]
fn the_agents_benchmark_has_every_figure() -> Result<()> {
    let (report, printed) = report_of("agent", env!("CARGO_BIN_EXE_agent"))?;
    for column in ["defaults", "long lists"] {
        for (table, row) in [
            ("Starting", "start to attached, as it says"),
            ("Starting", "start to ready"),
            ("Starting", "stop and start to ready"),
            ("Answering", "guard reload"),
            ("Answering", "guard status"),
            ("Answering", "guard deny add"),
            ("Answering", "a scrape"),
            ("Answering", "a scrape's size"),
            ("Memory", "in RAM"),
        ] {
            assert!(value(&report, table, row, column)? > 0.0, "{row}, {column}");
        }
    }
    for (table, row) in [
        ("Answering", "guard deny import, 1,000 addresses"),
        ("Memory", "in RAM, events at their cap"),
        // More came than is told of: the cap was reached.
        ("Processor time", "events emitted then"),
        ("Processor time", "events suppressed then"),
    ] {
        assert!(value(&report, table, row, "defaults")? > 0.0, "{printed}");
    }
    value(&report, "Processor time", "idle", "defaults")?;
    value(&report, "Processor time", "events at their cap", "defaults")?;
    Ok(())
}

#[test]
fn the_benchmark_of_scale_has_every_figure() -> Result<()> {
    let (report, _) = report_of("scale", env!("CARGO_BIN_EXE_scale"))?;
    for (table, name, counts) in [
        (
            "Addresses on the list",
            "benign UDP",
            &["0", "1", "1,000"][..],
        ),
        ("Addresses on the list", "denied, IPv6", &["1", "1,000"]),
        (
            "Memory of addresses on the list",
            "all maps",
            &["0", "1", "1,000"],
        ),
        (
            "Rules put in force, addresses",
            "the whole list",
            &["0", "1", "1,000"],
        ),
        ("One address added", "IPv6", &["0", "1", "1,000"]),
        (
            "Prefixes on the list",
            "benign UDP, IPv6",
            &["0", "1", "200"],
        ),
        ("Prefixes on the list", "denied", &["1", "200"]),
        (
            "Memory of prefixes on the list",
            "all maps",
            &["0", "1", "200"],
        ),
        (
            "Rules put in force, prefixes",
            "the whole list",
            &["0", "1", "200"],
        ),
        ("One prefix added", "IPv4 /24", &["0", "1", "200"]),
        ("Sources", "UDP", &["1", "1,000", "10,000"]),
        ("Memory of sources", "all maps", &["1", "1,000", "10,000"]),
        (
            "Services",
            "TCP data to the last service",
            &["1", "10", "100", "1,000"],
        ),
        (
            "Memory of services",
            "all maps",
            &["1", "10", "100", "1,000"],
        ),
        (
            "Rules put in force, services",
            "all services",
            &["1", "10", "100", "1,000"],
        ),
    ] {
        assert_eq!(
            rows(&column(&report, table, name)),
            counts,
            "{table}, {name}"
        );
        assert!(report.counted.contains_key(table), "{table}: of what?");
    }
    Ok(())
}

/// The ends of the curves are those of docs/BENCHMARKS.md.
const ENDS: Scale = Scale {
    rounds: 7,
    repeat: 100_000,
    addresses: 1_000_000,
    prefixes: 100_000,
    overrun: Duration::ZERO,
    overruns: 0,
    spoofed: 0,
};
const MANY_SOURCES: u64 = 10_000_000;
const MANY_SERVICES: u16 = 1_000;
/// Addresses of a list that is replaced whole: of more, a debug build spends the time on reading.
const REPLACED_ADDRESSES: usize = 100_000;
/// How often something is put in force at both ends, in turn.
const TURNS: usize = 3;
const LIMITS: &str =
    "limits = { packets = \"1G/s\", connections = \"1G/s\", new_sources = \"1G/s\" }";

/// Packets, and how many times as much each may cost at the far end of a curve.
///
/// Bounds are at most twice what docs/bench/scale.json has for the same ends unless it says why: room for a
/// busy machine, whose neighbours take the caches, since both ends are measured in turn. What is flat,
/// or grows with the cache misses of a line or two, keeps to them; what went through its entries would
/// cost thousands of times as much.
type Bounds<'a> = &'a [(&'a str, f64)];

/// Measures both ends of a curve in turn, and holds each packet to its bound.
fn hold(mut ends: [Point; 2], bounds: Bounds<'_>) -> Result<()> {
    let measured = curve::measure(&mut ends, &mut Meter::new(ENDS)?)?;
    let (few, many) = measured.split_at(measured.len() / 2);
    assert_eq!(few.len(), bounds.len(), "a bound for each packet");
    for ((few, many), (column, bound)) in few.iter().zip(many).zip(bounds) {
        assert_eq!([&*few.column, &*many.column], [*column; 2]);
        let [least, most] = [few, many].map(|end| end.cost.median());
        ensure!(
            most <= bound * least,
            "{column}: {least:.1} ns at {}, {most:.1} ns at {}",
            few.row,
            many.row
        );
    }
    Ok(())
}

/// Bytes that an entry takes, of those the second one has more.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 bytes")]
fn bytes_an_entry([few, many]: &[Point; 2], entries: usize) -> f64 {
    let more = many.loaded.map_bytes() - few.loaded.map_bytes();
    more as f64 / entries as f64
}

/// Without a list and with this one.
fn listed(lists: &Lists) -> Result<[Point; 2]> {
    let tick = Tick::of_kernel();
    let point = |row, lists: &Lists| -> Result<Point> {
        let mut point = Point::new(row, LIMITS, Some(lists), tick)?;
        for (column, family, from) in [
            ("benign UDP", V4, From::One),
            ("benign UDP, IPv6", V6, From::One),
            ("UDP, each from a new source", V4, From::New),
            ("UDP, each from a new source, IPv6", V6, From::New),
        ] {
            point.gets(column, Traffic::benign(family, from, Kind::Udp), lists)?;
        }
        Ok(point)
    };
    Ok([point("0", &Lists::new(0, 0)?)?, point("many", lists)?])
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Takes both ends in turn: the second takes no longer than so many times what the first does.
fn hold_times(
    what: &str,
    bound: f64,
    mut of_end: impl FnMut(usize) -> Result<Duration>,
) -> Result<()> {
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..TURNS {
        for (end, times) in times.iter_mut().enumerate() {
            times.push(of_end(end)?);
        }
    }
    let [few, many] = times.map(median);
    ensure!(
        many <= few.mul_f64(bound),
        "{what}: {few:?} without a list, {many:?} with one"
    );
    Ok(())
}

/// How long one more entry takes, of each family by its length and bound. A debug build takes a
/// microsecond for it, whatever the list; looking at every entry once would take it milliseconds.
fn hold_added(lists: &Lists, bounds: [(Family, u8, f64); 2]) -> Result<()> {
    let tick = Tick::of_kernel();
    let none = Replaced::new(1, &Lists::new(0, 0)?, tick)?;
    let mut kernels = [none, Replaced::new(1, lists, tick)?];
    for (family, length, bound) in bounds {
        let what = format!("one {family:?} /{length} more");
        hold_times(&what, bound, |end| {
            Ok(median(kernels[end].add_one(family, length)?))
        })?;
    }
    Ok(())
}

/// How long it takes to put the whole list in force. The curve is a constant, which is the programs
/// that the kernel verifies anew, and a straight line that at this end is three to four times as much in
/// a debug build: what looked at the entries once for each of them would take minutes.
fn hold_replaced(lists: &Lists, bound: f64) -> Result<()> {
    let none = Lists::new(0, 0)?;
    hold_times("the whole list", bound, |end| {
        let replaced = Replaced::new(1, [&none, lists][end], Tick::of_kernel())?;
        Ok(median(replaced.whole()))
    })
}

#[test]
fn a_packet_costs_no_more_for_many_addresses_on_the_list() -> Result<()> {
    let lists = Lists::new(ENDS.addresses, 0)?;
    let ends = listed(&lists)?;
    let bytes = bytes_an_entry(&ends, 2 * ENDS.addresses);
    assert!(bytes < 80.0, "{bytes} bytes an address");
    hold(
        ends,
        &[
            ("benign UDP", 2.3),
            ("benign UDP, IPv6", 3.0),
            ("UDP, each from a new source", 2.5),
            ("UDP, each from a new source, IPv6", 3.9),
        ],
    )?;
    hold_added(&lists, [(V4, 32, 5.0), (V6, 128, 8.0)])
}

#[test]
fn a_packet_costs_no_more_for_many_prefixes_on_the_list() -> Result<()> {
    let lists = Lists::new(0, ENDS.prefixes)?;
    let ends = listed(&lists)?;
    let bytes = bytes_an_entry(&ends, 2 * ENDS.prefixes);
    assert!(bytes < 120.0, "{bytes} bytes a prefix");
    hold(
        ends,
        &[
            ("benign UDP", 2.5),
            ("benign UDP, IPv6", 3.5),
            ("UDP, each from a new source", 3.0),
            ("UDP, each from a new source, IPv6", 5.2),
        ],
    )?;
    hold_added(&lists, [(V4, 24, 11.0), (V6, 48, 22.0)])
}

#[test]
fn a_whole_list_takes_a_constant_and_a_straight_line() -> Result<()> {
    hold_replaced(&Lists::new(REPLACED_ADDRESSES, 0)?, 8.0)?;
    hold_replaced(&Lists::new(0, ENDS.prefixes)?, 8.0)
}

#[test]
fn a_packet_costs_no_more_than_its_cache_misses_for_many_sources() -> Result<()> {
    let point = |row, sources| -> Result<Point> {
        let mut point = Point::new(row, LIMITS, None, Tick::of_kernel())?;
        for (column, kind) in [("UDP", Kind::Udp), ("TCP SYN to a service", Kind::Syn)] {
            let traffic = Traffic::benign(V4, From::New, kind);
            point.gets_in_turn(column, traffic, sources)?;
        }
        Ok(point)
    };
    let ends = [point("1", 1)?, point("10,000,000", MANY_SOURCES)?];
    assert_eq!(ends[0].loaded.map_bytes(), ends[1].loaded.map_bytes());
    // One source stays in the nearest cache, and what many fetch comes from memory: beside others that
    // do so too that takes twice as long, and beside nobody 2.4 and 2.8 times in all.
    hold(ends, &[("UDP", 8.0), ("TCP SYN to a service", 9.0)])?;
    // More than the table holds is all the same to it.
    let ends = [
        point("1,000,000", MANY_SOURCES / 10)?,
        point("10,000,000", MANY_SOURCES)?,
    ];
    hold(ends, &[("UDP", 1.8), ("TCP SYN to a service", 1.8)])
}

/// A configuration with so many services. The one that packets go to is the last.
fn with_services(services: u16) -> String {
    let services = (PORT..).take(services.into());
    let services = services.collect::<Vec<_>>().into_iter().rev().map(|port| {
        format!(
            "[[service]]\nname = \"service-{port}\"\nports = [{port}]\n\
             limits = {{ packets = \"1G/s\", connections = \"1G/s\" }}\n"
        )
    });
    format!("{LIMITS}\n{}", services.collect::<String>())
}

#[test]
fn many_services_are_put_in_force_with_hardly_more_than_the_programs_take() -> Result<()> {
    let settings = [with_services(1), with_services(MANY_SERVICES)];
    hold_times("services", 4.0, |end| {
        let loaded = Loaded::new(&settings[end], None, Tick::of_kernel())?;
        Ok(loaded.planned_in + loaded.loaded_in)
    })
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 processors")]
fn a_packet_costs_no_more_for_many_services() -> Result<()> {
    let none = Lists::new(0, 0)?;
    let point = |row, services: u16| -> Result<Point> {
        let settings = with_services(services);
        let mut point = Point::new(row, &settings, None, Tick::of_kernel())?;
        for (column, kind) in [
            ("TCP data to the last service", Kind::Data),
            ("TCP SYN to the last service", Kind::Syn),
        ] {
            point.gets(column, Traffic::benign(V4, From::One, kind), &none)?;
        }
        Ok(point)
    };
    let ends = [point("1", 1)?, point("1,000", MANY_SERVICES)?];
    let bytes = bytes_an_entry(&ends, usize::from(MANY_SERVICES) - 1);
    let cpus = nr_cpus().map_err(|(file, error)| anyhow!("{file}: {error}"))?;
    // 152 counts a CPU, and the limits.
    assert!(bytes < 2_000.0 * cpus as f64, "{bytes} bytes a service");
    hold(
        ends,
        &[
            ("TCP data to the last service", 2.0),
            ("TCP SYN to the last service", 2.0),
        ],
    )
}
