//! What `/metrics` says, in the Prometheus text format.

use std::{collections::BTreeMap, fmt, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};

use crate::{Namespace, http};

/// One scrape: the value of every series, by its name and labels as they were written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metrics {
    series: BTreeMap<Series, f64>,
}

/// A metric's name and its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series {
    /// Such as `guard_packets_total`.
    pub name: String,
    /// Values by label.
    pub labels: BTreeMap<String, String>,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (number, (label, value)) in self.labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            write!(f, "{before}{label}={value:?}")?;
        }
        if self.labels.is_empty() {
            Ok(())
        } else {
            f.write_str("}")
        }
    }
}

impl Metrics {
    /// Scrapes `server`, as a client inside `namespace`.
    pub fn scrape(namespace: &Namespace, server: SocketAddr) -> Result<Self> {
        let answer = http::get(namespace, server, "/metrics")?;
        ensure!(
            answer.status == 200,
            "/metrics answered {}: {}",
            answer.status,
            answer.body
        );
        Self::parse(&answer.body)
    }

    /// Reads the text format; comments are skipped.
    pub fn parse(text: &str) -> Result<Self> {
        let lines = text
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let series = lines
            .map(|line| parse_line(line).with_context(|| format!("not a metric: `{line}`")))
            .collect::<Result<_>>()?;
        Ok(Self { series })
    }

    /// The sum over all series of this name that have these labels, whatever others they have; 0
    /// when there are none.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.matching(name, labels).map(|(_, value)| value).sum()
    }

    /// The same of a counter, which is a whole number.
    #[expect(clippy::cast_sign_loss, reason = "a counter is never negative")]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.sum(name, labels) as u64
    }

    /// The value of the only series of this name that has these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut matching = self.matching(name, labels);
        let (_, value) = matching.next()?;
        matching.next().is_none().then_some(value)
    }

    /// All series of this name that have these labels.
    pub fn matching(
        &self,
        name: &str,
        labels: &[(&str, &str)],
    ) -> impl Iterator<Item = (&Series, f64)> {
        self.series.iter().filter_map(move |(series, value)| {
            let fits = series.name == name
                && labels.iter().all(|(label, value)| {
                    series.labels.get(*label).is_some_and(|own| own == value)
                });
            fits.then_some((series, *value))
        })
    }

    /// Every series, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Series, f64)> {
        self.series.iter().map(|(series, value)| (series, *value))
    }

    /// The series of this name that changed since `earlier`, and by how much: what a test compares
    /// with what should have changed, so that nothing else may.
    pub fn changes_since(&self, earlier: &Self, name: &str) -> BTreeMap<Series, f64> {
        let changes = self.matching(name, &[]).map(|(series, value)| {
            (
                series.clone(),
                value - earlier.series.get(series).copied().unwrap_or(0.0),
            )
        });
        changes.filter(|(_, change)| *change != 0.0).collect()
    }
}

fn parse_line(line: &str) -> Result<(Series, f64)> {
    let name_end = line.find(['{', ' ']).context("no value")?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(labels) => parse_labels(labels)?,
        None => (BTreeMap::new(), rest),
    };
    let value = rest.split_whitespace().next().context("no value")?;
    Ok((
        Series {
            name: name.to_owned(),
            labels,
        },
        value.parse()?,
    ))
}

/// Labels up to the closing brace, and what follows it.
fn parse_labels(text: &str) -> Result<(BTreeMap<String, String>, &str)> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (label, quoted) = rest.split_once("=\"").context("a label without a value")?;
        let (value, after) = unquote(quoted).context("an open quote")?;
        labels.insert(label.trim().to_owned(), value);
        rest = after;
    }
}

/// A quoted value up to its closing quote, its escapes resolved, and what follows it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[position + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"# HELP guard_packets_total Packets.
# TYPE guard_packets_total counter
guard_packets_total{iface="eth0",verdict="drop",reason="deny"} 7
guard_packets_total{iface="eth0",verdict="pass",reason="pass"} 2.5e3
guard_packets_total{iface="eth1",verdict="drop",reason="deny"} 1

guard_bans 0
odd{a="x\"y\\z\n",b=""} NaN 1700000000
"#;

    #[test]
    fn looks_up_by_some_of_the_labels() {
        let metrics = Metrics::parse(TEXT).expect("metrics");
        assert!((metrics.sum("guard_packets_total", &[("reason", "deny")]) - 8.0).abs() < 1e-9);
        let one = [("reason", "deny"), ("iface", "eth1")];
        assert_eq!(metrics.value("guard_packets_total", &one), Some(1.0));
        assert_eq!(
            metrics.value("guard_packets_total", &one[..1]),
            None,
            "there are two"
        );
        assert_eq!(metrics.value("guard_bans", &[]), Some(0.0));
        assert_eq!(metrics.value("guard_nothing", &[]), None);
    }

    #[test]
    fn resolves_escapes() {
        let metrics = Metrics::parse(TEXT).expect("metrics");
        let (odd, value) = metrics.matching("odd", &[]).next().expect("a series");
        assert_eq!(odd.labels["a"], "x\"y\\z\n");
        assert_eq!(odd.labels["b"], "");
        assert!(value.is_nan());
    }

    #[test]
    fn tells_what_changed() {
        let before = Metrics::parse("n{a=\"1\"} 1\nn{a=\"2\"} 5\n").expect("metrics");
        let after = Metrics::parse("n{a=\"1\"} 4\nn{a=\"2\"} 5\nn{a=\"3\"} 2\n").expect("metrics");
        let changes = after.changes_since(&before, "n");
        let shown: Vec<_> = changes
            .iter()
            .map(|(s, change)| format!("{s} {change}"))
            .collect();
        assert_eq!(shown, ["n{a=\"1\"} 3", "n{a=\"3\"} 2"]);
    }

    #[test]
    fn refuses_what_is_no_metric() {
        for line in [
            "name",
            "name{a=\"1\"}",
            "name{a=\"1} 2",
            "name{a} 2",
            "name x",
        ] {
            assert!(Metrics::parse(line).is_err(), "{line}");
        }
    }
}
