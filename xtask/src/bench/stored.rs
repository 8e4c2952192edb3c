//! Benchmarks whose reports are stored in `docs/bench`, and shown in `docs/BENCHMARKS.md`.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus},
};

use anyhow::{Context as _, Result};
use clap::Args;

use super::{build, program};
use crate::{
    setup,
    workspace::{self, Profile},
};

/// Those of `bench all`, in their order.
const ALL: &[&str] = &["micro", "flood", "scale", "agent"];

/// Settings of a benchmark whose report is stored.
#[derive(Args)]
pub(crate) struct Stored {
    #[command(flatten)]
    common: All,
    /// Write the report to this file, and leave the stored one and the document alone
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Settings of `bench agent`.
#[derive(Args)]
pub(crate) struct Agent {
    #[command(flatten)]
    stored: Stored,
    /// Seconds of each look at processor time
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: Option<u16>,
}

/// Settings of `bench all`, which the single ones have too.
#[derive(Args)]
pub(crate) struct All {
    /// Rounds of each figure, which is their median; each benchmark has its own default
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: Option<u16>,
    /// Say what is better or worse than in the run that is stored
    #[arg(long)]
    compare: bool,
}

impl Stored {
    /// Measures, and stores what was measured.
    pub(crate) fn run(&self, name: &str) -> Result<ExitCode> {
        self.run_with(name, &[])
    }

    fn run_with(&self, name: &str, others: &[OsString]) -> Result<ExitCode> {
        prepare(&[name])?;
        let json = self.json.as_deref();
        measure(name, &self.common, others, json).map(workspace::exit_code)
    }
}

impl Agent {
    /// Measures, and stores what was measured.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        self.stored
            .run_with("agent", &option("--seconds", self.seconds))
    }
}

impl All {
    /// Measures one after the other until one fails.
    pub(crate) fn run(&self) -> Result<ExitCode> {
        prepare(ALL)?;
        for name in ALL {
            say!("\n== {name} ==");
            let status = measure(name, self, &[], None)?;
            if !status.success() {
                eprintln!("error: bench {name} failed ({status}); those after it were not run");
                return Ok(workspace::exit_code(status));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Installs what these benchmarks run, and builds them all before the first one takes its minutes.
fn prepare(names: &[&str]) -> Result<()> {
    let task = match names {
        [name] => format!("bench {name}"),
        _ => "bench all".to_owned(),
    };
    if names == ["micro"] {
        workspace::demand_root(&task, "makes network namespaces and loads eBPF programs")?;
        // Among them is what guard is held against.
        setup::for_tests()?;
        build(&["micro", "report"])
    } else {
        workspace::demand_root(&task, "makes network namespaces and loads eBPF programs")?;
        setup::for_tests()?;
        build(&[names, &["report", "guard"]].concat())
    }
}

/// Runs one. What fails is neither compared nor stored.
fn measure(
    name: &str,
    settings: &All,
    others: &[OsString],
    json: Option<&Path>,
) -> Result<ExitStatus> {
    let written = match json {
        Some(file) => file.to_path_buf(),
        None => temporary(name)?,
    };
    let mut benchmark = program(name)?;
    benchmark.args(arguments(settings.rounds, &written));
    let status = workspace::status(benchmark.args(others))?;
    if !status.success() {
        return Ok(status);
    }
    let stored = folder().join(name).with_extension("json");
    if settings.compare {
        compare(name, &stored, &written)?;
    }
    if json.is_none() {
        store(&written, &stored)?;
        publish()?;
    }
    Ok(status)
}

/// What every benchmark is told.
fn arguments(rounds: Option<u16>, json: &Path) -> Vec<OsString> {
    let mut arguments = option("--rounds", rounds);
    arguments.extend(["--json".into(), json.into()]);
    arguments
}

/// An option, if there is a value for it.
fn option(name: &str, value: Option<u16>) -> Vec<OsString> {
    let words = value.map(|value| [name.into(), value.to_string().into()]);
    words.into_iter().flatten().collect()
}

/// The folder of the stored reports.
fn folder() -> PathBuf {
    workspace::root().join("docs/bench")
}

/// A file for the report below `target`, without what a former run may have left there.
fn temporary(name: &str) -> Result<PathBuf> {
    let folder = workspace::binary(Profile::Release, "bench")?;
    make(&folder)?;
    let file = folder.join(name).with_extension("json");
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(file),
    }
}

fn compare(name: &str, stored: &Path, written: &Path) -> Result<()> {
    say!("\nagainst the run that is stored:");
    if !stored.exists() {
        say!("no run of {name} is stored yet, so there is nothing to hold this one against");
        return Ok(());
    }
    let mut report = program("report")?;
    workspace::run(report.arg("--compare").args([stored, written]))
}

/// Moves a report to where it is kept, which may be another file system.
fn store(written: &Path, stored: &Path) -> Result<()> {
    make(&folder())?;
    let moved = fs::copy(written, stored).and_then(|_| fs::remove_file(written));
    moved.with_context(|| format!("cannot move the report to {}", stored.display()))
}

/// Makes the document of what is stored.
fn publish() -> Result<()> {
    let document = workspace::root().join("docs/BENCHMARKS.md");
    let mut report = program("report")?;
    report.arg("--folder").arg(folder());
    workspace::run(report.arg("--document").arg(document))?;
    say!("\ndocs/BENCHMARKS.md is made of docs/bench anew");
    Ok(())
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::bench::Bench;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        bench: Bench,
    }

    fn parsed(line: &str) -> Option<Bench> {
        let line = Line::try_parse_from(line.split(' '));
        line.ok().map(|line| line.bench)
    }

    #[test]
    fn the_benchmarks_have_options_in_common() {
        for name in ALL {
            let line = format!("bench {name} --rounds 3 --compare --json a.json");
            assert!(parsed(&line).is_some(), "{line}");
        }
        assert!(parsed("bench all --rounds 3 --compare").is_some());
        assert!(parsed("bench agent --seconds 5 --json a.json").is_some());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        // One file does not hold four reports.
        assert!(parsed("bench all --json a.json").is_none());
        assert!(parsed("bench micro --seconds 5").is_none());
        assert!(parsed("bench micro --rounds 0").is_none());
    }

    #[test]
    fn rounds_are_passed_on_if_they_are_given() {
        let words = |rounds| arguments(rounds, Path::new("a.json"));
        assert_eq!(words(None), ["--json", "a.json"]);
        assert_eq!(words(Some(3)), ["--rounds", "3", "--json", "a.json"]);
    }
}
