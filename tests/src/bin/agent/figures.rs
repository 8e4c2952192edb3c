//! Figures: printed as soon as they are there, and kept for whoever reads JSON.

use std::time::Duration;

use serde_json::{Value, json};

/// What was measured so far, and how.
pub(crate) struct Figures {
    method: String,
    rows: Vec<Value>,
}

impl Figures {
    pub(crate) fn new(method: &str) -> Self {
        say!(
            "{:<46} {:>12} {:>24}",
            "THE AGENT",
            "MEDIAN",
            "LEAST TO MOST"
        );
        Self {
            method: method.to_owned(),
            rows: Vec::new(),
        }
    }

    /// Times, in milliseconds.
    pub(crate) fn times(&mut self, name: &str, times: &[Duration]) {
        let values = times.iter().map(|time| time.as_secs_f64() * 1e3);
        self.add(name, "ms", values.collect());
    }

    /// Bytes, in MiB.
    pub(crate) fn mebibytes(&mut self, name: &str, bytes: &[u64]) {
        let values = bytes.iter().map(|bytes| kibibytes(*bytes) / 1024.0);
        self.add(name, "MiB", values.collect());
    }

    /// Bytes, in KiB.
    pub(crate) fn kibibytes(&mut self, name: &str, bytes: &[u64]) {
        let values = bytes.iter().map(|bytes| kibibytes(*bytes));
        self.add(name, "KiB", values.collect());
    }

    /// Values of any unit, one at least.
    pub(crate) fn add(&mut self, name: &str, unit: &str, mut values: Vec<f64>) {
        values.sort_by(f64::total_cmp);
        let median = median(&values);
        let (least, most) = (values[0], values[values.len() - 1]);
        say!(
            "{name:<46} {:>12} {:>24}",
            format!("{median:.2} {unit}"),
            format!("{least:.2} to {most:.2}")
        );
        self.rows.push(json!({
            "name": name, "unit": unit, "median": median, "least": least, "most": most,
            "rounds": values.len(),
        }));
    }

    /// All of them.
    pub(crate) fn json(&self) -> Value {
        say!("{}", self.method);
        json!({ "method": self.method, "figures": self.rows })
    }
}

/// Exact below 2^52 bytes.
fn kibibytes(bytes: u64) -> f64 {
    let (whole, rest) = (bytes >> 10, bytes & 0x3ff);
    f64::from(u32::try_from(whole).unwrap_or(u32::MAX)) + f64::from(rest as u32) / 1024.0
}

/// That of sorted values.
fn median(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}
