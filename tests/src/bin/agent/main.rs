//! `cargo xtask bench agent`: what the agent itself takes: time to protect, to reload and to answer,
//! memory, and processor time while it idles and while events are at their cap.
//!
//! Works in namespaces and folders of its own. `--json` writes every figure once more.

#![forbid(unsafe_code)]

/// Prints a line. A reader that has read enough, such as `head`, does not end the bench halfway.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod figures;
mod idle;
mod subject;

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use self::{
    figures::Figures,
    subject::{Bench, Lists},
};

/// Measure what the agent takes (needs root)
#[derive(Parser)]
#[command(name = "agent", about, version)]
struct Flags {
    /// Rounds of each figure, which is their median
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// Seconds of each look at processor time
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,
    /// Addresses of each family on the long lists; a tenth as many prefixes
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=2_000_000))]
    addresses: u32,
    /// Also write every figure to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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
        "the bench makes network namespaces and loads eBPF programs: run it as root"
    );
    // Before minutes of work, not after them.
    let json = flags.json.as_deref().map(|path| {
        let file = File::create(path);
        file.with_context(|| format!("cannot write {}", path.display()))
    });
    let json = json.transpose()?;
    let mut figures = Figures::new(&format!(
        "medians (least to most) of {} rounds; processor time over {} s, utime + stime; the lists are \
         a feed of {} addresses and {} prefixes of each family, from a fixed seed",
        flags.rounds,
        flags.seconds,
        flags.addresses,
        flags.addresses / 10
    ));
    measure(flags, &mut figures)?;
    if let Some(file) = json {
        let mut file = BufWriter::new(file);
        serde_json::to_writer_pretty(&mut file, &figures.json())
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(file))
            .and_then(|()| file.flush())
            .context("writing the figures as JSON")?;
    }
    Ok(())
}

fn measure(flags: &Flags, figures: &mut Figures) -> Result<()> {
    let rounds = usize::from(flags.rounds);
    let period = Duration::from_secs(flags.seconds.into());
    let bench = Bench::new()?;
    for lists in [Lists::None, Lists::Long(flags.addresses as usize)] {
        bench.starts(lists, rounds, figures)?;
        bench.answers(lists, rounds, figures)?;
    }
    idle::measure(&bench, period, figures)
}
