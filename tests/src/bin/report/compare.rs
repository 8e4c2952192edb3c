//! Holds a report against an earlier one.

use std::{collections::BTreeMap, fmt::Write as _};

use lab::bench::report::{Better, Figure, Machine, Report, number};

use crate::rank::{overlap, ratio};

/// Medians that differ by this share or less are the same.
const NOISE: f64 = 0.05;

/// A figure of both reports that is better or worse than it was.
struct Change<'a> {
    old: &'a Figure,
    new: &'a Figure,
    ratio: Option<f64>,
    is_worse: bool,
}

/// Says what got worse and better by more than noise, the worst first, and what else differs.
pub(crate) fn compare(old: &Report, new: &Report) -> String {
    let mut text = differences(old, new);
    let before = by_place(old);
    let pairs: Vec<_> = new
        .figures
        .iter()
        .filter_map(|new| Some((*before.get(&place(new))?, new)))
        .collect();
    let judged = pairs
        .iter()
        .filter(|(_, new)| new.better != Better::Neither);
    let mut changes: Vec<_> = judged
        .clone()
        .filter_map(|(old, new)| change(old, new))
        .collect();
    changes.sort_by(|one, other| other.rank().total_cmp(&one.rank()));

    for change in &changes {
        let _ = writeln!(text, "{}", change.line());
    }
    let all = judged.count();
    let stayed = all - changes.len();
    let _ = writeln!(
        text,
        "{stayed} of the {all} figures in both stayed as they were."
    );
    list(&mut text, "new", new, &before);
    list(&mut text, "gone", old, &by_place(new));
    text
}

/// Where a figure stands. Those of another unit are others.
type Place<'a> = (&'a str, &'a str, &'a str, &'a str);

fn place(figure: &Figure) -> Place<'_> {
    (&figure.table, &figure.row, &figure.column, &figure.unit)
}

fn by_place(report: &Report) -> BTreeMap<Place<'_>, &Figure> {
    let figures = report.figures.iter();
    figures.map(|figure| (place(figure), figure)).collect()
}

/// What makes the figures hard to compare.
fn differences(old: &Report, new: &Report) -> String {
    let mut text = String::new();
    if old.bench != new.bench {
        let _ = writeln!(
            text,
            "These are two benchmarks: {} and {}.",
            old.bench, new.bench
        );
    }
    if old.machine != new.machine {
        let (was, is) = (machine(&old.machine), machine(&new.machine));
        let _ = writeln!(
            text,
            "The machines differ, so figures may differ for that alone: it was {was}; it is {is}."
        );
    }
    text
}

/// A machine in words.
pub(crate) fn machine(machine: &Machine) -> String {
    let Machine {
        processor,
        cores,
        memory_mib,
        kernel,
    } = machine;
    let plural = if *cores == 1 { "" } else { "s" };
    format!("{processor}, {cores} core{plural}, {memory_mib} MiB of memory, Linux {kernel}")
}

fn change<'a>(old: &'a Figure, new: &'a Figure) -> Option<Change<'a>> {
    let (was, is) = (old.summary().median, new.summary().median);
    let differs = !overlap(old, new) && (is - was).abs() > NOISE * was.abs();
    differs.then(|| Change {
        old,
        new,
        ratio: ratio(new.better, was, is),
        is_worse: (is > was) == (new.better == Better::Less),
    })
}

impl Change<'_> {
    /// The ratio; where there is none, beyond all others.
    fn rank(&self) -> f64 {
        let beyond = if self.is_worse { f64::INFINITY } else { 0.0 };
        self.ratio.unwrap_or(beyond)
    }

    fn line(&self) -> String {
        let word = if self.is_worse { "worse" } else { "better" };
        let ratio = self
            .ratio
            .map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let (was, is) = (self.old.summary().median, self.new.summary().median);
        let (was, is, unit) = (number(was), number(is), &self.new.unit);
        format!(
            "{word:<6} {ratio:>7}  {}: {was} {unit}, now {is}",
            name(self.new)
        )
    }
}

fn name(figure: &Figure) -> String {
    format!("{} / {} / {}", figure.table, figure.row, figure.column)
}

/// Lists the figures of `report` that `others` does not have.
fn list(text: &mut String, word: &str, report: &Report, others: &BTreeMap<Place<'_>, &Figure>) {
    let figures = report.figures.iter();
    for figure in figures.filter(|figure| !others.contains_key(&place(figure))) {
        let median = number(figure.summary().median);
        let _ = writeln!(text, "{word:<6} {}: {median} {}", name(figure), figure.unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{figure, report};

    fn compared(old: Vec<Figure>, new: Vec<Figure>) -> String {
        compare(&report("micro", old), &report("micro", new))
    }

    #[test]
    fn changes_are_sorted_worst_first() {
        let old = ["a", "b", "c"].map(|row| figure(row, "guard", &[10.0]));
        let new = vec![
            figure("a", "guard", &[5.0]),
            figure("b", "guard", &[20.0]),
            figure("c", "guard", &[30.0]),
        ];
        assert_eq!(
            compared(old.to_vec(), new),
            "worse     3.00  T / c / guard: 10.0 ns, now 30.0\n\
             worse     2.00  T / b / guard: 10.0 ns, now 20.0\n\
             better    0.50  T / a / guard: 10.0 ns, now 5.00\n\
             0 of the 3 figures in both stayed as they were.\n"
        );
    }

    #[test]
    fn more_is_compared_the_other_way_round() {
        let more = |samples: &[f64]| {
            let mut figure = figure("a", "guard", samples);
            figure.better = Better::More;
            vec![figure]
        };
        let text = compared(more(&[10.0]), more(&[5.0]));
        assert!(
            text.starts_with("worse     2.00  T / a / guard: 10.0 ns, now 5.00\n"),
            "{text}"
        );
        let text = compared(more(&[5.0]), more(&[10.0]));
        assert!(text.starts_with("better    0.50"), "{text}");
    }

    #[test]
    fn noise_is_no_change() {
        let of = |samples: &[f64]| vec![figure("a", "guard", samples)];
        // The quartiles overlap.
        let text = compared(of(&[10.0, 12.0, 14.0]), of(&[12.0, 14.0, 16.0]));
        assert_eq!(text, "1 of the 1 figures in both stayed as they were.\n");
        // They do not, but a twentieth is not much.
        let text = compared(of(&[100.0]), of(&[105.0]));
        assert_eq!(text, "1 of the 1 figures in both stayed as they were.\n");
        assert!(compared(of(&[100.0]), of(&[105.1])).starts_with("worse "));
    }

    #[test]
    fn zero_has_no_ratio_but_is_told() {
        let of = |sample: f64| vec![figure("a", "guard", &[sample])];
        assert!(compared(of(0.0), of(3.0)).starts_with("worse        -  T / a"));
        assert!(compared(of(3.0), of(0.0)).starts_with("better       -  T / a"));
        assert!(compared(of(0.0), of(0.0)).starts_with("1 of the 1"));
    }

    #[test]
    fn new_and_gone_figures_are_told() {
        let old = vec![figure("a", "guard", &[1.0]), figure("b", "guard", &[1.0])];
        let mut other_unit = figure("a", "guard", &[1.0]);
        other_unit.unit = "ms".to_owned();
        let new = vec![other_unit, figure("b", "guard", &[1.0])];
        assert_eq!(
            compared(old, new),
            "1 of the 1 figures in both stayed as they were.\n\
             new    T / a / guard: 1.00 ms\n\
             gone   T / a / guard: 1.00 ns\n"
        );
    }

    #[test]
    fn what_is_neither_good_nor_bad_is_not_judged() {
        let of = |sample: f64| {
            let mut figure = figure("a", "guard", &[sample]);
            figure.better = Better::Neither;
            vec![figure]
        };
        let text = compared(of(1.0), of(9.0));
        assert_eq!(text, "0 of the 0 figures in both stayed as they were.\n");
    }

    #[test]
    fn another_machine_comes_first() {
        let old = report("micro", Vec::new());
        let mut new = old.clone();
        assert!(!compare(&old, &new).contains("differ"));
        new.machine.cores = 1;
        let text = compare(&old, &new);
        assert!(text.starts_with("The machines differ"), "{text}");
        assert!(
            text.contains("it is Abacus 1, 1 core, 2048 MiB of memory, Linux 6.1.0."),
            "{text}"
        );
    }
}
