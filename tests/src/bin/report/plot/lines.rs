//! Rows that are counts as points over a logarithmic axis, joined to a line a column.

use anyhow::Result;
use lab::bench::report::Summary;

use super::{
    Column, MARGIN, Panel, WIDTH,
    axis::Axis,
    canvas::{Canvas, DARK, GREY, Side},
};

/// How much room it takes.
pub(super) const HEIGHT: i32 = 380;
/// Pixels of the numbers on the left.
const LEFT: i32 = 90;
/// Pixels of the numbers below, and of what they count.
const FOOT: i32 = 64;
/// Pixels of the unit above.
const HEAD: i32 = 34;
/// Pixels that two numbers below are apart at least.
const APART: i32 = 60;

/// The rows as counts, in rising order, each with its row; none when a row is no count, or when
/// there are not two counts to join.
pub(super) fn counts<'a>(rows: &[&'a str]) -> Option<Vec<(u64, &'a str)>> {
    let count = |row: &&'a str| Some((row.replace(',', "").parse().ok()?, *row));
    let mut counts: Vec<_> = rows.iter().map(count).collect::<Option<_>>()?;
    counts.sort_unstable();
    let above_zero = counts.iter().filter(|(count, _)| *count > 0).count();
    (counts.len() > 1 && above_zero > 0).then_some(counts)
}

/// Draws it below `top`.
pub(super) fn draw(
    canvas: &Canvas<'_>,
    panel: &Panel<'_>,
    counts: &[(u64, &str)],
    top: i32,
) -> Result<()> {
    let across = across(counts);
    let summaries: Vec<_> = panel
        .figures
        .iter()
        .map(|figure| figure.summary())
        .collect();
    let values: Vec<_> = summaries.iter().flat_map(|s| [s.lower, s.upper]).collect();
    let up = Axis::fitting(&values, (top + HEIGHT - FOOT, top + HEAD));
    draw_up(canvas, panel, &up, top)?;
    let bottom = top + HEIGHT - FOOT;
    draw_across(canvas, &across, counts, bottom)?;
    if let Some(counted) = panel.counted {
        let middle = i32::midpoint(LEFT, WIDTH - MARGIN);
        canvas.text((middle, bottom + 38), counted, 16, DARK, Side::Centre)?;
    }
    for column in &panel.columns {
        draw_line(canvas, panel, (&across, &up), counts, *column)?;
    }
    Ok(())
}

/// From a tenth of the lowest count, where zero is, or from that count if there is no zero.
fn across(counts: &[(u64, &str)]) -> Axis {
    let above_zero = counts
        .iter()
        .map(|(count, _)| *count)
        .filter(|count| *count > 0);
    let first = above_zero.min().unwrap_or(1);
    let last = counts.last().map_or(1, |(count, _)| *count);
    let has_zero = counts.first().is_some_and(|(count, _)| *count == 0);
    let left = if has_zero {
        float(first) / 10.0
    } else {
        float(first)
    };
    Axis::logarithmic(left, float(last), (LEFT, WIDTH - MARGIN - 40))
}

/// Zero has no logarithm; it is left of all others.
fn position(across: &Axis, count: u64) -> i32 {
    if count == 0 {
        LEFT
    } else {
        across.at(float(count))
    }
}

#[expect(clippy::cast_precision_loss, reason = "it becomes a pixel")]
fn float(count: u64) -> f64 {
    count as f64
}

fn draw_up(canvas: &Canvas<'_>, panel: &Panel<'_>, up: &Axis, top: i32) -> Result<()> {
    for mark in up.marks() {
        let y = up.at(mark);
        canvas.line(vec![(LEFT, y), (WIDTH - MARGIN, y)], GREY, 1)?;
        canvas.text((LEFT - 8, y), &Axis::label(mark), 14, DARK, Side::Left)?;
    }
    canvas.text((MARGIN, top + 12), panel.unit, 16, DARK, Side::Right)?;
    if up.is_logarithmic() {
        canvas.text((LEFT, top + 12), "(logarithmic)", 14, DARK, Side::Right)?;
    }
    Ok(())
}

fn draw_across(
    canvas: &Canvas<'_>,
    across: &Axis,
    counts: &[(u64, &str)],
    bottom: i32,
) -> Result<()> {
    let mut free_from = 0;
    for (count, row) in counts {
        let x = position(across, *count);
        canvas.line(vec![(x, bottom), (x, bottom + 5)], DARK, 1)?;
        if x >= free_from {
            canvas.text((x, bottom + 16), row, 14, DARK, Side::Centre)?;
            free_from = x + APART;
        }
    }
    canvas.line(vec![(LEFT, bottom), (WIDTH - MARGIN, bottom)], DARK, 1)
}

/// A point at each median with a line over its quartiles, and a line through the points.
fn draw_line(
    canvas: &Canvas<'_>,
    panel: &Panel<'_>,
    (across, up): (&Axis, &Axis),
    counts: &[(u64, &str)],
    (column, colour): Column<'_>,
) -> Result<()> {
    let mut points = Vec::new();
    for (count, row) in counts {
        let Some(figure) = panel.figure(row, column) else {
            continue;
        };
        let Summary {
            lower,
            median,
            upper,
        } = figure.summary();
        let x = position(across, *count);
        canvas.line(vec![(x, up.at(lower)), (x, up.at(upper))], colour, 1)?;
        canvas.dot((x, up.at(median)), colour)?;
        points.push((x, up.at(median)));
    }
    if points.is_empty() {
        return Ok(());
    }
    canvas.line(points, colour, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_put_in_order() {
        let counts = counts(&["1,000,000", "0", "1,000"]);
        assert_eq!(
            counts,
            Some(vec![(0, "0"), (1000, "1,000"), (1_000_000, "1,000,000")])
        );
    }

    #[test]
    fn zero_is_at_the_left_edge() {
        let counts = [(0, "0"), (10, "10"), (1000, "1,000")];
        let across = across(&counts);
        let places = counts.map(|(count, _)| position(&across, count));
        assert_eq!(places[0], LEFT);
        let (step, steps) = (places[1] - places[0], places[2] - places[1]);
        assert!((2 * step).abs_diff(steps) <= 1, "{places:?}");
    }

    #[test]
    fn words_and_zero_alone_are_no_counts() {
        assert_eq!(counts(&["1", "many"]), None);
        assert_eq!(counts(&["1"]), None);
        assert_eq!(counts(&["0", "00"]), None);
    }
}
