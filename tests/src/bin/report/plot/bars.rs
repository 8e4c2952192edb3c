//! Rows as groups of horizontal bars.

use anyhow::Result;
use lab::bench::report::{Figure, Summary};
use plotters::style::RGBColor;

use super::{
    MARGIN, Panel, WIDTH,
    axis::Axis,
    canvas::{Canvas, DARK, GREY, Side},
    signed,
};
use crate::document::shown;

/// Pixels of a bar with the space below.
const BAR: i32 = 15;
/// Pixels of a row's label.
const LABEL: i32 = 20;
/// Pixels between two groups.
const GAP: i32 = 10;
/// Pixels of the axis below.
const FOOT: i32 = 44;
/// Units of time.
const TIMES: &[&str] = &["ns", "µs", "ms", "s"];
/// Pixels right of the longest bar, for its value.
const VALUE: i32 = 84;

/// How much room it takes.
pub(super) fn height(panel: &Panel<'_>) -> i32 {
    panel
        .rows
        .iter()
        .map(|row| group_height(panel, row))
        .sum::<i32>()
        + FOOT
}

fn group_height(panel: &Panel<'_>, row: &str) -> i32 {
    let bars = panel.figures.iter().filter(|figure| figure.row == row);
    LABEL + BAR * signed(bars.count()) + GAP
}

/// Draws it below `top`.
pub(super) fn draw(canvas: &Canvas<'_>, panel: &Panel<'_>, top: i32) -> Result<()> {
    let summaries: Vec<_> = panel
        .figures
        .iter()
        .map(|figure| figure.summary())
        .collect();
    let values: Vec<_> = summaries.iter().flat_map(|s| [s.lower, s.upper]).collect();
    let axis = axis(panel.unit, &values);
    let bottom = top + height(panel) - FOOT;
    draw_axis(canvas, panel, &axis, (top, bottom))?;
    let mut y = top;
    for row in &panel.rows {
        draw_group(canvas, panel, &axis, row, y)?;
        y += group_height(panel, row);
    }
    Ok(())
}

/// Times may be so far apart that the short ones cannot be told from nothing. Shares and amounts are to
/// be seen as such.
fn axis(unit: &str, values: &[f64]) -> Axis {
    let pixels = (MARGIN, WIDTH - MARGIN - VALUE);
    if TIMES.contains(&unit) {
        Axis::fitting(values, pixels)
    } else {
        Axis::from_zero(values, pixels)
    }
}

fn draw_axis(
    canvas: &Canvas<'_>,
    panel: &Panel<'_>,
    axis: &Axis,
    (top, bottom): (i32, i32),
) -> Result<()> {
    for mark in axis.marks() {
        let x = axis.at(mark);
        canvas.line(vec![(x, top), (x, bottom)], GREY, 1)?;
        let side = if x == MARGIN {
            Side::Right
        } else {
            Side::Centre
        };
        canvas.text((x, bottom + 12), &Axis::label(mark), 14, DARK, side)?;
    }
    let right = WIDTH - MARGIN;
    canvas.text((right, bottom + 12), panel.unit, 16, DARK, Side::Left)?;
    if axis.is_logarithmic() {
        let below = (right, bottom + 28);
        canvas.text(below, "(logarithmic)", 14, DARK, Side::Left)?;
    }
    Ok(())
}

fn draw_group(
    canvas: &Canvas<'_>,
    panel: &Panel<'_>,
    axis: &Axis,
    row: &str,
    top: i32,
) -> Result<()> {
    canvas.text((MARGIN, top + LABEL / 2), row, 16, DARK, Side::Right)?;
    let mut y = top + LABEL;
    for (column, colour) in &panel.columns {
        if let Some(figure) = panel.figure(row, column) {
            draw_bar(canvas, axis, figure, *colour, y)?;
            y += BAR;
        }
    }
    Ok(())
}

/// A bar to the median, a line over the quartiles, and the median as a number.
fn draw_bar(
    canvas: &Canvas<'_>,
    axis: &Axis,
    figure: &Figure,
    colour: RGBColor,
    top: i32,
) -> Result<()> {
    let Summary {
        lower,
        median,
        upper,
    } = figure.summary();
    let (bottom, middle) = (top + BAR - 3, top + (BAR - 3) / 2);
    let (zero, end) = (axis.at(0.0), axis.at(median));
    canvas.rectangle((zero, top), (end, bottom), colour)?;
    let quartiles = vec![(axis.at(lower), middle), (axis.at(upper), middle)];
    canvas.line(quartiles, DARK, 1)?;
    let beside = axis.at(upper).max(zero) + 6;
    canvas.text((beside, middle), &shown(median), 14, DARK, Side::Right)
}
