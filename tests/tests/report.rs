//! Stored reports become a document with plots, and bad ones an error that says what is wrong.

#![forbid(unsafe_code)]

use std::{fs, path::Path, process::Command};

use anyhow::Result;
use lab::{
    Scratch,
    bench::report::{Better, Figure, Recorder, Report},
    command,
};

fn report(bench: &str, median: f64) -> Result<Report> {
    let mut report = Recorder::new(bench)?.finish(None)?;
    for (column, factor) in [("guard", 1.0), ("nftables", 3.0)] {
        for row in ["0", "1,000", "1,000,000"] {
            report.figures.push(Figure {
                table: "Cost".to_owned(),
                row: row.to_owned(),
                column: column.to_owned(),
                unit: "ns".to_owned(),
                better: Better::Less,
                samples: vec![median * factor],
            });
        }
    }
    Ok(report)
}

/// A folder `docs/bench` with what was measured by `micro`.
fn stored() -> Result<Scratch> {
    let scratch = Scratch::new()?;
    let folder = scratch.join("docs").join("bench");
    fs::create_dir_all(&folder)?;
    report("micro", 10.0)?.write(&folder.join("micro.json"))?;
    Ok(scratch)
}

fn program(folder: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_report"));
    program.current_dir(folder);
    program
}

fn publish(folder: &Path) -> Result<String> {
    let mut program = program(folder);
    program.args(["--folder", "docs/bench", "--document", "docs/BENCHMARKS.md"]);
    command::output(&mut program)
}

#[test]
fn a_document_has_its_plots_and_is_the_same_each_time() -> Result<()> {
    let scratch = stored()?;
    let bench = scratch.join("docs").join("bench");
    fs::write(bench.join("flood-of-old.svg"), "")?;
    fs::write(bench.join("other.svg"), "")?;
    let read = || -> Result<_> {
        publish(scratch.path())?;
        let document = fs::read_to_string(scratch.join("docs").join("BENCHMARKS.md"))?;
        Ok((document, fs::read_to_string(bench.join("micro-cost.svg"))?))
    };
    let (document, plot) = read()?;
    assert!(document.contains("](bench/micro-cost.svg)"), "{document}");
    assert!(
        document.contains("| 1,000 | **10.0** | 30.0 |"),
        "{document}"
    );
    assert!(
        document.contains("Not run: `cargo xtask bench scale`."),
        "{document}"
    );
    assert!(plot.contains("1,000,000"), "{plot}");
    assert!(!bench.join("flood-of-old.svg").exists() && bench.join("other.svg").exists());
    assert_eq!(read()?, (document, plot));
    Ok(())
}

#[test]
fn bad_input_is_named() -> Result<()> {
    let scratch = stored()?;
    let bench = scratch.join("docs").join("bench");
    let refused = |words: &str| {
        let error = publish(scratch.path()).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
        assert!(!scratch.join("docs").join("BENCHMARKS.md").exists());
    };
    fs::write(bench.join("notes.md"), "## Price\nHigh.\n")?;
    refused(r#"notes for tables that do not exist: ["Price"]"#);
    fs::write(bench.join("agent.json"), "{}")?;
    refused("docs/bench/agent.json is no report of a benchmark");
    fs::remove_dir_all(&bench)?;
    refused("cannot find the folder docs/bench");
    Ok(())
}

#[test]
fn two_runs_are_compared() -> Result<()> {
    let scratch = Scratch::new()?;
    report("micro", 10.0)?.write(&scratch.join("old.json"))?;
    report("micro", 15.0)?.write(&scratch.join("new.json"))?;
    let compare = |old: &str, new: &str| {
        command::output(program(scratch.path()).args(["--compare", old, new]))
    };
    let text = compare("old.json", "new.json")?;
    assert!(
        text.contains("worse     1.50  Cost / 0 / guard: 10.0 ns, now 15.0"),
        "{text}"
    );
    assert!(
        text.ends_with("0 of the 6 figures in both stayed as they were.\n"),
        "{text}"
    );
    let error = compare("older.json", "new.json").expect_err("no such file");
    assert!(
        error.to_string().contains("cannot read older.json"),
        "{error}"
    );
    Ok(())
}
