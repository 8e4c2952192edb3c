//! Writes the document and its plots.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use lab::bench::report::Report;

use crate::{
    document::{self, Stored},
    notes::Notes,
    plot,
    stored::{BENCHES, find},
    table::{Table, tables},
};

/// Plots by the name of their file.
type Plots = BTreeMap<String, String>;

/// Writes the document of all reports in the folder, and into the folder the plots. Nothing is
/// written before all of it is made.
///
/// # Errors
/// There is no such folder, something in it is no report, notes are of no table, or a file cannot be
/// written.
pub(crate) fn publish(folder: &Path, document: &Path) -> Result<()> {
    let link = link(folder, document)?;
    let reports = BENCHES.iter().map(|bench| find(folder, bench));
    let reports = reports.collect::<Result<Vec<_>>>()?;
    let stored: Vec<Stored<'_>> = BENCHES
        .iter()
        .zip(reports.iter().map(Option::as_ref))
        .collect();
    let notes = Notes::read(folder)?;
    let all: Vec<_> = reports.iter().flatten().collect();
    let titles = all.iter().flat_map(|report| tables(report));
    notes.check(&titles.map(|table| table.title).collect::<Vec<_>>())?;
    let plots = plots(&all)?;

    let plot = |report: &Report, table: &Table<'_>| {
        let file = file_name(report, table);
        let has_plot = plots.contains_key(&file);
        has_plot.then(|| link.join(&file).display().to_string())
    };
    let text = document::document(&stored, &notes, &plot);
    remove_old(folder, &plots)?;
    for (file, plot) in &plots {
        write(&folder.join(file), plot)?;
    }
    write(document, &text)
}

/// The folder as seen from the document.
fn link(folder: &Path, document: &Path) -> Result<PathBuf> {
    let absolute = |path: &Path| {
        let found = path.canonicalize();
        found.with_context(|| format!("cannot find the folder {}", path.display()))
    };
    let parent = match document.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let (inner, outer) = (absolute(folder)?, absolute(parent)?);
    let link = inner.strip_prefix(&outer).with_context(|| {
        format!(
            "{} is not below the document's folder {}",
            folder.display(),
            parent.display()
        )
    })?;
    Ok(link.to_path_buf())
}

fn plots(reports: &[&Report]) -> Result<Plots> {
    let mut plots = Plots::new();
    for report in reports {
        for table in tables(report) {
            let Some(plot) = plot::draw(&table)? else {
                continue;
            };
            let file = file_name(report, &table);
            let before = plots.insert(file.clone(), plot);
            ensure!(
                before.is_none(),
                "two tables have titles for the plot {file}"
            );
        }
    }
    Ok(plots)
}

/// The file of a table's plot: the benchmark and the title, in small letters and digits.
fn file_name(report: &Report, table: &Table<'_>) -> String {
    let title = table.title.to_lowercase();
    let words = title.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    format!("{}-{}.svg", report.bench, words.join("-"))
}

/// Removes the plots of tables that are no more.
fn remove_old(folder: &Path, plots: &Plots) -> Result<()> {
    let entries = fs::read_dir(folder);
    for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_plot(&name) && !plots.contains_key(&name) {
            fs::remove_file(folder.join(&name)).with_context(|| format!("cannot remove {name}"))?;
        }
    }
    Ok(())
}

fn is_plot(name: &str) -> bool {
    let of = |bench: &str| {
        name.strip_prefix(bench)
            .is_some_and(|rest| rest.starts_with('-'))
    };
    Path::new(name).extension().is_some_and(|end| end == "svg")
        && BENCHES.iter().any(|bench| of(bench.name))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{figure, report};

    #[test]
    fn only_plots_of_benchmarks_are_plots() {
        assert!(is_plot("micro-a-b.svg"));
        for other in ["micro.svg", "other-a.svg", "micro-a.png", "microbe-a.svg"] {
            assert!(!is_plot(other), "{other}");
        }
    }

    #[test]
    fn titles_become_file_names() {
        let mut figure = figure("a", "guard", &[1.0]);
        figure.table = "UDP: 1,000 packets/s (IPv6)".to_owned();
        let report = report("flood", vec![figure]);
        let name = file_name(&report, &tables(&report)[0]);
        assert_eq!(name, "flood-udp-1-000-packets-s-ipv6.svg");
    }

    #[test]
    fn two_tables_do_not_share_a_plot() {
        let cell = |table: &str, column| {
            let mut figure = figure("a", column, &[1.0]);
            figure.table = table.to_owned();
            figure
        };
        let cells = [("A b", "x"), ("A b", "y"), ("A-b", "x"), ("A-b", "y")];
        let report = report(
            "flood",
            cells.map(|(table, column)| cell(table, column)).to_vec(),
        );
        let error = plots(&[&report]).expect_err("one name");
        assert_eq!(
            error.to_string(),
            "two tables have titles for the plot flood-a-b.svg"
        );
    }
}
