//! The fuzzers' kept corpus, through the same checks, without a fuzzer.

#![forbid(unsafe_code)]

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use checks::TARGETS;

/// Files of each target, at least: the corpus of one that is renamed is empty.
const LEAST: usize = 12;
/// Bytes of the whole corpus, at most: it is kept in the repository.
const MOST_BYTES: usize = 1 << 20;

fn fuzz(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz")
        .join(below)
}

/// The names in a folder, in their order.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.into_string().expect("UTF-8"))
        .collect()
}

#[test]
fn what_was_ever_found_stays_mended() {
    let (mut files, mut bytes, mut broken) = (0, 0, Vec::new());
    for (target, check) in TARGETS {
        let folder = fuzz("corpus").join(target);
        let inputs = names(&folder);
        assert!(inputs.len() >= LEAST, "{target}: {} inputs", inputs.len());
        for name in inputs {
            let input = fs::read(folder.join(&name)).expect("an input");
            (files, bytes) = (files + 1, bytes + input.len());
            if catch_unwind(AssertUnwindSafe(|| check(&input))).is_err() {
                broken.push(format!("{target}/{name}"));
            }
        }
    }
    println!("{files} inputs of {} targets, {bytes} bytes", TARGETS.len());
    assert!(
        broken.is_empty(),
        "above is what does not hold of {broken:#?}"
    );
    assert!(bytes <= MOST_BYTES, "{bytes} bytes");
}

#[test]
fn each_check_is_fuzzed_and_has_a_corpus() {
    let checked: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz("corpus")), checked);
    let programs = names(&fuzz("fuzz_targets"));
    let of_programs: BTreeSet<String> = programs
        .iter()
        .map(|file| file.trim_end_matches(".rs").to_owned())
        .collect();
    assert_eq!(of_programs, checked);
    let manifest = fs::read_to_string(fuzz("Cargo.toml")).expect("the manifest");
    for name in checked {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "{name} is not built"
        );
        let program = fs::read_to_string(fuzz("fuzz_targets").join(format!("{name}.rs")));
        let call = format!("checks::{name}::check(");
        assert!(
            program.expect("a program").contains(&call),
            "{name} fuzzes something else"
        );
    }
}
