//! How often what is said of the judge meets what is said of guard.

use std::{collections::BTreeMap, fmt};

use super::Compared;

/// Connections by the judge's verdict, guard's, and whether that counts as the same.
#[derive(Default)]
pub(super) struct Confusion(BTreeMap<(&'static str, String, bool), usize>);

impl Confusion {
    pub(super) fn count(&mut self, one: &Compared) {
        let key = (one.judge, one.guard.clone(), one.agrees);
        *self.0.entry(key).or_default() += 1;
    }
}

impl fmt::Display for Confusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<18} {:<18} {:>6}", "judge", "guard", "count")?;
        for ((judge, guard, agrees), count) in &self.0 {
            let note = if *agrees { "" } else { "  disagree" };
            writeln!(f, "{judge:<18} {guard:<18} {count:>6}{note}")?;
        }
        Ok(())
    }
}
