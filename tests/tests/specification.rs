//! The specification names the tests that hold its promises; they must exist.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_test_the_specification_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/SPECIFICATION.md")).expect("the specification");
    let named: BTreeSet<&str> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(is_test_name)
        .collect();
    assert!(named.len() > 40, "the names were not read: {named:?}");

    let existing = tests_below(&root);
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !existing.contains(**name))
        .collect();
    assert!(missing.is_empty(), "named, but not there: {missing:#?}");
}

/// Names of tests are sentences; what else stands in code quotes is shorter.
fn is_test_name(quoted: &&str) -> bool {
    quoted.matches('_').count() >= 2
        && quoted
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '_')
}

fn tests_below(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for part in [
        "guard-common/src",
        "guard-userspace/src",
        "tests/src",
        "tests/tests",
    ] {
        for file in rust_files(&root.join(part)) {
            let text = fs::read_to_string(&file).expect("a source file");
            names.extend(text.split("fn ").skip(1).filter_map(|rest| {
                let end = rest.find('(')?;
                Some(rest[..end].to_owned())
            }));
        }
    }
    names
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a source folder");
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
