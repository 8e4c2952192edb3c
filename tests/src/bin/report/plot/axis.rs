//! From values to pixels.

use crate::document::shown;

/// A direction of a plot.
pub(super) struct Axis {
    first: f64,
    last: f64,
    is_logarithmic: bool,
    /// Where the first and the last value are.
    pixels: (i32, i32),
}

/// Values that are this many times apart are shown on a logarithmic axis, where one may be used.
const WIDE: f64 = 30.0;

impl Axis {
    /// From zero, or from the lowest value if that is lower, to the highest value.
    pub(super) fn from_zero(values: &[f64], pixels: (i32, i32)) -> Self {
        let first = values.iter().copied().fold(0.0, f64::min);
        let last = values.iter().copied().fold(first, f64::max);
        Self {
            first,
            // All values are zero.
            last: if last > first { last } else { first + 1.0 },
            is_logarithmic: false,
            pixels,
        }
    }

    /// Logarithmic for values above zero that are far apart, else as [`Self::from_zero`].
    pub(super) fn fitting(values: &[f64], pixels: (i32, i32)) -> Self {
        let first = values.iter().copied().fold(f64::INFINITY, f64::min);
        let last = values.iter().copied().fold(0.0, f64::max);
        if first > 0.0 && last > WIDE * first {
            // With room for the lowest point above the edge.
            Self::logarithmic(first / 1.5, last * 1.1, pixels)
        } else {
            Self::from_zero(values, pixels)
        }
    }

    /// Logarithmic between two values, both above zero.
    pub(super) fn logarithmic(first: f64, last: f64, pixels: (i32, i32)) -> Self {
        Self {
            first: first.log10(),
            last: last.log10(),
            is_logarithmic: true,
            pixels,
        }
    }

    /// Whether equal steps are equal ratios.
    pub(super) fn is_logarithmic(&self) -> bool {
        self.is_logarithmic
    }

    /// Where a value is.
    pub(super) fn at(&self, value: f64) -> i32 {
        let value = if self.is_logarithmic {
            value.log10()
        } else {
            value
        };
        let share = ((value - self.first) / (self.last - self.first)).clamp(0.0, 1.0);
        let (from, to) = (f64::from(self.pixels.0), f64::from(self.pixels.1));
        (from + share * (to - from)).round() as i32
    }

    /// Round values to be marked, a handful.
    pub(super) fn marks(&self) -> Vec<f64> {
        if self.is_logarithmic {
            self.powers()
        } else {
            self.steps()
        }
    }

    /// The text of such a mark.
    pub(super) fn label(mark: f64) -> String {
        if mark == 0.0 {
            "0".to_owned()
        } else {
            shown(mark)
        }
    }

    /// Powers of ten, and twice and five times these when there are few.
    fn powers(&self) -> Vec<f64> {
        let factors: &[f64] = if self.last - self.first > 3.0 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let (first, last) = (self.first.floor() as i32, self.last.ceil() as i32);
        let of_power = |power: i32| {
            factors
                .iter()
                .map(move |factor| factor * 10_f64.powi(power))
        };
        let mut marks: Vec<_> = (first..=last).flat_map(of_power).collect();
        marks.retain(|mark| (self.first..=self.last).contains(&mark.log10()));
        marks
    }

    /// Multiples of once, twice or five times a power of ten.
    fn steps(&self) -> Vec<f64> {
        let rough = (self.last - self.first) / 8.0;
        let power = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0].map(|factor| factor * power);
        let step = steps
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(10.0 * power);
        let (first, last) = (
            (self.first / step).ceil() as i32,
            (self.last / step).floor() as i32,
        );
        (first..=last).map(|mark| f64::from(mark) * step).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_axis_begins_at_zero_or_below() {
        let axis = Axis::from_zero(&[20.0, 50.0], (100, 600));
        assert_eq!(
            [0.0, 25.0, 50.0].map(|value| axis.at(value)),
            [100, 350, 600]
        );
        assert_eq!(axis.marks(), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        let axis = Axis::from_zero(&[-10.0, 30.0], (0, 400));
        assert_eq!(axis.at(0.0), 100);
        assert_eq!(axis.marks().len(), 9);
    }

    #[test]
    fn a_logarithmic_axis_has_equal_ratios_equally_far_apart() {
        let axis = Axis::logarithmic(1.0, 1000.0, (300, 0));
        assert_eq!(
            [1.0, 10.0, 100.0, 1000.0].map(|value| axis.at(value)),
            [300, 200, 100, 0]
        );
        let axis = Axis::fitting(&[1.0, 1e5], (300, 0));
        assert!(axis.is_logarithmic() && axis.at(1.0) < 300);
        assert_eq!(
            axis.marks(),
            [1.0, 10.0, 100.0, 1000.0, 10_000.0, 100_000.0]
        );
    }

    #[test]
    fn near_values_and_zeros_are_linear() {
        assert!(!Axis::fitting(&[1.0, 2.0], (0, 1)).is_logarithmic());
        assert!(!Axis::fitting(&[0.0, 1000.0], (0, 1)).is_logarithmic());
        assert_eq!(Axis::from_zero(&[0.0], (0, 10)).at(0.0), 0);
    }
}
