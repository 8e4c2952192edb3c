//! Reports that were stored.

use std::{collections::BTreeSet, path::Path};

use anyhow::{Context as _, Result, bail, ensure};
use lab::bench::report::Report;

/// A benchmark whose reports are stored.
pub(crate) struct Bench {
    /// Its name: of its file, and for `cargo xtask bench`.
    pub(crate) name: &'static str,
    /// What it measures.
    pub(crate) title: &'static str,
}

/// All of them, in the order of the document.
pub(crate) const BENCHES: &[Bench] = &[
    bench("micro", "The packet path"),
    bench("flood", "Under a flood"),
    bench("scale", "With longer lists"),
    bench("agent", "The agent"),
];

const fn bench(name: &'static str, title: &'static str) -> Bench {
    Bench { name, title }
}

/// Reads a report with figures that can be shown.
///
/// # Errors
/// There is no such file, it is no report, or it has a figure without samples or one twice.
pub(crate) fn read(path: &Path) -> Result<Report> {
    let report = Report::read(path)?;
    check(&report).with_context(|| format!("in {}", path.display()))?;
    Ok(report)
}

/// Reads that of `bench` from the folder of stored reports, if it is there.
///
/// # Errors
/// As [`read`], or it is that of another benchmark.
pub(crate) fn find(folder: &Path, bench: &Bench) -> Result<Option<Report>> {
    let path = folder.join(bench.name).with_extension("json");
    let exists = path.try_exists();
    if !exists.with_context(|| format!("cannot look for {}", path.display()))? {
        return Ok(None);
    }
    let report = read(&path)?;
    ensure!(
        report.bench == bench.name,
        "{} is the report of another benchmark: {}",
        path.display(),
        report.bench
    );
    Ok(Some(report))
}

fn check(report: &Report) -> Result<()> {
    let mut seen = BTreeSet::new();
    for figure in &report.figures {
        let (table, row, column) = (&figure.table, &figure.row, &figure.column);
        if figure.samples.is_empty() {
            bail!("a figure without samples: {table}, {row}, {column}");
        }
        let is_new = seen.insert((table, row, column));
        ensure!(is_new, "a figure twice: {table}, {row}, {column}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{figure, report};

    #[test]
    fn a_figure_has_samples() {
        let error = check(&report("micro", vec![figure("a", "guard", &[])])).expect_err("none");
        assert_eq!(error.to_string(), "a figure without samples: T, a, guard");
    }

    #[test]
    fn a_figure_is_there_once() {
        let twice = vec![figure("a", "guard", &[1.0]), figure("a", "guard", &[2.0])];
        let error = check(&report("micro", twice)).expect_err("twice");
        assert_eq!(error.to_string(), "a figure twice: T, a, guard");
    }

    #[test]
    fn a_benchmark_has_its_own_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("flood.json");
        report("micro", Vec::new()).write(&path).expect("written");
        let error = find(folder.path(), &BENCHES[1]).expect_err("another's");
        assert!(error.to_string().ends_with("another benchmark: micro"));
        assert!(find(folder.path(), &BENCHES[2]).expect("none").is_none());
    }
}
