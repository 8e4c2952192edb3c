//! Where others than guard are the better ones.

use lab::bench::report::Figure;

use crate::{
    document::{escaped, shown},
    peers::is_guard,
    rank::{are_alike, beats, overlap, ratio, takes_part},
    table::Table,
};

/// What is said where none is.
const NOBODY: &str = "No other one is better than any of guard's columns in this table.\n\n";
/// What is said before a list of them.
const SOMEBODY: &str = "Where another one wins, each of guard's columns taken for itself:";

/// The list of them for a table, or the sentence that there is none; empty when nobody is there to
/// compare guard with.
pub(crate) fn wins(table: &Table<'_>) -> String {
    let rows: Vec<_> = table
        .rows
        .iter()
        .copied()
        .filter_map(|row| Row::of(table, row))
        .collect();
    let lines: String = rows.iter().map(Row::lines).collect();
    match (rows.is_empty(), lines.is_empty()) {
        (true, _) => String::new(),
        (false, true) => NOBODY.to_owned(),
        (false, false) => format!("{SOMEBODY}\n\n{lines}\n"),
    }
}

/// A row in which guard is compared with others.
struct Row<'a> {
    name: &'a str,
    /// Each of guard's columns.
    guards: Vec<&'a Figure>,
    others: Vec<&'a Figure>,
}

impl<'a> Row<'a> {
    fn of(table: &Table<'a>, name: &'a str) -> Option<Self> {
        let columns = table.columns.iter();
        let figures = columns.filter_map(|column| table.figure(name, column));
        let (guards, others): (Vec<_>, Vec<_>) = figures
            .filter(|figure| takes_part(figure))
            .partition(|figure| is_guard(&figure.column));
        let first = *guards.first()?;
        let others: Vec<_> = others
            .into_iter()
            .filter(|other| are_alike(first, other))
            .collect();
        (!others.is_empty()).then_some(Self {
            name,
            guards,
            others,
        })
    }

    /// A line for each who is better than one of guard's columns, or than several.
    fn lines(&self) -> String {
        let lines = self.others.iter().filter_map(|other| self.line(other));
        lines.collect()
    }

    fn line(&self, winner: &Figure) -> Option<String> {
        let beaten = self.guards.iter().filter(|guard| beats(winner, guard));
        let told: Vec<_> = beaten.map(|guard| told(winner, guard)).collect();
        let line = format!(
            "- {}: {} with {} {}: {}\n",
            escaped(self.name),
            escaped(&winner.column),
            shown(winner.summary().median),
            escaped(&winner.unit),
            told.join("; ")
        );
        (!told.is_empty()).then_some(line)
    }
}

/// By how much somebody is better than one of guard's columns.
fn told(winner: &Figure, guard: &Figure) -> String {
    let (guards, winners) = (guard.summary().median, winner.summary().median);
    let column = escaped(&guard.column);
    let mut told = match ratio(winner.better, winners, guards) {
        Some(ratio) => format!("{ratio:.2} times as good as {column} with "),
        None => format!("better than {column} with "),
    };
    told.push_str(&shown(guards));
    if overlap(winner, guard) {
        told.push_str(", though the quartiles overlap");
    }
    told
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
    fn each_guard_is_held_against_each_other_one() {
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
            format!(
                "{SOMEBODY}\n\n\
                 - a: xdp-filter with 10.0 ns: 3.00 times as good as guard with 30.0; \
                 2.00 times as good as guard, lists with 20.0\n\
                 - a: nft with 25.0 ns: 1.20 times as good as guard with 30.0\n\n"
            )
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
            text.contains("nft with 20.0 ns: 2.00 times as good as guard with 10.0\n"),
            "{text}"
        );
        figures[1].samples = vec![5.0];
        assert_eq!(wins_of(figures), NOBODY);
    }

    #[test]
    fn what_may_be_noise_is_told() {
        let text = wins_of(vec![
            figure("a", "guard", &[10.0, 11.0, 12.0]),
            figure("a", "nft", &[9.0, 10.0, 11.0]),
        ]);
        assert!(
            text.contains("times as good as guard with 11.0, though the quartiles overlap"),
            "{text}"
        );
    }

    #[test]
    fn what_guard_is_not_compared_with_is_not_told() {
        for other in ["empty XDP_DROP", "read drop", "no flood", "guard, lists"] {
            let figures = vec![figure("a", "guard", &[9.0]), figure("a", other, &[1.0])];
            assert_eq!(wins_of(figures), "", "{other}");
        }
    }
}
