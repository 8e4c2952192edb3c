//! The figures of a report, by table, row and column.

use lab::bench::report::{Figure, Report};

use crate::peers;

/// A table of a report.
pub(crate) struct Table<'a> {
    /// Its title, once in a report.
    pub(crate) title: &'a str,
    /// How it was measured: paragraphs.
    pub(crate) method: &'a [String],
    /// What its rows count, if they are counts.
    pub(crate) counted: Option<&'a str>,
    /// Its rows, in the order they were measured in.
    pub(crate) rows: Vec<&'a str>,
    /// Its columns: whom every table knows first, and the others in the order they were measured in.
    pub(crate) columns: Vec<&'a str>,
    /// Its cells, of which some may be missing.
    pub(crate) figures: Vec<&'a Figure>,
}

/// Those of a report, in the order they began in.
pub(crate) fn tables(report: &Report) -> Vec<Table<'_>> {
    let mut tables: Vec<Table<'_>> = Vec::new();
    for figure in &report.figures {
        let known = tables.iter_mut().find(|table| table.title == figure.table);
        if let Some(table) = known {
            table.add(figure);
        } else {
            let mut table = Table::empty(&figure.table, report);
            table.add(figure);
            tables.push(table);
        }
    }
    for table in &mut tables {
        peers::sort(&mut table.columns);
    }
    tables
}

impl<'a> Table<'a> {
    fn empty(title: &'a str, report: &'a Report) -> Self {
        Self {
            title,
            method: report.method.get(title).map_or(&[], Vec::as_slice),
            counted: report.counted.get(title).map(String::as_str),
            rows: Vec::new(),
            columns: Vec::new(),
            figures: Vec::new(),
        }
    }

    fn add(&mut self, figure: &'a Figure) {
        remember(&mut self.rows, &figure.row);
        remember(&mut self.columns, &figure.column);
        self.figures.push(figure);
    }

    /// A cell, if it was measured.
    pub(crate) fn figure(&self, row: &str, column: &str) -> Option<&'a Figure> {
        let mut cells = self.row(row);
        cells.find(|figure| figure.column == column)
    }

    /// The cells of a row.
    pub(crate) fn row(&self, row: &str) -> impl Iterator<Item = &'a Figure> {
        let figures = self.figures.iter().copied();
        figures.filter(move |figure| figure.row == row)
    }

    /// The units, in the order they were met.
    pub(crate) fn units(&self) -> Vec<&'a str> {
        let mut units = Vec::new();
        for figure in &self.figures {
            remember(&mut units, figure.unit.as_str());
        }
        units
    }
}

fn remember<'a>(names: &mut Vec<&'a str>, name: &'a str) {
    if !names.contains(&name) {
        names.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{figure, report};

    #[test]
    fn order_is_that_of_the_figures_but_for_known_columns() {
        let mut other = figure("a", "guard", &[1.0]);
        other.table = "U".to_owned();
        let figures = vec![
            figure("b", "zero", &[1.0]),
            figure("b", "nft ingress", &[1.0]),
            figure("b", "all", &[1.0]),
            other,
            figure("a", "guard", &[2.0]),
            figure("b", "guard", &[3.0]),
        ];
        let report = report("micro", figures);
        let tables = tables(&report);
        assert_eq!([tables[0].title, tables[1].title], ["T", "U"]);
        assert_eq!(tables[0].rows, ["b", "a"]);
        assert_eq!(tables[0].columns, ["guard", "nft ingress", "zero", "all"]);
        assert!(tables[0].figure("a", "nft ingress").is_none());
        let found = tables[0].figure("b", "guard").expect("a cell");
        assert_eq!(found.samples, [3.0]);
    }
}
