//! Plots of tables, as SVG.

mod axis;
mod bars;
mod canvas;
mod lines;

use anyhow::Result;
use lab::bench::report::Figure;

use crate::{peers, table::Table};
use canvas::{Canvas, DARK, Side};
use plotters::style::RGBColor;

/// Pixels across.
const WIDTH: i32 = 860;
/// Pixels that nothing is drawn on, on each side.
const MARGIN: i32 = 16;
/// Pixels of a line of the legend.
const LEGEND: i32 = 20;

/// The part of a plot that has one unit, and so one axis.
struct Panel<'a> {
    unit: &'a str,
    rows: Vec<&'a str>,
    /// What the rows count, if they are counts.
    counted: Option<&'a str>,
    /// All columns of the table with their colours, which mean the same in every panel.
    columns: Vec<Column<'a>>,
    figures: Vec<&'a Figure>,
}

/// A column, and the colour it has.
type Column<'a> = (&'a str, RGBColor);

/// The columns of a table with their colours.
fn columns<'a>(table: &Table<'a>) -> Vec<Column<'a>> {
    let colours = peers::colours(&table.columns)
        .into_iter()
        .map(canvas::colour);
    table.columns.iter().copied().zip(colours).collect()
}

/// The plot of a table; none when it has one column, or nothing to compare.
///
/// # Errors
/// It cannot be drawn.
pub(crate) fn draw(table: &Table<'_>) -> Result<Option<String>> {
    if table.columns.len() < 2 {
        return Ok(None);
    }
    let panels: Vec<_> = table
        .units()
        .into_iter()
        .map(|unit| Panel::of(table, unit))
        .collect();
    let head = MARGIN + 30 + LEGEND * signed(table.columns.len());
    let height = head + panels.iter().map(Panel::height).sum::<i32>() + MARGIN;
    let mut svg = String::new();
    {
        let canvas = Canvas::new(&mut svg, WIDTH, height)?;
        draw_head(&canvas, table)?;
        let mut top = head;
        for panel in &panels {
            panel.draw(&canvas, top)?;
            top += panel.height();
        }
        canvas.finish()?;
    }
    Ok(Some(svg))
}

/// The title, and which colour is whose.
fn draw_head(canvas: &Canvas<'_>, table: &Table<'_>) -> Result<()> {
    canvas.text((MARGIN, MARGIN + 8), table.title, 20, DARK, Side::Right)?;
    for (place, (column, colour)) in columns(table).into_iter().enumerate() {
        let y = MARGIN + 36 + LEGEND * signed(place);
        canvas.rectangle((MARGIN, y - 6), (MARGIN + 14, y + 6), colour)?;
        canvas.text((MARGIN + 22, y), column, 16, DARK, Side::Right)?;
    }
    Ok(())
}

impl<'a> Panel<'a> {
    fn of(table: &Table<'a>, unit: &'a str) -> Self {
        let figures: Vec<_> = table
            .figures
            .iter()
            .copied()
            .filter(|f| f.unit == unit)
            .collect();
        let is_here = |row: &&str| figures.iter().any(|figure| figure.row == *row);
        Self {
            unit,
            rows: table.rows.iter().copied().filter(is_here).collect(),
            counted: table.counted,
            columns: columns(table),
            figures,
        }
    }

    fn height(&self) -> i32 {
        if lines::counts(&self.rows).is_some() {
            lines::HEIGHT
        } else {
            bars::height(self)
        }
    }

    fn draw(&self, canvas: &Canvas<'_>, top: i32) -> Result<()> {
        match lines::counts(&self.rows) {
            Some(counts) => lines::draw(canvas, self, &counts, top),
            None => bars::draw(canvas, self, top),
        }
    }

    fn figure(&self, row: &str, column: &str) -> Option<&'a Figure> {
        let mut figures = self.figures.iter();
        figures
            .find(|f| f.row == row && f.column == column)
            .copied()
    }
}

/// How many there are, as pixels count.
fn signed(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use lab::bench::report::Report;

    use super::*;
    use crate::{
        fixture::{figure, report},
        table::tables,
    };

    fn plot(figures: &[Figure]) -> Option<String> {
        let report = report("micro", figures.to_vec());
        draw(&tables(&report)[0]).expect("a plot")
    }

    fn cells(rows: &[&str]) -> Vec<Figure> {
        let both = |row: &&str| {
            [
                figure(row, "guard", &[1.0, 2.0, 3.0]),
                figure(row, "nft", &[4.0, 50.0, 600.0]),
            ]
        };
        rows.iter().flat_map(both).collect()
    }

    #[test]
    fn one_column_has_no_plot() {
        assert_eq!(plot(&[figure("a", "guard", &[1.0])]), None);
    }

    #[test]
    fn the_same_figures_have_the_same_plot() {
        for rows in [["a", "b <c>"], ["0", "1,000"]] {
            let svg = plot(&cells(&rows)).expect("a plot");
            assert_eq!(Some(&svg), plot(&cells(&rows)).as_ref());
            assert!(
                svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"),
                "{svg}"
            );
            assert!(
                svg.contains("\nguard\n") && svg.contains("\nnft\n"),
                "{svg}"
            );
        }
    }

    #[test]
    fn counts_are_lines_and_other_rows_are_bars() {
        // A bar has a thin line over its quartiles, and nothing else is a line.
        let is_lines = |rows: &[&str]| {
            let svg = plot(&cells(rows)).expect("a plot");
            svg.contains(r#"stroke-width="2""#)
        };
        assert!(is_lines(&["0", "1,000", "1,000,000"]));
        assert!(!is_lines(&["0", "1,000", "many"]));
        assert!(!is_lines(&["1,000"]));
    }

    #[test]
    fn each_unit_has_its_own_axis() {
        let mut figures = cells(&["a", "b"]);
        figures[2].unit = "MiB".to_owned();
        figures[3].unit = "MiB".to_owned();
        let svg = plot(&figures).expect("a plot");
        assert!(svg.contains("\nns\n") && svg.contains("\nMiB\n"), "{svg}");
    }

    #[test]
    fn a_column_has_its_colour_in_every_plot() {
        let colour = |columns: &[&str]| {
            let figures = columns.iter().map(|column| figure("a", column, &[1.0]));
            let report = report("micro", figures.collect());
            let columns = super::columns(&tables(&report)[0]);
            let mut columns = columns.into_iter();
            let found = columns.find(|(column, _)| *column == "xdp-filter");
            found.map(|(_, colour)| colour)
        };
        let two = colour(&["guard", "xdp-filter"]);
        assert!(two.is_some());
        assert_eq!(two, colour(&["no firewall", "new", "xdp-filter"]));
    }

    #[test]
    fn what_is_counted_stands_below_its_axis() {
        let mut report = report("micro", cells(&["0", "1,000"]));
        let counted = |report: &Report| {
            let svg = draw(&tables(report)[0]).expect("a plot").expect("one");
            svg.contains("\nsheep\n")
        };
        assert!(!counted(&report));
        report.counted.insert("T".to_owned(), "sheep".to_owned());
        assert!(counted(&report));
    }

    #[test]
    fn times_that_are_far_apart_are_on_a_logarithmic_axis() {
        let is_logarithmic = |unit: &str, most: f64| {
            let mut figures = cells(&["a", "b"]);
            for figure in &mut figures {
                unit.clone_into(&mut figure.unit);
                figure.samples = vec![1.0];
            }
            figures[0].samples = vec![most];
            plot(&figures).expect("a plot").contains("logarithmic")
        };
        assert!(is_logarithmic("ms", 800.0));
        assert!(!is_logarithmic("ms", 8.0));
        assert!(!is_logarithmic("%", 800.0));
    }

    #[test]
    fn figures_of_zero_and_below_are_drawn() {
        for rows in [["0", "10"], ["a", "b"]] {
            let mut figures = cells(&rows);
            figures[0].samples = vec![0.0];
            figures[1].samples = vec![-3.0];
            assert!(!plot(&figures).expect("a plot").contains("NaN"));
            for figure in &mut figures {
                figure.samples = vec![0.0];
            }
            assert!(!plot(&figures).expect("a plot").contains("NaN"));
        }
    }
}
