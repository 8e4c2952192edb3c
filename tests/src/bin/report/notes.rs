//! What people wrote about tables: sections of a Markdown file, headed by the tables' titles.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

/// The section that is of no table: what was aimed at, and what was reached of it.
pub(crate) const AIMS: &str = "What was aimed at";

/// Texts by the title of their table.
#[derive(Debug, Default)]
pub(crate) struct Notes(BTreeMap<String, String>);

impl Notes {
    /// Those of the folder of stored reports; none when it has no `notes.md`.
    ///
    /// # Errors
    /// The file cannot be read, or it has two sections for one table.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("notes.md");
        match fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("in {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// What stands before the first section says what the file is, and is left out.
    fn parse(text: &str) -> Result<Self> {
        let mut notes = BTreeMap::new();
        for section in format!("\n{text}").split("\n## ").skip(1) {
            let (title, text) = section.split_once('\n').unwrap_or((section, ""));
            let before = notes.insert(title.trim().to_owned(), text.trim().to_owned());
            ensure!(
                before.is_none(),
                "two notes for one table: {}",
                title.trim()
            );
        }
        Ok(Self(notes))
    }

    /// That of a table.
    pub(crate) fn of(&self, title: &str) -> Option<&str> {
        self.0.get(title.trim()).map(String::as_str)
    }

    /// Refuses notes for tables other than these.
    ///
    /// # Errors
    /// There is such a note: its table has another title now, or was not measured.
    pub(crate) fn check(&self, titles: &[&str]) -> Result<()> {
        let is_known = |note: &str| note == AIMS || titles.iter().any(|title| title.trim() == note);
        let unknown: Vec<_> = self.0.keys().filter(|note| !is_known(note)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        bail!("notes.md has notes for tables that do not exist: {unknown:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_by_title() {
        let notes = Notes::parse("# Notes\nFor people.\n\n## A b\n\nOne.\n\nTwo.\n## C\nThree.");
        let notes = notes.expect("notes");
        assert_eq!(notes.of("A b"), Some("One.\n\nTwo."));
        assert_eq!(notes.of("C"), Some("Three."));
        assert_eq!(notes.of("Notes"), None);
        notes.check(&["A b", "C", "D"]).expect("known");
        let aims = Notes::parse("## What was aimed at\nMuch.").expect("notes");
        aims.check(&[]).expect("of no table");
        let error = notes.check(&["A b"]).expect_err("unknown");
        assert!(
            error.to_string().ends_with(r#"do not exist: ["C"]"#),
            "{error}"
        );
    }

    #[test]
    fn a_table_has_one_note() {
        let error = Notes::parse("## A\n1\n## A\n2\n").expect_err("two");
        assert_eq!(error.to_string(), "two notes for one table: A");
    }
}
