//! The document, in Markdown.

use std::fmt::Write as _;

use lab::bench::report::{Figure, Report, Summary, number};

use crate::{
    compare::machine,
    notes::{AIMS, Notes},
    rank::{are_alike, beats, takes_part},
    stored::Bench,
    table::{Table, tables},
    wins::wins,
};

/// What stands above all tables.
const HEAD: &str = "# Benchmarks

What guard costs and holds out, measured and not promised. `cargo xtask bench all` measures it anew and
writes this document from what is stored beside its plots: edit the notes there, not this.

These are test-runs of programs and veth pairs on a small virtual machine, NOT a network card. Times move
with whatever else its host does, so only the ratios within one run count.

A cell is the median of its rounds, with the quartiles in parentheses where they differ from it. The best
of a line is bold, where several can be compared.

";

/// A benchmark and what was stored of it.
pub(crate) type Stored<'a> = (&'a Bench, Option<&'a Report>);

/// All of it; `plot` is the link to the plot of a table, if it has one.
pub(crate) fn document(
    stored: &[Stored<'_>],
    notes: &Notes,
    plot: &dyn Fn(&Report, &Table<'_>) -> Option<String>,
) -> String {
    let mut text = HEAD.to_owned();
    if let Some(aims) = notes.of(AIMS) {
        let _ = write!(text, "## {AIMS}\n\n{aims}\n\n");
    }
    for (bench, report) in stored {
        let _ = write!(text, "## {}\n\n", bench.title);
        let Some(report) = report else {
            let _ = write!(text, "Not run: `cargo xtask bench {}`.\n\n", bench.name);
            continue;
        };
        text.push_str(&origin(report));
        for table in tables(report) {
            text.push_str(&section(&table, notes, plot(report, &table)));
        }
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// How a report came to be.
fn origin(report: &Report) -> String {
    let commit = match report.commit.as_str() {
        "" => String::new(),
        commit => format!("of {}, ", escaped(commit)),
    };
    format!(
        "By `cargo xtask bench {}` {commit}in {}, on: {}.\n\n",
        report.bench,
        duration(report.seconds),
        escaped(&machine(&report.machine))
    )
}

fn section(table: &Table<'_>, notes: &Notes, plot: Option<String>) -> String {
    let mut text = format!("### {}\n\n", escaped(table.title));
    for paragraph in table.method {
        let _ = write!(text, "{paragraph}\n\n");
    }
    text.push_str(&grid(table));
    text.push_str(&wins(table));
    if let Some(note) = notes.of(table.title) {
        let _ = write!(text, "{note}\n\n");
    }
    if let Some(plot) = plot {
        let _ = write!(text, "![{}]({plot})\n\n", escaped(table.title));
    }
    text
}

/// The table itself, with the unit in its corner when all cells have the same.
fn grid(table: &Table<'_>) -> String {
    let common = match table.units().as_slice() {
        [unit] => Some(*unit),
        _ => None,
    };
    let columns = table.columns.iter().copied();
    let head: Vec<_> = std::iter::once(common.unwrap_or_default())
        .chain(columns)
        .collect();
    let head: Vec<_> = head.into_iter().map(escaped).collect();
    let mut text = line(&head);
    let _ = writeln!(text, "|---|{}", "---:|".repeat(table.columns.len()));
    for row in &table.rows {
        let figures = table.columns.iter().map(|column| table.figure(row, column));
        let cells = figures.map(|figure| match figure {
            Some(figure) => cell(figure, common.is_none(), is_best(figure, table)),
            None => String::new(),
        });
        let cells: Vec<_> = std::iter::once(escaped(row)).chain(cells).collect();
        text.push_str(&line(&cells));
    }
    text.push('\n');
    text
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn cell(figure: &Figure, with_unit: bool, is_best: bool) -> String {
    let Summary {
        lower,
        median,
        upper,
    } = figure.summary();
    let [lower, median, upper] = [lower, median, upper].map(shown);
    let range = if lower == median && upper == median {
        String::new()
    } else {
        format!(" ({lower} to {upper})")
    };
    let unit = if with_unit {
        format!(" {}", escaped(&figure.unit))
    } else {
        String::new()
    };
    let bold = if is_best { "**" } else { "" };
    format!("{bold}{median}{unit}{bold}{range}")
}

/// Whether nobody in its line is better, of two at least who can be.
fn is_best(figure: &Figure, table: &Table<'_>) -> bool {
    let line = table.row(&figure.row).filter(|other| takes_part(other));
    let line: Vec<_> = line.collect();
    takes_part(figure)
        && line.len() > 1
        && line
            .iter()
            .all(|other| are_alike(figure, other) && !beats(other, figure))
}

/// A number with its thousands set apart.
pub(crate) fn shown(value: f64) -> String {
    let text = number(value);
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}

/// Text that Markdown does not take for a mark or the end of a cell.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if matches!(letter, '|' | '*' | '_' | '`' | '<' | '[' | '\\') {
            escaped.push('\\');
        }
        escaped.push(if letter == '\n' { ' ' } else { letter });
    }
    escaped
}

/// Seconds in words.
#[expect(clippy::cast_sign_loss, reason = "a time that passed")]
fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, seconds) => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use lab::bench::report::Better;

    use super::*;
    use crate::{
        fixture::{figure, report},
        stored::BENCHES,
    };

    fn grid_of(figures: Vec<Figure>) -> String {
        grid(&tables(&report("micro", figures))[0])
    }

    #[test]
    fn the_best_of_a_line_is_bold() {
        let text = grid_of(vec![
            figure("a", "guard", &[1000.0, 2000.0, 3000.0]),
            figure("a", "nft input", &[3000.0]),
            figure("a", "empty XDP_DROP", &[1.0]),
            figure("b|c", "nft input", &[7.0]),
        ]);
        assert_eq!(
            text,
            "| ns | guard | nft input | empty XDP\\_DROP |\n\
             |---|---:|---:|---:|\n\
             | a | **2,000** (1,500 to 2,500) | 3,000 | 1.00 |\n\
             | b\\|c |  | 7.00 |  |\n\n"
        );
    }

    #[test]
    fn units_stand_in_the_cells_when_they_differ() {
        let mut memory = figure("b", "guard", &[5.0]);
        memory.unit = "MiB".to_owned();
        memory.better = Better::Neither;
        let text = grid_of(vec![figure("a", "guard", &[1.0]), memory]);
        assert!(text.contains("|  | guard |\n"), "{text}");
        assert!(
            text.contains("| a | 1.00 ns |\n| b | 5.00 MiB |\n"),
            "{text}"
        );
    }

    #[test]
    fn a_document_has_every_part_in_order() {
        let figures = vec![figure("a", "guard", &[2.0]), figure("a", "nft", &[1.0])];
        let report = report("micro", figures);
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(
            folder.path().join("notes.md"),
            "## T\nBecause.\n\n## What was aimed at\n\nMuch.\n",
        )
        .expect("notes");
        let notes = Notes::read(folder.path()).expect("notes");
        let stored = [(&BENCHES[0], Some(&report)), (&BENCHES[1], None)];
        let text = document(&stored, &notes, &|_, _| Some("bench/t.svg".to_owned()));
        let mut rest = text.as_str();
        for part in [
            "# Benchmarks\n",
            "NOT a network card",
            "## What was aimed at\n\nMuch.\n\n",
            "## The packet path\n",
            "By `cargo xtask bench micro` of 1a2b3c4, in 1 min 15 s, on: Abacus 1, 2 cores, 2048 MiB of memory, Linux 6.1.0.",
            "### T\n\nCounted by hand.\n\n| ns | guard | nft |\n",
            "- a: nft with 1.00 ns: 2.00 times as good as guard with 2.00\n\nBecause.\n\n![T](bench/t.svg)",
            "## Under a flood\n\nNot run: `cargo xtask bench flood`.\n",
        ] {
            let found = rest.find(part);
            rest = &rest[found.unwrap_or_else(|| panic!("no {part} in {rest}"))..];
        }
        assert!(text.ends_with("`.\n") && !text.ends_with("\n\n"));
    }

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0.0, -1.5, 999.0, 1000.0, -12_345.0, 1_234_567.0].map(shown);
        assert_eq!(
            texts,
            ["0.00", "-1.50", "999", "1,000", "-12,345", "1,234,567"]
        );
    }
}
