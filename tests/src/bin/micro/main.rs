//! `cargo xtask bench micro`: what guard costs and how exact its limits are. Touches no interface.
//!
//! Every figure is printed as soon as it is there; `--json` writes all of them once more.

#![forbid(unsafe_code)]

/// Prints a line. A reader that has read enough, such as `head`, does not end the bench halfway.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod feed;
mod limits;
mod memory;
mod packets;

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use guard::kernel::Tick;
use lab::bench::{Scale, lists::Lists, load::Loaded};
use serde_json::{Map, Value, json};

#[derive(Parser)]
#[command(name = "micro", about = "Measure what guard costs", version)]
struct Flags {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only see that everything runs: the figures mean nothing
    #[arg(long, hide = true)]
    tiny: bool,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the bench loads eBPF programs: run it as root"
    );
    // Before minutes of work, not after them.
    let json = flags.json.as_deref().map(|path| {
        let file = File::create(path);
        file.with_context(|| format!("cannot write {}", path.display()))
    });
    let json = json.transpose()?;
    let rounds = usize::from(flags.rounds);
    let scale = if flags.tiny {
        Scale::tiny(rounds)
    } else {
        Scale::full(rounds)
    };
    let figures = measure(&scale)?;
    if let Some(file) = json {
        let mut file = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut file, &figures)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(file))
            .and_then(|()| file.flush())
            .context("writing the figures as JSON")?;
    }
    Ok(())
}

fn measure(scale: &Scale) -> Result<Value> {
    let tick = Tick::of_kernel();
    let lists = Lists::new(scale.addresses, scale.prefixes)?;
    let mut figures = Map::new();

    let packets = packets::measure(scale, &lists, tick)?;
    figures.insert("packets".into(), packets.figures);
    let defaults = Loaded::new("", None, tick)?;
    let loaded = [("defaults", &defaults), ("the lists", &packets.with_lists)];
    figures.insert("memory".into(), memory::show(&loaded));
    figures.insert("load".into(), memory::show_time(&loaded));
    // Half a gigabyte and more, which nothing below needs.
    drop((defaults, packets.with_lists));
    figures.insert("feed".into(), feed::measure(scale, &lists, tick)?);
    figures.insert("limits".into(), limits::overruns(scale, tick)?);
    figures.insert("crowd".into(), limits::crowd(scale)?);

    let method = method(scale, Duration::from_nanos(tick.ns));
    for line in &method {
        say!("{line}");
    }
    figures.insert("method".into(), json!(method));
    Ok(figures.into())
}

fn method(scale: &Scale, tick: Duration) -> [String; 3] {
    [
        format!(
            "packets: ns net of an empty XDP program run in turn, medians of {} x {} test-runs, \
             thread CPU time",
            scale.rounds, scale.repeat
        ),
        format!(
            "lists: {} addresses and {} prefixes of each family, from a fixed seed",
            scale.addresses, scale.prefixes
        ),
        format!(
            "limits: medians of {} x {:?} on a clock whose tick is {:?}; the spoofed flood is on \
             the manual clock",
            scale.overruns, scale.overrun, tick
        ),
    ]
}
