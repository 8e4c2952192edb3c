//! What it costs a real server that each connection is looked at: requests a second that nginx
//! serves to wrk over a cable, with the check of encryption on and off in turns.

#![forbid(unsafe_code)]

use std::{fs, process::ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use lab::{
    agent::{Agent, Folder},
    command,
    servers::Nginx,
    stage::{INTERFACE, SERVER, Stage},
};

const TLS_PORT: u16 = 8443;
const PLAIN_PORT: u16 = 8080;
/// What a service demands while the check is on, and while it is off.
const STATES: [&str; 2] = ["required", "off"];

/// One client calls more often than any limit allows.
const NO_LIMITS: &str = "[limits]\npackets = \"off\"\nbytes = \"off\"\nconnections = \"off\"\n";

/// What wrk does.
struct Load {
    name: &'static str,
    scheme: &'static str,
    port: u16,
    /// A new connection for each request.
    closes: bool,
}

const LOADS: [Load; 4] = [
    load("HTTP, a connection each", "http", PLAIN_PORT, true),
    load("HTTP, connections kept", "http", PLAIN_PORT, false),
    load("HTTPS, a connection each", "https", TLS_PORT, true),
    load("HTTPS, connections kept", "https", TLS_PORT, false),
];

const fn load(name: &'static str, scheme: &'static str, port: u16, closes: bool) -> Load {
    Load {
        name,
        scheme,
        port,
        closes,
    }
}

/// Measure what a real server serves, with the check of encryption on and off (needs root)
#[derive(Parser)]
#[command(about)]
struct Settings {
    /// Runs of each kind with the check on, and as many with it off
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pairs: u16,
    /// Seconds of each run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=600))]
    seconds: u16,
}

fn main() -> ExitCode {
    match measure(&Settings::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Requests a second of each load, with the check on and with it off.
type Rates = [[Vec<f64>; STATES.len()]; LOADS.len()];

fn measure(settings: &Settings) -> Result<()> {
    let stage = Stage::new()?;
    let _nginx = Nginx::start(stage.host(), &[TLS_PORT], &[PLAIN_PORT])?;
    let mut rates = Rates::default();
    for pair in 0..usize::from(settings.pairs) {
        // Who goes first changes, so that whatever drifts does so for both.
        for turn in 0..STATES.len() {
            let which = (pair + turn) % STATES.len();
            let agent = guard(&stage, STATES[which])?;
            for (load, rates) in LOADS.iter().zip(&mut rates) {
                rates[which].push(load.run(&stage, settings.seconds)?);
            }
            let dropped = agent
                .metrics()?
                .count("guard_packets_total", &[("verdict", "drop")]);
            ensure!(dropped == 0, "guard dropped {dropped} packets");
            agent.stop()?;
        }
    }
    report(settings, &mut rates);
    Ok(())
}

fn guard(stage: &Stage, encryption: &str) -> Result<Agent> {
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    let text = format!(
        "interfaces = [\"{INTERFACE}\"]\n{NO_LIMITS}[[service]]\nname = \"api\"\n\
         ports = [{PLAIN_PORT}, {TLS_PORT}]\nencryption = \"{encryption}\"\n"
    );
    fs::write(&file, text)?;
    let flags = ["--config", &file.to_string_lossy()];
    Agent::start_in(stage.host(), folder, &flags)
}

impl Load {
    /// Requests a second.
    fn run(&self, stage: &Stage, seconds: u16) -> Result<f64> {
        let mut wrk = stage.client.namespace().command("wrk");
        wrk.args(["-t", "1", "-c", "16", "-d", &seconds.to_string()]);
        if self.closes {
            wrk.args(["--header", "Connection: close"]);
        }
        wrk.arg(format!("{}://{SERVER}:{}/", self.scheme, self.port));
        let said = command::output(&mut wrk)?;
        let rate = said
            .lines()
            .find_map(|line| line.strip_prefix("Requests/sec:"));
        let rate = rate.with_context(|| format!("no rate in {said}"))?;
        Ok(rate.trim().parse()?)
    }
}

fn report(settings: &Settings, rates: &mut Rates) {
    println!(
        "requests/s of nginx, medians (least to most) of {} runs each of {} s, in turns",
        settings.pairs, settings.seconds
    );
    println!(
        "{:<26} {:>26} {:>26} {:>9}",
        "", "CHECKED", "NOT CHECKED", "COST"
    );
    for (load, rates) in LOADS.iter().zip(rates) {
        let [on, off] = rates.each_mut().map(|rates| Spread::of(rates));
        let cost = (1.0 - on.median / off.median) * 100.0;
        println!("{:<26} {on:>26} {off:>26} {cost:>7.1} %", load.name);
    }
}

/// A median, and what is around it.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    /// That of one value at least.
    fn of(values: &mut [f64]) -> Self {
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Self {
            least: values[0],
            median,
            most: values[values.len() - 1],
        }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            least,
            median,
            most,
        } = self;
        f.pad(&format!("{median:.0} ({least:.0} to {most:.0})"))
    }
}
