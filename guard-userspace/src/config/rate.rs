//! Rates: `250k/s`, `100MiB/s`, `600/min`.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::units::{Invalid, shown, split_number};

/// The highest rate, and the most that may come at once: 10^12 units.
pub const MAX_UNITS: u64 = 1_000_000_000_000;

/// The least that a byte limit lets through at once: one packet as generic XDP may see it.
const MIN_BURST_BYTES: u64 = 65_536;

/// What a limit is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateSetting {
    /// No limit.
    Off,
    /// At most this much.
    At(Rate),
}

impl RateSetting {
    /// Reads `"off"` or a rate of packets or connections.
    pub fn count(text: &str) -> Result<Self, Invalid> {
        Self::parse(text, Unit::Count)
    }

    /// Reads `"off"` or a rate of bytes.
    pub fn bytes(text: &str) -> Result<Self, Invalid> {
        Self::parse(text, Unit::Bytes)
    }

    fn parse(text: &str, unit: Unit) -> Result<Self, Invalid> {
        if text == "off" {
            return Ok(Self::Off);
        }
        Rate::parse(text, unit).map(Self::At)
    }

    /// The rate, if there is a limit.
    pub fn rate(self) -> Option<Rate> {
        match self {
            Self::Off => None,
            Self::At(rate) => Some(rate),
        }
    }
}

/// So many units in so much time, exactly as configured. `Display` writes it as it is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units in each `per`: 1 to 10^12.
    pub amount: u64,
    /// One second, minute or hour.
    pub per: Duration,
    /// What is counted.
    pub unit: Unit,
}

/// What a rate counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Packets or connections, with decimal `k`, `M` and `G`.
    Count,
    /// Bytes, with `kB`, `MB`, `GB` (decimal) and `KiB`, `MiB`, `GiB` (binary).
    Bytes,
}

/// How much of a rate may come at once, and how long that takes to be allowed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Whole units that may come at once: at least 1, of bytes at least 65,536.
    pub units: u64,
    /// The time in which the rate allows that many again.
    pub refill: Duration,
}

impl Rate {
    /// Reads a rate: a whole number from 1 to 10^12 with an optional unit, and `/s`, `/min` or
    /// `/h`.
    pub fn parse(text: &str, unit: Unit) -> Result<Self, Invalid> {
        let example = unit.example();
        let Some((quantity, period)) = text.split_once('/') else {
            return Err(Invalid::new(
                format!("`{}` does not say in how much time", shown(text)),
                format!("end it with /s, /min or /h, like \"{example}\", or write \"off\""),
            ));
        };
        let Some(per) = period_from(period) else {
            return Err(Invalid::new(
                format!("`/{}` is not a time a rate can have", shown(period)),
                format!("end it with /s, /min or /h, like \"{example}\""),
            ));
        };
        let amount = unit.amount(quantity)?;
        Ok(Self { amount, per, unit })
    }

    /// What this rate allows at once when `burst` worth of it may come at once.
    ///
    /// At least one packet always fits, so a slow rate spaces packets out and drops none that
    /// keeps to it.
    pub fn allowance(self, burst: Duration) -> Allowance {
        let (amount, per_ns) = (u128::from(self.amount), self.per.as_nanos().max(1));
        let least = match self.unit {
            Unit::Count => 1,
            Unit::Bytes => u128::from(MIN_BURST_BYTES),
        };
        let units = (amount.saturating_mul(burst.as_nanos()) / per_ns).max(least);
        let refill_ns = units.saturating_mul(per_ns) / amount.max(1);
        Allowance {
            units: u64::try_from(units).unwrap_or(u64::MAX),
            refill: Duration::from_nanos(u64::try_from(refill_ns).unwrap_or(u64::MAX)),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The multiplier that leaves the shortest whole number.
        let (multiplier, suffix) = self
            .unit
            .suffixes()
            .iter()
            .filter(|(multiplier, _)| self.amount.is_multiple_of(*multiplier))
            .max_by_key(|(multiplier, _)| *multiplier)
            .copied()
            .unwrap_or((1, ""));
        write!(f, "{}{suffix}/", self.amount / multiplier)?;
        match period_name(self.per) {
            Some(name) => f.write_str(name),
            None => write!(f, "{:?}", self.per),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Unit {
    fn example(self) -> &'static str {
        match self {
            Self::Count => "250k/s",
            Self::Bytes => "100MiB/s",
        }
    }

    /// Multipliers and how they are written; the first spelling of each is the one we print.
    fn suffixes(self) -> &'static [(u64, &'static str)] {
        match self {
            Self::Count => &[
                (1, ""),
                (1_000, "k"),
                (1_000_000, "M"),
                (1_000_000_000, "G"),
            ],
            Self::Bytes => &[
                (1, "B"),
                (1_000, "kB"),
                (1_000_000, "MB"),
                (1_000_000_000, "GB"),
                (1 << 10, "KiB"),
                (1 << 20, "MiB"),
                (1 << 30, "GiB"),
            ],
        }
    }

    fn multiplier(self, suffix: &str) -> Option<u64> {
        let also = match (self, suffix) {
            (Self::Count, "K") => "k",
            (Self::Bytes, "KB") => "kB",
            _ => suffix,
        };
        let known = self.suffixes().iter().find(|(_, written)| *written == also);
        known.map(|(multiplier, _)| *multiplier)
    }

    fn amount(self, quantity: &str) -> Result<u64, Invalid> {
        let example = self.example();
        let (number, suffix) = split_number(quantity).ok_or_else(|| {
            Invalid::new(
                format!("`{}` is not a whole number with a unit", shown(quantity)),
                format!("write it like \"{example}\", or \"off\" for no limit"),
            )
        })?;
        let multiplier = self
            .multiplier(suffix)
            .ok_or_else(|| self.unknown(number, suffix))?;
        let amount = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(multiplier));
        match amount {
            Some(0) => Err(Invalid::new(
                "a limit of 0 would drop everything",
                "write \"off\" for no limit, or name the sources to drop in [[deny]]",
            )),
            Some(amount) if amount <= MAX_UNITS => Ok(amount),
            _ => Err(Invalid::new(
                format!(
                    "`{}` is higher than any rate guard can hold",
                    shown(quantity)
                ),
                "the highest is 10^12 (1000G); write \"off\" for no limit",
            )),
        }
    }

    fn unknown(self, number: &str, suffix: &str) -> Invalid {
        let number = &shown(number);
        match self {
            Self::Count => Invalid::new(
                format!(
                    "`{}` is not a unit of packets or connections",
                    shown(suffix)
                ),
                format!("the units are k, M and G: \"{number}k/s\""),
            ),
            Self::Bytes if suffix.is_empty() => Invalid::new(
                format!("`{}` does not say of which unit", shown(number)),
                format!("write \"{number}B/s\" for bytes, or use KiB, MiB, GiB, kB, MB or GB"),
            ),
            Self::Bytes => Invalid::new(
                format!("`{}` is not a unit of bytes", shown(suffix)),
                format!(
                    "the units are B, kB, MB, GB (powers of 1000) and KiB, MiB, GiB (powers of \
                     1024): \"{number}MiB/s\""
                ),
            ),
        }
    }
}

fn period_from(name: &str) -> Option<Duration> {
    PERIODS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, seconds)| Duration::from_secs(*seconds))
}

fn period_name(per: Duration) -> Option<&'static str> {
    PERIODS
        .iter()
        .find(|(_, seconds)| per == Duration::from_secs(*seconds))
        .map(|(name, _)| *name)
}

const PERIODS: [(&str, u64); 3] = [("s", 1), ("min", 60), ("h", 3_600)];

#[cfg(test)]
mod tests;
