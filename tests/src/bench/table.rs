//! Tables of a report, so that all their figures have one unit.

use std::time::Duration;

use anyhow::Result;

use super::report::{Better, Figure, Recorder};

/// A table, or the figures of one that have the same unit.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Its title.
    pub title: &'static str,
    /// Of its figures.
    pub unit: &'static str,
    /// What is good.
    pub better: Better,
}

impl Table {
    /// One of which lower figures are better.
    pub const fn less(title: &'static str, unit: &'static str) -> Self {
        Self {
            title,
            unit,
            better: Better::Less,
        }
    }

    /// One of figures that only say what is.
    pub const fn neither(title: &'static str, unit: &'static str) -> Self {
        Self {
            title,
            unit,
            better: Better::Neither,
        }
    }

    /// Adds a figure.
    ///
    /// # Errors
    /// As [`Recorder::add`].
    pub fn add(
        &self,
        recorder: &mut Recorder,
        row: &str,
        column: &str,
        samples: Vec<f64>,
    ) -> Result<()> {
        recorder.add(Figure {
            table: self.title.to_owned(),
            row: row.to_owned(),
            column: column.to_owned(),
            unit: self.unit.to_owned(),
            better: self.better,
            samples,
        })
    }
}

/// Times in milliseconds.
pub fn milliseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e3).collect()
}

/// Times in microseconds.
pub fn microseconds(times: &[Duration]) -> Vec<f64> {
    times.iter().map(|time| time.as_secs_f64() * 1e6).collect()
}

/// Bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 bytes")]
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A number as the rows of a curve are called: with a comma between thousands.
pub fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_has_a_comma_between_thousands() {
        let counts = [0, 1, 100, 1_000, 10_000_000].map(count);
        assert_eq!(counts, ["0", "1", "100", "1,000", "10,000,000"]);
    }
}
