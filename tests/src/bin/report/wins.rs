//! Where others than guard are the better ones.

use std::fmt::Write as _;

use lab::bench::report::Figure;

use crate::{
    document::{escaped, shown},
    rank::{are_alike, beats, best, is_guard, overlap, ratio, takes_part},
    table::Table,
};

/// The list of them for a table, or the sentence that there is none; empty when nobody is there to
/// compare guard with.
pub(crate) fn wins(table: &Table<'_>) -> String {
    let rows: Vec<_> = table
        .rows
        .iter()
        .copied()
        .filter_map(|row| Row::of(table, row))
        .collect();
    let lines: String = rows.iter().filter_map(Row::line).collect();
    match (rows.is_empty(), lines.is_empty()) {
        (true, _) => String::new(),
        (false, true) => "No other one wins anywhere in this table.\n\n".to_owned(),
        (false, false) => format!("Where another one wins:\n\n{lines}\n"),
    }
}

/// A row in which guard is compared with others.
struct Row<'a> {
    name: &'a str,
    guard: &'a Figure,
    others: Vec<&'a Figure>,
}

impl<'a> Row<'a> {
    fn of(table: &Table<'a>, name: &'a str) -> Option<Self> {
        let (guards, others): (Vec<_>, Vec<_>) = table
            .row(name)
            .filter(|figure| takes_part(figure))
            .partition(|figure| is_guard(figure));
        let guard = best(guards.into_iter())?;
        let others: Vec<_> = others
            .into_iter()
            .filter(|other| are_alike(guard, other))
            .collect();
        (!others.is_empty()).then_some(Self {
            name,
            guard,
            others,
        })
    }

    fn line(&self) -> Option<String> {
        let mut winners = self.others.clone();
        winners.retain(|other| beats(other, self.guard));
        let told: Vec<_> = winners
            .into_iter()
            .map(|winner| self.told(winner))
            .collect();
        let line = format!("- {}: {}\n", escaped(self.name), told.join("; "));
        (!told.is_empty()).then_some(line)
    }

    fn told(&self, winner: &Figure) -> String {
        let (guards, winners) = (self.guard.summary().median, winner.summary().median);
        let mut told = format!(
            "{} with {} {} to {}'s {}",
            escaped(&winner.column),
            shown(winners),
            escaped(&winner.unit),
            escaped(&self.guard.column),
            shown(guards)
        );
        if let Some(ratio) = ratio(winner.better, winners, guards) {
            let _ = write!(told, ", {ratio:.2} times as good");
        }
        if overlap(winner, self.guard) {
            told.push_str(", though the quartiles overlap");
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use lab::bench::report::Better;

    use super::*;
    use crate::{
        fixture::{figure, report},
        table::tables,
    };

    fn wins_of(figures: Vec<Figure>) -> String {
        wins(&tables(&report("flood", figures))[0])
    }

    #[test]
    fn the_best_guard_is_held_against_each_other_one() {
        let text = wins_of(vec![
            figure("a", "guard", &[30.0]),
            figure("a", "guard, lists", &[20.0]),
            figure("a", "nft", &[25.0]),
            figure("a", "xdp-filter", &[10.0]),
            figure("b", "guard", &[1.0]),
            figure("b", "nft", &[2.0]),
        ]);
        assert_eq!(
            text,
            "Where another one wins:\n\n\
             - a: xdp-filter with 10.0 ns to guard, lists's 20.0, 2.00 times as good\n\n"
        );
    }

    #[test]
    fn more_is_better_where_it_is() {
        let mut figures = vec![
            figure("a", "guard", &[10.0]),
            figure("a", "nft", &[20.0, 30.0, 10.0]),
        ];
        for figure in &mut figures {
            figure.better = Better::More;
        }
        let text = wins_of(figures.clone());
        assert!(
            text.contains("nft with 20.0 ns to guard's 10.0, 2.00 times as good\n"),
            "{text}"
        );
        figures[1].samples = vec![5.0];
        assert_eq!(
            wins_of(figures),
            "No other one wins anywhere in this table.\n\n"
        );
    }

    #[test]
    fn what_may_be_noise_is_told() {
        let text = wins_of(vec![
            figure("a", "guard", &[10.0, 11.0, 12.0]),
            figure("a", "nft", &[9.0, 10.0, 11.0]),
        ]);
        assert!(
            text.contains("times as good, though the quartiles overlap"),
            "{text}"
        );
    }

    #[test]
    fn what_guard_is_not_compared_with_is_not_told() {
        for other in ["empty XDP_DROP", "no flood", "guard, lists"] {
            let figures = vec![figure("a", "guard", &[9.0]), figure("a", other, &[1.0])];
            assert_eq!(wins_of(figures), "", "{other}");
        }
    }
}
