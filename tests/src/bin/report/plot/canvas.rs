//! What is drawn on: a white page of pixels.

use anyhow::{Result, anyhow};
use plotters::{
    coord::Shift,
    drawing::DrawingAreaErrorKind,
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};

/// Of text.
pub(super) const DARK: RGBColor = RGBColor(0x22, 0x22, 0x22);
/// Of the axes.
pub(super) const GREY: RGBColor = RGBColor(0xd8, 0xd8, 0xd8);

/// Colours that colour-blind people tell apart, on white.
const COLOURS: &[RGBColor] = &[
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x7f, 0x7f, 0x7f),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0x4b, 0x00, 0x82),
    RGBColor(0xbc, 0xbd, 0x22),
];

/// One of them by its number. They begin anew when there are no more.
pub(super) fn colour(number: usize) -> RGBColor {
    COLOURS[number % COLOURS.len()]
}

/// A place, in pixels from the left and the top.
pub(super) type Point = (i32, i32);

/// Where text is, seen from its point.
#[derive(Clone, Copy)]
pub(super) enum Side {
    /// It ends there.
    Left,
    /// That is its middle.
    Centre,
    /// It begins there.
    Right,
}

/// A page.
pub(super) struct Canvas<'a>(DrawingArea<SVGBackend<'a>, Shift>);

impl<'a> Canvas<'a> {
    /// An empty one, which is written into `svg` when it is finished.
    pub(super) fn new(svg: &'a mut String, width: i32, height: i32) -> Result<Self> {
        let size = (u32::try_from(width)?, u32::try_from(height)?);
        let area = SVGBackend::with_string(svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        Ok(Self(area))
    }

    /// Writes around the height of `at`. Letters come out a fifth smaller than `pixels`.
    pub(super) fn text(
        &self,
        at: Point,
        text: &str,
        pixels: i32,
        colour: RGBColor,
        side: Side,
    ) -> Result<()> {
        let horizontal = match side {
            Side::Left => HPos::Right,
            Side::Centre => HPos::Center,
            Side::Right => HPos::Left,
        };
        let style = ("sans-serif", pixels).into_font().color(&colour);
        let style = style.pos(Pos::new(horizontal, VPos::Center));
        self.0.draw(&Text::new(text, at, style)).map_err(failed)
    }

    /// Draws a line through the points.
    pub(super) fn line(&self, points: Vec<Point>, colour: RGBColor, width: u32) -> Result<()> {
        let path = PathElement::new(points, colour.stroke_width(width));
        self.0.draw(&path).map_err(failed)
    }

    /// Fills the space between two corners.
    pub(super) fn rectangle(&self, one: Point, other: Point, colour: RGBColor) -> Result<()> {
        let corners = [
            (one.0.min(other.0), one.1.min(other.1)),
            (one.0.max(other.0), one.1.max(other.1)),
        ];
        let rectangle = Rectangle::new(corners, colour.filled());
        self.0.draw(&rectangle).map_err(failed)
    }

    /// Draws a point.
    pub(super) fn dot(&self, at: Point, colour: RGBColor) -> Result<()> {
        let dot = Circle::new(at, 4, colour.filled());
        self.0.draw(&dot).map_err(failed)
    }

    /// Ends the page.
    pub(super) fn finish(self) -> Result<()> {
        self.0.present().map_err(failed)
    }
}

/// The error without what it borrows.
#[expect(clippy::needless_pass_by_value, reason = "as map_err gives it")]
fn failed<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}
