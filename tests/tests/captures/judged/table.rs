//! The disagreements that are known, and why they are none of guard's mistakes.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::Compared;

const TABLE: &str = include_str!("disagreements.tsv");
/// Stands for any end.
const ANY: &str = "*";

/// All of them.
pub(super) struct Table {
    rows: Vec<Row>,
    /// Those that have explained something.
    used: HashSet<usize>,
}

/// Disagreements of one kind in a capture.
struct Row {
    line: &'static str,
    capture: &'static str,
    client: &'static str,
    server: &'static str,
    judge: &'static str,
    guard: &'static str,
}

impl Table {
    /// Reads it.
    ///
    /// # Errors
    /// A line is no row, or gives no reason.
    pub(super) fn read() -> Result<Self> {
        let lines = TABLE.lines().skip(1);
        Ok(Self {
            rows: lines.map(Row::read).collect::<Result<_>>()?,
            used: HashSet::new(),
        })
    }

    /// Whether a disagreement is known.
    pub(super) fn explains(&mut self, one: &Compared) -> bool {
        let found = self.rows.iter().position(|row| row.is_about(one));
        self.used.extend(found);
        found.is_some()
    }

    /// The rows about these files of a corpus that no longer disagree, or that another one covers.
    pub(super) fn left(&self, corpus: &str, files: &[PathBuf]) -> Vec<String> {
        let name = |path: &PathBuf| path.file_name().map(|name| Path::new(corpus).join(name));
        let captures: HashSet<_> = files.iter().filter_map(name).collect();
        let rows = self.rows.iter().enumerate();
        rows.filter(|(at, row)| {
            !self.used.contains(at) && captures.contains(Path::new(row.capture))
        })
        .map(|(_, row)| format!("no such disagreement: {}", row.line))
        .collect()
    }
}

impl Row {
    fn read(line: &'static str) -> Result<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next().with_context(|| format!("too short: {line}"));
        let row = Self {
            line,
            capture: next()?,
            client: next()?,
            server: next()?,
            judge: next()?,
            guard: next()?,
        };
        ensure!(!next()?.is_empty(), "no reason: {line}");
        Ok(row)
    }

    fn is_about(&self, one: &Compared) -> bool {
        let is = |end: &str, address| end == ANY || end == format!("{address}");
        self.capture == one.capture
            && self.judge == one.judge
            && self.guard == one.guard
            && is(self.client, one.client)
            && is(self.server, one.server)
    }
}
