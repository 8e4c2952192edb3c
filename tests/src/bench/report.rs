//! What benchmarks measured, in one form for all of them: printed as soon as it is there, and kept as
//! JSON, to be shown as a document and held against a later run.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use nix::sys::utsname::uname;
use serde::{Deserialize, Serialize};

use crate::command;

/// Everything one benchmark measured in one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its name, such as `micro`.
    pub bench: String,
    /// Where it ran.
    pub machine: Machine,
    /// The commit that was measured; empty where that is not known.
    #[serde(default)]
    pub commit: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How each table was measured: paragraphs.
    pub method: BTreeMap<String, Vec<String>>,
    /// What the rows of a table count, of those whose rows are numbers.
    #[serde(default)]
    pub counted: BTreeMap<String, String>,
    /// What was measured, in the order of the tables.
    pub figures: Vec<Figure>,
}

/// A machine, as far as figures depend on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Model of the processor.
    pub processor: String,
    /// Processors in use.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// Version of the kernel.
    pub kernel: String,
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Title of the table.
    pub table: String,
    /// What was done.
    pub row: String,
    /// To whom, such as `guard` or `xdp-filter`.
    pub column: String,
    /// Of the samples, such as `ns`.
    pub unit: String,
    /// What is good.
    pub better: Better,
    /// One a round, at least one, in the order they were taken.
    pub samples: Vec<f64>,
}

/// Which of two figures is the better one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The lower one.
    Less,
    /// The higher one.
    More,
    /// Neither: it only says what the others are of.
    Neither,
}

/// What samples come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// A quarter of the samples is lower.
    pub lower: f64,
    /// Half of them are.
    pub median: f64,
    /// Three quarters of them are.
    pub upper: f64,
}

impl Figure {
    /// Median and quartiles.
    pub fn summary(&self) -> Summary {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        Summary {
            lower: quantile(&sorted, 0.25),
            median: quantile(&sorted, 0.5),
            upper: quantile(&sorted, 0.75),
        }
    }
}

/// Of sorted values, one at least, with what lies between two of them shared out evenly.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a handful of samples"
)]
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = (sorted.len() - 1) as f64 * share;
    let below = position.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * position.fract()
}

impl Machine {
    /// This one.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn this() -> Result<Self> {
        let kernel = uname().context("the kernel's version")?;
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|_| "?".to_owned()),
            cores: std::thread::available_parallelism()
                .context("the number of processors")?
                .get(),
            memory_mib: memory_mib()?,
            kernel: kernel.release().to_string_lossy().into_owned(),
        })
    }
}

/// The commit that is checked out, and whether something but its documents is other than there. Nothing
/// where there is no repository.
fn commit() -> String {
    let Ok(commit) = command::run("git describe --always --exclude=*") else {
        return String::new();
    };
    let is_clean = command::run("git diff --quiet HEAD -- . :!docs").is_ok();
    let more = if is_clean { "" } else { "-dirty" };
    format!("{}{more}", commit.trim())
}

fn memory_mib() -> Result<u64> {
    let total = field("/proc/meminfo", "MemTotal")?;
    let kibibytes: u64 = total.trim_end_matches(" kB").parse()?;
    Ok(kibibytes / 1024)
}

/// What follows a name and a colon.
fn field(file: &str, name: &str) -> Result<String> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    let found = lines.find(|(field, _)| field.trim() == name);
    let (_, value) = found.with_context(|| format!("{file} has no {name}"))?;
    Ok(value.trim().to_owned())
}

/// A report that is being made.
#[derive(Debug)]
pub struct Recorder {
    report: Report,
    started: Instant,
}

impl Recorder {
    /// That of a run of `bench` that starts now.
    ///
    /// # Errors
    /// The machine does not say what it is.
    pub fn new(bench: &str) -> Result<Self> {
        Ok(Self {
            report: Report {
                bench: bench.to_owned(),
                machine: Machine::this()?,
                commit: commit(),
                seconds: 0.0,
                method: BTreeMap::new(),
                counted: BTreeMap::new(),
                figures: Vec::new(),
            },
            started: Instant::now(),
        })
    }

    /// Says how a table is measured.
    pub fn method(&mut self, table: &str, paragraph: impl Into<String>) {
        let paragraphs = self.report.method.entry(table.to_owned()).or_default();
        paragraphs.push(paragraph.into());
    }

    /// Says what the rows of a table count, such as `sources`.
    pub fn counts(&mut self, table: &str, what: impl Into<String>) {
        let counted = &mut self.report.counted;
        counted.insert(table.to_owned(), what.into());
    }

    /// Keeps a figure, and prints it.
    ///
    /// # Errors
    /// It has no sample, or one that is no number.
    pub fn add(&mut self, figure: Figure) -> Result<()> {
        let is_sound = !figure.samples.is_empty() && figure.samples.iter().all(|s| s.is_finite());
        ensure!(is_sound, "not measured: {figure:?}");
        let last = self.report.figures.last();
        if last.is_none_or(|last| last.table != figure.table) {
            print(&format!("\n{}", figure.table));
        }
        let Summary {
            lower,
            median,
            upper,
        } = figure.summary();
        print(&format!(
            "  {:<52} {:<22} {:>12} {:<9} ({} to {})",
            figure.row,
            figure.column,
            number(median),
            figure.unit,
            number(lower),
            number(upper)
        ));
        self.report.figures.push(figure);
        Ok(())
    }

    /// Keeps times as milliseconds, of which fewer are better.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn times(
        &mut self,
        table: &str,
        row: &str,
        column: &str,
        times: &[Duration],
    ) -> Result<()> {
        self.add(Figure {
            table: table.to_owned(),
            row: row.to_owned(),
            column: column.to_owned(),
            unit: "ms".to_owned(),
            better: Better::Less,
            samples: times.iter().map(|time| time.as_secs_f64() * 1e3).collect(),
        })
    }

    /// Ends the run, and writes the report to a file if one is given.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn finish(mut self, json: Option<&Path>) -> Result<Report> {
        self.report.seconds = self.started.elapsed().as_secs_f64();
        if let Some(path) = json {
            self.report.write(path)?;
        }
        Ok(self.report)
    }
}

impl Report {
    /// Reads one.
    ///
    /// # Errors
    /// There is no such file, or it is no report.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_slice(&text)
            .with_context(|| format!("{} is no report of a benchmark", path.display()))
    }

    /// Writes it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Runs a benchmark, as its program: measures, as root, and writes the report to a file if one is given.
/// An error is printed.
pub fn run(
    bench: &str,
    json: Option<&Path>,
    measure: impl FnOnce(&mut Recorder) -> Result<()>,
) -> ExitCode {
    match try_to_run(bench, json, measure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_to_run(
    bench: &str,
    json: Option<&Path>,
    measure: impl FnOnce(&mut Recorder) -> Result<()>,
) -> Result<()> {
    ensure!(
        nix::unistd::geteuid().is_root(),
        "the bench makes network namespaces and loads eBPF programs: run it as root"
    );
    let mut recorder = Recorder::new(bench)?;
    // Before minutes of work, not after them.
    if let Some(path) = json {
        recorder.report.write(path)?;
    }
    measure(&mut recorder)?;
    recorder.finish(json)?;
    Ok(())
}

/// With three digits that count, as far as there are any.
pub fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 99.95 => format!("{value:.0}"),
        middle if middle >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A reader that has read enough, such as `head`, does not end a benchmark halfway.
fn print(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_samples() {
        let figure = |samples: &[f64]| Figure {
            table: String::new(),
            row: String::new(),
            column: String::new(),
            unit: String::new(),
            better: Better::Less,
            samples: samples.to_vec(),
        };
        let summary = figure(&[4.0, 1.0, 3.0, 2.0, 5.0]).summary();
        assert_eq!(
            (summary.lower, summary.median, summary.upper),
            (2.0, 3.0, 4.0)
        );
        let summary = figure(&[1.0, 2.0]).summary();
        assert_eq!(
            (summary.lower, summary.median, summary.upper),
            (1.25, 1.5, 1.75)
        );
        let summary = figure(&[7.0]).summary();
        assert_eq!(
            (summary.lower, summary.median, summary.upper),
            (7.0, 7.0, 7.0)
        );
    }
}
