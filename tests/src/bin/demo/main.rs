//! `cargo xtask demo`: guard at its main job, on real packets, in namespaces of its own.
//!
//! A server with guard on its interface, a client that behaves, two floods and a client that sends
//! its token in clear; then a table of what came of each, held against what somebody else counted.

#![forbid(unsafe_code)]

/// Prints a line. A reader that has read enough, such as `head`, does not end the demo halfway.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod claims;
mod client;
mod floods;
mod interrupt;
mod plaintext;
mod report;
mod scene;
mod text;

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, bail};
use lab::metrics::Metrics;

use crate::{
    client::{Client, Latency},
    floods::Floods,
    interrupt::{Interrupt, Interrupted},
    plaintext::Plaintext,
    scene::{Leftovers, Scene},
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<Interrupted>() => {
            eprintln!("\ndemo: interrupted, everything is cleaned up");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Everything the demo saw, for the report and the claims.
struct Evidence {
    before: Latency,
    during: Latency,
    floods: Floods,
    plaintext: Plaintext,
    metrics: Metrics,
    /// `/metrics` as it was served.
    metrics_text: String,
    /// Everything the agent logged until it ended.
    log: String,
    exit_code: Option<i32>,
    leftovers: Leftovers,
}

fn run() -> Result<()> {
    let begin = Instant::now();
    let interrupt = Interrupt::listen()?;
    let evidence = play(&interrupt)?;
    report::print(&evidence);
    let failed = claims::check(&evidence);
    say!("\n{:.1} s in all.", begin.elapsed().as_secs_f64());
    if !failed.is_empty() {
        bail!("these claims do not hold: {}", failed.join("; "));
    }
    Ok(())
}

/// Plays all scenes and takes everything down again.
fn play(interrupt: &Interrupt) -> Result<Evidence> {
    text::heading("The stage");
    let scene = Scene::build()?;
    let agent = scene.start_agent()?;

    text::heading("Before: one client that behaves");
    let client = Client::start(&scene)?;
    let before = client.observe_calm(interrupt)?;

    text::heading("During: two floods, the client goes on");
    let floods = Floods::run(&scene, &agent, &client, interrupt)?;
    let during = client.finish()?;

    text::heading("A request in clear, with a token");
    let plaintext = Plaintext::send(&scene, &agent, interrupt)?;

    let metrics_text = agent.get("/metrics")?.body;
    let stopped = agent.stop()?;
    let leftovers = scene.tear_down(&stopped)?;
    Ok(Evidence {
        before,
        during,
        floods,
        plaintext,
        metrics: Metrics::parse(&metrics_text)?,
        metrics_text,
        log: stopped.log.text().to_owned(),
        exit_code: stopped.status.code(),
        leftovers,
    })
}
