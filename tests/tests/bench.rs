//! The benchmarks run, and say everything they are there to say. Their figures are measured, not
//! asserted.

#![forbid(unsafe_code)]

use std::fs;

use anyhow::{Context as _, Result};
use lab::{Scratch, bench::rows::ROWS, command};
use serde_json::Value;

#[test]
fn the_micro_benchmark_has_every_figure() -> Result<()> {
    let folder = Scratch::new()?;
    let json = folder.path().join("figures.json");
    let mut micro = std::process::Command::new(env!("CARGO_BIN_EXE_micro"));
    micro.args(["--tiny", "--rounds", "1", "--json"]).arg(&json);
    let printed = command::output(&mut micro)?;
    let figures: Value = serde_json::from_str(&fs::read_to_string(&json)?)?;

    let packets = figures["packets"].as_array().context("no packets")?;
    let names: Vec<_> = packets.iter().map(|row| row["name"].as_str()).collect();
    assert_eq!(
        names,
        ROWS.iter().map(|row| Some(row.name)).collect::<Vec<_>>()
    );
    for row in packets {
        assert!(
            row["median_ns"].is_f64() && row["verified"].as_u64() > Some(0),
            "{row}"
        );
        assert!(
            printed.contains(row["name"].as_str().unwrap_or("?")),
            "{printed}"
        );
    }

    let memory = figures["memory"].as_array().context("no memory")?;
    assert_eq!(memory.len(), 2);
    assert!(
        memory
            .iter()
            .all(|side| side["maps"]["SOURCES"].as_u64() > Some(1 << 20))
    );
    assert!(
        memory[0]["bytes"].as_u64() < memory[1]["bytes"].as_u64(),
        "the lists take memory"
    );
    assert_eq!(figures["load"].as_array().map(Vec::len), Some(2));

    let feed = &figures["feed"];
    for time in ["read_ms", "plan_ms", "kernel_ms"] {
        assert!(feed[time].as_f64() > Some(0.0), "{feed}");
    }
    assert_eq!(feed["entry"].as_array().map(Vec::len), Some(4));

    let limits = figures["limits"].as_array().context("no limits")?;
    assert!(
        limits.iter().all(|row| row["passed"].as_u64() > Some(0)),
        "{limits:?}"
    );
    let behaved = &figures["crowd"]["behaved"];
    assert_eq!(
        (&behaved["dropped"], behaved["sources"].as_u64()),
        (&0.into(), Some(256))
    );
    Ok(())
}

#[test]
fn the_agents_benchmark_has_every_figure() -> Result<()> {
    let folder = Scratch::new()?;
    let json = folder.path().join("figures.json");
    let mut agent = std::process::Command::new(env!("CARGO_BIN_EXE_agent"));
    agent.args(["--rounds", "1", "--seconds", "1", "--addresses", "1000"]);
    let printed = command::output(agent.arg("--json").arg(&json))?;
    let figures: Value = serde_json::from_str(&fs::read_to_string(&json)?)?;
    let rows = figures["figures"].as_array().context("no figures")?;
    for name in [
        "start to attached, as it says, defaults",
        "start to ready, long lists",
        "stop and start to ready, defaults",
        "memory in RAM, long lists",
        "guard reload, long lists",
        "guard status, defaults",
        "a scrape, defaults",
        "a scrape's size, defaults",
        "memory in RAM then",
    ] {
        let row = rows.iter().find(|row| row["name"] == name);
        let row = row.with_context(|| format!("no {name} in {printed}"))?;
        assert!(row["median"].as_f64() > Some(0.0), "{row}");
        assert!(printed.contains(name), "{printed}");
    }
    let value = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.and_then(|row| row["median"].as_f64())
    };
    assert!(value("processor, idle").is_some());
    assert!(value("processor, events at their cap").is_some());
    // More came than is told of: the cap was reached.
    assert!(value("events then, emitted") > Some(0.0), "{printed}");
    assert!(value("events then, suppressed") > Some(0.0), "{printed}");
    Ok(())
}
