//! The agents, one after the other: killed while they start and while they run, and what they leave.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Namespace,
    agent::{Agent, Folder, Stopped, binary, without_settings},
    command,
    noise::Noise,
    remains::{Held, open_files, resident_bytes},
    stage::Stage,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    refused::{Refused, Way},
    refusing::{Asker, listed},
    reloads::Reloader,
    run::Plan,
};

/// How long an agent lives before it is killed, in milliseconds: from being started on.
const LIVES_MS: (usize, usize) = (200, 9_000);
/// How long one lives that is killed as it starts: from being started on, or from a step on.
const EARLY_LIVES_MS: (usize, usize) = (0, 400);
const STEPS_MS: (usize, usize) = (0, 20);
/// How long there is none.
const GAPS_MS: (usize, usize) = (0, 1_500);
/// For an agent to end.
const PATIENCE: Duration = Duration::from_mins(1);
/// Reloads and requests reach their usual memory by then.
const WARM_UP: Duration = Duration::from_secs(15);
/// What an agent says as it starts, in this order; with the last it protects.
const STEPS: [&str; 3] = [
    "going on with what an earlier agent left",
    "taken over",
    "protecting",
];

/// What is counted at one moment.
#[derive(Debug)]
struct Load {
    resident_bytes: u64,
    files: usize,
    pins: Vec<OsString>,
    attached: usize,
}

/// The agents, and all that they ever held.
pub(crate) struct Agents<'a> {
    stage: &'a Stage,
    reloader: &'a Reloader,
    refused: &'a Refused,
    held: Held,
    pub(crate) kills: Kills,
}

/// How many were killed, or stopped.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kills {
    pub(crate) settled: u64,
    /// As they started, by how many of their [`STEPS`] they had done.
    early: [u64; STEPS.len() + 1],
}

impl Kills {
    pub(crate) fn all(&self) -> u64 {
        self.settled + self.early.iter().sum::<u64>()
    }

    /// Those of agents that did not protect yet.
    pub(crate) fn before_ready(&self) -> u64 {
        self.early[..STEPS.len()].iter().sum()
    }
}

impl<'a> Agents<'a> {
    pub(crate) fn new(stage: &'a Stage, reloader: &'a Reloader, refused: &'a Refused) -> Self {
        Self {
            stage,
            reloader,
            refused,
            held: Held::default(),
            kills: Kills::default(),
        }
    }

    /// Starts one. The file has to be a configuration until it has read it.
    fn spawn(&self, folder: Folder) -> Result<Agent> {
        let file = folder.join("guard.toml").to_string_lossy().into_owned();
        Agent::spawn_in(self.stage.host(), folder, &["--config", &file])
    }

    /// Starts one, and waits until it protects.
    pub(crate) fn start(&self, folder: Folder) -> Result<Agent> {
        let _held = self.reloader.hold();
        let mut agent = self.spawn(folder)?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    /// Kills and starts it, then lets it live.
    pub(crate) fn live(&mut self, agent: Agent, plan: &Plan, seed: u64) -> Result<Agent> {
        let mut noise = Noise(seed);
        let mut agent = agent;
        let pins = self.load(&mut agent)?.pins;
        let start = Instant::now();
        while start.elapsed() < plan.killing {
            agent = self.kill_and_start(agent, &mut noise)?;
            self.ensure_nothing_leaks()?;
            self.ensure_remembered(&agent)?;
        }
        thread::sleep(WARM_UP.min(plan.living / 2));
        let before = self.load(&mut agent)?;
        let end = Instant::now() + plan.living;
        while Instant::now() < end {
            thread::sleep(Duration::from_secs(1));
            self.held.add(&Held::by(agent.server().pid())?);
        }
        let after = self.load(&mut agent)?;
        println!("{before:?}\n{after:?}");
        ensure!(after.pins == pins && before.pins == pins, "pins: {pins:?}");
        ensure!(after.attached == before.attached, "programs");
        // Connections of those who ask come and go.
        ensure!(after.files <= before.files + 3, "files");
        let growth = after.resident_bytes.saturating_sub(before.resident_bytes);
        ensure!(growth < plan.growth_bytes, "memory grew by {growth} bytes");
        // What earlier agents held, and earlier programs, is gone.
        let own = Held::by(agent.server().pid())?;
        self.held.wait_until_gone_but(&own)?;
        Ok(agent)
    }

    fn kill_and_start(&mut self, mut agent: Agent, noise: &mut Noise) -> Result<Agent> {
        thread::sleep(between(noise, LIVES_MS));
        self.held.add(&Held::by(agent.server().pid())?);
        let signal = noise.one_of(&[Signal::SIGKILL, Signal::SIGKILL, Signal::SIGTERM]);
        agent.server().signal(signal)?;
        let mut ended = agent.wait(PATIENCE)?;
        ensure_no_panic(&ended)?;
        self.kills.settled += 1;
        thread::sleep(between(noise, GAPS_MS));
        // Every second one gets no further, and every second one after it.
        while noise.one_in(2) {
            ended = self.kill_early(ended.folder, noise)?;
            self.ensure_nothing_leaks()?;
        }
        self.start(ended.folder)
    }

    /// Starts one, and kills it somewhere in that.
    fn kill_early(&mut self, folder: Folder, noise: &mut Noise) -> Result<Stopped> {
        let _held = self.reloader.hold();
        let mut agent = self.spawn(folder)?;
        wait_for_somewhere(&mut agent, noise)?;
        let own = Held::by(agent.server().pid());
        agent.server().signal(Signal::SIGKILL)?;
        let ended = agent.wait(PATIENCE)?;
        let was_killed = ended.status.signal() == Some(Signal::SIGKILL as i32);
        ensure!(was_killed, "{}: {}", ended.status, ended.log.text());
        ensure_no_panic(&ended)?;
        self.held.add(&own?);
        let said = |step: &&str| ended.log.with("message", step).next().is_some();
        let steps = STEPS.iter().filter(|step| said(step)).count();
        self.kills.early[steps] += 1;
        let protects = self.stage.server.xdp()?.is_some();
        ensure!(protects, "nothing protects after {steps} steps");
        Ok(ended)
    }

    fn ensure_nothing_leaks(&self) -> Result<()> {
        let (leaks, kills) = (self.refused.leaks()?, self.kills);
        ensure!(leaks.is_empty(), "{leaks:?} came through by {kills:?}");
        Ok(())
    }

    /// The agent lists whomever an earlier one was told to deny, or has banned.
    fn ensure_remembered(&self, agent: &Agent) -> Result<()> {
        let lists: [(Way, &[&str], &str); 2] = [
            (Way::Hand, &["deny", "list", "--output", "json"], "cidr"),
            (Way::Ban, &["bans", "--output", "json"], "source"),
        ];
        let asker = Asker::new(self.stage.host(), agent.folder());
        for (way, words, field) in lists {
            let sources = self.refused.by(way);
            let listed = listed(&asker.answer_by_and_by(words)?, field)?;
            for source in sources {
                let is_listed = listed.contains(&format!("{source}/32"));
                let kills = self.kills;
                ensure!(is_listed, "{way:?}: {source} is forgotten by {kills:?}");
            }
        }
        Ok(())
    }

    /// With the plainest configuration in force and nothing under way, so that two can be compared.
    fn load(&self, agent: &mut Agent) -> Result<Load> {
        self.reloader.settled(|| {
            let deadline = Instant::now() + PATIENCE;
            loop {
                // What the old program had is freed by and by.
                thread::sleep(Duration::from_millis(500));
                let load = self.load_now(agent)?;
                // A reload that nobody waits for any more, on a busy machine, has its own pins until
                // it is done.
                if load.pins.is_sorted_by(|one, next| one < next) {
                    return Ok(load);
                }
                ensure!(Instant::now() < deadline, "twice: {load:?}");
            }
        })
    }

    fn load_now(&self, agent: &mut Agent) -> Result<Load> {
        let pid = agent.server().pid();
        Ok(Load {
            pins: names_of(&agent.folder().pins()),
            resident_bytes: resident_bytes(pid)?,
            files: open_files(pid)?,
            attached: attached_programs(self.stage.host())?,
        })
    }

    /// Ends the last one, which keeps protecting, and takes everything off.
    pub(crate) fn end(mut self, mut agent: Agent) -> Result<()> {
        self.held.add(&Held::by(agent.server().pid())?);
        let stopped = agent.stop()?;
        ensure!(stopped.status.success(), "{}", stopped.log.text());
        ensure!(self.stage.server.xdp()?.is_some(), "it keeps protecting");
        ensure_none_was_broken(&stopped.folder)?;
        let mut detach = self.stage.host().command(binary()?);
        without_settings(&mut detach);
        detach.arg("detach");
        detach.arg("--state-dir").arg(stopped.folder.state());
        detach.arg("--bpffs").arg(stopped.folder.bpffs());
        let detached = detach.output().context("cannot run guard detach")?;
        ensure!(detached.status.success(), "{detached:?}");
        ensure!(self.stage.server.xdp()?.is_none(), "detached");
        let pins = stopped.folder.pins();
        ensure!(pins.is_empty(), "{pins:?} stay");
        self.held.wait_until_gone_but(&Held::default())
    }
}

/// Waits until an agent has started somewhat: for a while, or until it has said a step, since some take
/// no more than a few milliseconds.
fn wait_for_somewhere(agent: &mut Agent, noise: &mut Noise) -> Result<()> {
    if noise.one_in(2) {
        thread::sleep(between(noise, EARLY_LIVES_MS));
        return Ok(());
    }
    let step = noise.one_of(&STEPS[..2]);
    agent.server().wait_for_line(step, PATIENCE)?;
    thread::sleep(between(noise, STEPS_MS));
    Ok(())
}

fn between(noise: &mut Noise, (least, most): (usize, usize)) -> Duration {
    Duration::from_millis((least + noise.below(most - least)) as u64)
}

fn ensure_no_panic(ended: &Stopped) -> Result<()> {
    let text = ended.log.text();
    ensure!(!text.contains("panicked"), "{text}");
    Ok(())
}

/// A kill leaves no file that the next agent cannot read, and would have moved aside.
fn ensure_none_was_broken(folder: &Folder) -> Result<()> {
    for entry in fs::read_dir(folder.state())? {
        let name = entry?.file_name();
        let is_broken = name.to_string_lossy().contains(".broken");
        ensure!(!is_broken, "{}", name.display());
    }
    Ok(())
}

/// The names of pins, in order; their folders change with each program.
fn names_of(pins: &[PathBuf]) -> Vec<OsString> {
    let names = pins.iter().filter_map(|pin| pin.file_name());
    let mut names: Vec<_> = names.map(OsStr::to_owned).collect();
    names.sort();
    names
}

/// Programs on the interfaces of a namespace.
fn attached_programs(namespace: &Namespace) -> Result<usize> {
    let mut bpftool = namespace.command("bpftool");
    let shown = command::output(bpftool.args(["--json", "net", "show"]))?;
    let shown: Value = serde_json::from_str(&shown)?;
    let kinds = shown[0].as_object().context("bpftool shows no networks")?;
    let counts = kinds
        .values()
        .filter_map(|kind| Some(kind.as_array()?.len()));
    Ok(counts.sum())
}
