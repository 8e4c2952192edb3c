//! One run: an agent is killed and started again and again, then lives on; then all is counted.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Namespace,
    agent::{Agent, Folder, binary, without_settings},
    command,
    noise::Noise,
    remains::{Held, open_files, resident_bytes},
    servers::Nginx,
    stage::Stage,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    client::{self, Requests, TLS_PORT},
    floods::{Came, Floods},
    reloads::{Reloader, Reloads},
};

const SEED: u64 = 0x50a4;
/// How long an agent lives before it is killed, in milliseconds: from being started on.
const LIVES_MS: (usize, usize) = (200, 9_000);
/// How long there is none.
const GAPS_MS: (usize, usize) = (0, 1_500);
/// For an agent to end.
const PATIENCE: Duration = Duration::from_mins(1);
/// Reloads and requests reach their usual memory by then.
const WARM_UP: Duration = Duration::from_secs(15);

/// How long a run is.
pub(crate) struct Plan {
    /// For so long agents are killed.
    pub(crate) killing: Duration,
    /// For so long the last one lives on, under flood and reloads.
    pub(crate) living: Duration,
    /// Its memory grows by less than this.
    pub(crate) growth_bytes: u64,
}

/// What is counted at one moment.
#[derive(Debug)]
struct Load {
    resident_bytes: u64,
    files: usize,
    pins: Vec<OsString>,
    attached: usize,
}

/// The agents, one after the other, and all that they ever held.
struct Agents<'a> {
    stage: &'a Stage,
    reloader: &'a Reloader,
    held: Held,
    kills: u64,
}

pub(crate) fn soak(plan: &Plan) -> Result<()> {
    let seed = match env::var("GUARD_SOAK_SEED") {
        Ok(seed) => seed.parse().context("GUARD_SOAK_SEED is a number")?,
        Err(_) => SEED,
    };
    println!("GUARD_SOAK_SEED={seed}");
    let stage = Stage::new()?;
    let nginx = Nginx::start(stage.host(), &[TLS_PORT], &[])?;
    let folder = Folder::new()?;
    let reloader = Reloader::new(stage.host(), &folder)?;
    let mut agents = Agents {
        stage: &stage,
        reloader: &reloader,
        held: Held::default(),
        kills: 0,
    };
    let agent = agents.start(folder)?;
    // From here on the host knows the client.
    let first = client::request(&stage, &nginx)?;
    ensure!(first.is_ok(), "{first:?}");

    let stop = AtomicBool::new(false);
    let (agent, came, reloads, requests) = thread::scope(|scope| -> Result<_> {
        let floods = Floods::start(&stage)?;
        let reloading = scope.spawn(|| reloader.keep_reloading(Noise(seed ^ 1), &stop));
        let asking = scope.spawn(|| client::keep_asking(&stage, &nginx, &stop));
        let lived = agents.live(agent, plan, seed, &floods);
        stop.store(true, Ordering::Relaxed);
        let reloads = reloading.join().expect("reloads do not panic")?;
        let requests = asking.join().expect("requests do not panic")?;
        Ok((lived?, floods.stop()?, reloads, requests))
    })?;
    println!(
        "{} kills, {reloads:?}, {} requests, {} frames of denied sources",
        agents.kills, requests.served, came.sent
    );
    assert_all_went_on(plan, &agents, &came, &reloads, &requests);
    agents.end(agent)
}

fn assert_all_went_on(
    plan: &Plan,
    agents: &Agents<'_>,
    came: &Came,
    reloads: &Reloads,
    requests: &Requests,
) {
    assert_eq!(came.passed, 0, "of {} denied came through", came.sent);
    assert!(requests.failed.is_empty(), "{:?}", requests.failed);
    // However busy the machine is, something of each has happened.
    let seconds = (plan.killing + plan.living).as_secs();
    assert!(came.sent > seconds * 100, "{} frames", came.sent);
    assert!(requests.served > seconds / 10, "{requests:?}");
    assert!(reloads.taken > seconds / 10, "{reloads:?}");
    assert!(reloads.refused > 0, "{reloads:?}");
    // While there is none, and once as it is killed.
    assert!(reloads.unheard <= 3 * agents.kills + 3, "{reloads:?}");
    let kills = plan.killing.as_secs() / 30;
    assert!(agents.kills > kills, "{} kills", agents.kills);
}

impl Agents<'_> {
    fn start(&mut self, folder: Folder) -> Result<Agent> {
        let file = folder.join("guard.toml").to_string_lossy().into_owned();
        // Else it might meet a file that is no configuration.
        let _held = self.reloader.hold();
        let agent = Agent::start_in(self.stage.host(), folder, &["--config", &file])?;
        Ok(agent)
    }

    /// Kills and starts it, then lets it live.
    fn live(&mut self, agent: Agent, plan: &Plan, seed: u64, floods: &Floods) -> Result<Agent> {
        let mut noise = Noise(seed);
        let mut agent = agent;
        let pins = self.load(&mut agent)?.pins;
        let start = Instant::now();
        while start.elapsed() < plan.killing {
            agent = self.kill_and_start(agent, &mut noise)?;
            let passed = floods.passed()?;
            ensure!(passed == 0, "{passed} passed by the {}th kill", self.kills);
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
        let between = |noise: &mut Noise, (least, most): (usize, usize)| {
            Duration::from_millis((least + noise.below(most - least)) as u64)
        };
        thread::sleep(between(noise, LIVES_MS));
        self.held.add(&Held::by(agent.server().pid())?);
        let signal = noise.one_of(&[Signal::SIGKILL, Signal::SIGKILL, Signal::SIGTERM]);
        agent.server().signal(signal)?;
        let ended = agent.wait(PATIENCE)?;
        let text = ended.log.text();
        ensure!(!text.contains("panicked"), "{text}");
        self.kills += 1;
        thread::sleep(between(noise, GAPS_MS));
        self.start(ended.folder)
    }

    /// With the plainest configuration in force and nothing under way, so that two can be compared.
    fn load(&self, agent: &mut Agent) -> Result<Load> {
        self.reloader.settled(|| {
            // What the old program had is freed by and by.
            thread::sleep(Duration::from_millis(500));
            let pid = agent.server().pid();
            Ok(Load {
                resident_bytes: resident_bytes(pid)?,
                files: open_files(pid)?,
                pins: names_of(&agent.folder().pins()),
                attached: attached_programs(self.stage.host())?,
            })
        })
    }

    /// Ends the last one, which keeps protecting, and takes everything off.
    fn end(mut self, mut agent: Agent) -> Result<()> {
        self.held.add(&Held::by(agent.server().pid())?);
        let stopped = agent.stop()?;
        ensure!(stopped.status.success(), "{}", stopped.log.text());
        ensure!(self.stage.server.xdp()?.is_some(), "it keeps protecting");
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
