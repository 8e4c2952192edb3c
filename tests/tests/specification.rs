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
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    quoted.matches('_').count() >= 2
        && quoted
            .chars()
            .all(|letter| is_part(letter) || letter == '_')
}

fn tests_below(root: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for part in [
        "checks/tests",
        "guard-common/src",
        "guard-userspace/src",
        "tests/src",
        "tests/tests",
    ] {
        for file in rust_files(&root.join(part)) {
            let text = fs::read_to_string(&file).expect("a source file");
            names.extend(tests_in(&text));
        }
    }
    names
}

/// The functions that the test runner runs in each run, or in a full one: marked as tests, and
/// ignored for no other reason than that.
fn tests_in(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut marks: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[") {
            marks.push(line);
            continue;
        }
        let is = |start: &str| marks.iter().any(|mark| mark.starts_with(start));
        let is_left_out = marks
            .iter()
            .any(|mark| mark.starts_with("#[ignore") && !mark.contains("test --full"));
        let is_test = (is("#[test]") || is("#[tokio::test")) && !is_left_out;
        let function = line
            .trim_start_matches("async ")
            .strip_prefix("fn ")
            .filter(|_| is_test);
        if let Some((name, _)) = function.and_then(|rest| rest.split_once('(')) {
            names.push(name.to_owned());
        }
        marks.clear();
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

#[test]
fn only_what_is_run_counts_as_a_test() {
    let text = "
        fn a_helper_of_tests() {}
        #[test]
        fn a_test_that_runs() {}
        #[tokio::test(flavor = \"current_thread\")]
        async fn another_test_that_runs() {}
        #[test]
        #[ignore = \"takes long\"]
        fn a_test_left_out() {}
        #[test]
        #[ignore = \"takes long: `cargo xtask test --full`\"]
        fn a_test_of_a_full_run() {}
    ";
    assert_eq!(
        tests_in(text),
        [
            "a_test_that_runs",
            "another_test_that_runs",
            "a_test_of_a_full_run"
        ]
    );
}
