//! Those who refuse one source after the other, whatever becomes of the agent meanwhile.

use std::{
    net::Ipv4Addr,
    path::PathBuf,
    process::Output,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Namespace,
    agent::{Folder, binary, without_settings},
    greedy::Greedy,
    stage::{SERVER, Stage},
};
use serde_json::Value;

use crate::{
    refused::{Refused, Way},
    run::Plan,
};

/// Where the greedy ones connect to.
const SINK_PORT: u16 = 9000;
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(200);
/// For an agent that runs to answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// What `guard` ends with when no agent answers, and when it ended while it did.
const UNHEARD: [Option<i32>; 2] = [Some(3), Some(1)];

/// `guard` as they run it, whichever agent there is.
#[derive(Clone)]
pub(crate) struct Asker {
    namespace: Namespace,
    socket: PathBuf,
}

impl Asker {
    pub(crate) fn new(namespace: &Namespace, folder: &Folder) -> Self {
        Self {
            namespace: namespace.clone(),
            socket: folder.socket(),
        }
    }

    pub(crate) fn ask(&self, words: &[&str]) -> Result<Output> {
        let mut guard = self.namespace.command(binary()?);
        without_settings(&mut guard);
        guard.args(words).arg("--socket").arg(&self.socket);
        guard.output().context("cannot run guard")
    }

    /// The same; nothing where no agent has answered.
    fn answer(&self, words: &[&str]) -> Result<Option<Vec<u8>>> {
        let asked = self.ask(words)?;
        let is_heard = asked.status.success();
        let is_expected = is_heard || UNHEARD.contains(&asked.status.code());
        ensure!(is_expected, "{words:?}: {asked:?}");
        Ok(is_heard.then_some(asked.stdout))
    }

    /// The same of an agent that runs: on a busy machine it may answer late while it reloads.
    pub(crate) fn answer_by_and_by(&self, words: &[&str]) -> Result<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = self.answer(words)? {
                return Ok(answer);
            }
            ensure!(Instant::now() < deadline, "{words:?}: no answer");
            thread::sleep(PAUSE);
        }
    }
}

/// Waits, and says whether there is time left.
fn goes_on(pause: Duration, stop: &AtomicBool) -> bool {
    let end = Instant::now() + pause;
    while Instant::now() < end && !stop.load(Ordering::Relaxed) {
        thread::sleep(PAUSE);
    }
    !stop.load(Ordering::Relaxed)
}

/// Denies one source after the other by hand, for most of the time in which agents are killed.
pub(crate) fn keep_denying(
    plan: &Plan,
    asker: &Asker,
    refused: &Refused,
    stop: &AtomicBool,
) -> Result<()> {
    for source in Way::Hand.sources() {
        while !refused.came_through(source)? {
            if !goes_on(PAUSE, stop) {
                return Ok(());
            }
        }
        let text = source.to_string();
        while asker.answer(&["deny", "add", &text])?.is_none() {
            if !goes_on(PAUSE, stop) {
                return Ok(());
            }
        }
        refused.note(Way::Hand, source)?;
        if !goes_on(plan.killing / 40, stop) {
            return Ok(());
        }
    }
    Ok(())
}

/// Has one source after the other banned, for about half of that time.
pub(crate) fn keep_provoking(
    plan: &Plan,
    stage: &Stage,
    asker: &Asker,
    refused: &Refused,
    stop: &AtomicBool,
) -> Result<()> {
    for source in Way::Ban.sources() {
        let sink = (SERVER, SINK_PORT).into();
        let greedy = Greedy::start(stage, source.into(), sink)?;
        while !is_banned(asker, source)? {
            if !goes_on(PAUSE, stop) {
                return Ok(());
            }
        }
        refused.note(Way::Ban, source)?;
        // What is left in its connections is of who is banned.
        drop(greedy);
        if !goes_on(plan.killing / 8, stop) {
            return Ok(());
        }
    }
    Ok(())
}

fn is_banned(asker: &Asker, source: Ipv4Addr) -> Result<bool> {
    let Some(answer) = asker.answer(&["bans", "--output", "json"])? else {
        return Ok(false);
    };
    Ok(listed(&answer, "source")?.contains(&format!("{source}/32")))
}

/// The networks in an answer, which is a list.
pub(crate) fn listed(answer: &[u8], field: &str) -> Result<Vec<String>> {
    let entries: Vec<Value> = serde_json::from_slice(answer)?;
    let networks = entries.iter().filter_map(|entry| entry[field].as_str());
    Ok(networks.map(str::to_owned).collect())
}
