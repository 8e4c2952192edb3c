//! `on_stop = "keep"`: the programs outlive the agent, and the next one takes them over.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind, panic_any},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::maps::MapData;
use guard::{
    config::{Config, XdpMode},
    kernel::{Kernel, Place, Plan, Port, Tick},
};
use guard_common::wire::ABI_VERSION;
use lab::{
    agent::{self, Agent, Folder, Stopped},
    command,
    counters::SourceCounter,
    flood::{Flood, Running},
    older,
    stage::{CLIENT, INTERFACE, NOBODY, Stage},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    PATIENCE,
    reload::{cli, reaches, wait_until},
};

/// Denies the source of the flood, and takes an agent whose programs stay.
pub(crate) const KEEP: &str = "on_stop = \"keep\"\n[[deny]]\ncidr = \"203.0.113.66\"\n";

/// A stage under a flood that is denied, and what of it came through.
pub(crate) struct Siege {
    pub(crate) stage: Stage,
    arrived: SourceCounter,
}

impl Siege {
    pub(crate) fn new() -> Result<Self> {
        let stage = Stage::new()?;
        let arrived = SourceCounter::attach(&stage.server)?;
        Ok(Self { stage, arrived })
    }

    pub(crate) fn start(&self, folder: Folder, config: &str) -> Result<Agent> {
        self.start_with(folder, config, &[])
    }

    fn start_with(&self, folder: Folder, config: &str, flags: &[&str]) -> Result<Agent> {
        self.start_build(&agent::binary()?, folder, config, flags)
    }

    fn start_build(
        &self,
        binary: &Path,
        folder: Folder,
        config: &str,
        flags: &[&str],
    ) -> Result<Agent> {
        let file = folder.join("guard.toml");
        fs::write(&file, config)?;
        let file = file.to_string_lossy().into_owned();
        let usual = ["--iface", INTERFACE, "--config", &file];
        let host = self.stage.host();
        let flags = [&usual, flags].concat();
        let mut agent = Agent::spawn_as(host, folder, host.command(binary), &flags)?;
        agent.wait_until_ready()?;
        Ok(agent)
    }

    pub(crate) fn flood(&self) -> Result<Running> {
        let frame = self
            .stage
            .packet(NOBODY.into())
            .udp(4000, 9)
            .payload([0; 18])
            .build();
        let flood = Flood {
            rate_pps: Some(50_000),
            ..Flood::new(frame, u64::MAX)
        };
        flood.start(&self.stage.client)
    }

    /// Asserts that nothing of the flood came through.
    pub(crate) fn assert_tight(&self, flood: Running) -> Result<()> {
        flood.stop();
        let sent = flood.wait()?.frames;
        let passed = self.arrived.received()?.get(&NOBODY).copied().unwrap_or(0);
        ensure!(sent > 1_000, "the flood is hardly one: {sent}");
        assert_eq!(passed, 0, "of {sent} came through");
        Ok(())
    }

    /// Asserts that the next agent takes over what was left, goes on by it, and lets nothing of the
    /// flood through meanwhile.
    pub(crate) fn assert_taken_over(&self, folder: Folder, flood: Running) -> Result<()> {
        let agent = self.start(folder, KEEP)?;
        wait_until(|| Ok(denied(&agent)? > 0))?;
        let folder = agent.stop()?.folder;
        self.assert_tight(flood)?;
        assert_detaches(&self.stage, &folder)
    }
}

pub(crate) fn kill(mut agent: Agent) -> Result<Stopped> {
    agent.server().signal(Signal::SIGKILL)?;
    agent.wait(PATIENCE)
}

pub(crate) fn denied(agent: &Agent) -> Result<u64> {
    let metrics = agent.metrics()?;
    Ok(metrics.count("guard_packets_total", &[("reason", "deny")]))
}

/// Runs `guard detach` on the folders of an agent.
pub(crate) fn detach(stage: &Stage, folder: &Folder) -> Result<Output> {
    let mut command: Command = stage.host().command(agent::binary()?);
    agent::without_settings(&mut command);
    command.arg("detach");
    command.arg("--state-dir").arg(folder.state());
    command.arg("--bpffs").arg(folder.bpffs());
    command.output().context("cannot run guard")
}

pub(crate) fn assert_detaches(stage: &Stage, folder: &Folder) -> Result<()> {
    let output = detach(stage, folder)?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said, "detached from eth0\n");
    assert_eq!(stage.server.xdp()?, None);
    assert!(!folder.bpffs().exists(), "{:?}", folder.pins());
    assert!(!folder.state().join("estate.json").exists());
    Ok(())
}

pub(crate) fn deed_file(folder: &Folder) -> PathBuf {
    folder.state().join("estate.json")
}

fn deed(folder: &Folder) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(deed_file(folder))?)?)
}

/// The folder of the maps of the kernel side that runs.
pub(crate) fn maps(folder: &Folder) -> Result<PathBuf> {
    let deed = deed(folder)?;
    let (abi, generation) = (&deed["abi"], &deed["generation"]);
    Ok(folder.bpffs().join(format!("v{abi}/{generation}")))
}

pub(crate) fn map_id(path: &Path) -> Result<u32> {
    Ok(MapData::from_pin(path)?.info()?.id())
}

#[test]
fn nothing_gets_through_while_the_agent_is_stopped_killed_started_and_reloaded() -> Result<()> {
    let siege = Siege::new()?;
    let mut folder = Folder::new()?;
    let agent = siege.start(folder, KEEP)?;
    let flood = siege.flood()?;
    folder = kill(agent)?.folder;
    let mut before = 0;
    for round in 0..4 {
        let agent = siege.start(folder, KEEP)?;
        let counted = denied(&agent)?;
        assert!(
            counted >= before,
            "{counted} after {before}: counters go on"
        );
        wait_until(|| Ok(denied(&agent)? > counted))?;
        before = denied(&agent)?;
        cli(&agent, &["reload"])?;
        let stopped = if round % 2 == 0 {
            agent.stop()?
        } else {
            kill(agent)?
        };
        assert!(
            siege.stage.server.xdp()?.is_some(),
            "{}",
            stopped.log.text()
        );
        folder = stopped.folder;
    }
    siege.assert_tight(flood)?;
    assert_detaches(&siege.stage, &folder)
}

#[test]
#[ignore = "builds an older version from the repository's history: `cargo xtask test --full`"]
fn an_older_build_is_upgraded_comes_back_and_is_upgraded_again() -> Result<()> {
    let (older, newer) = (older::build()?, agent::binary()?);
    let siege = Siege::new()?;
    let agent = siege.start_build(&older, Folder::new()?, KEEP, &[])?;
    let flood = siege.flood()?;
    cli(&agent, &["deny", "add", "198.51.100.77"])?;
    let abi = |agent: &Agent| Ok::<_, anyhow::Error>(deed(agent.folder())?["abi"].clone());
    let known = |agent: &Agent| map_id(&maps(agent.folder())?.join("KNOWN"));
    let (first_abi, first_known) = (abi(&agent)?, known(&agent)?);
    wait_until(|| Ok(denied(&agent)? > 1_000))?;
    let mut before = denied(&agent)?;
    let mut folder = kill(agent)?.folder;
    for binary in [&newer, &older, &newer] {
        let agent = siege.start_build(binary, folder, KEEP, &[])?;
        let counted = denied(&agent)?;
        assert!(counted >= before, "{counted} after {before}");
        assert_eq!(abi(&agent)? == first_abi, *binary == older);
        assert_eq!(known(&agent)?, first_known, "who is known is known still");
        assert!(cli(&agent, &["deny", "list"])?.contains("198.51.100.77"));
        wait_until(|| Ok(denied(&agent)? > counted + 1_000))?;
        before = denied(&agent)?;
        folder = kill(agent)?.folder;
    }
    siege.assert_tight(flood)?;
    assert_detaches(&siege.stage, &folder)
}

#[test]
fn a_start_on_trial_goes_back_to_what_an_earlier_agent_left() -> Result<()> {
    let siege = Siege::new()?;
    let agent = siege.start(Folder::new()?, KEEP)?;
    let flood = siege.flood()?;
    let mut folder = agent.stop()?.folder;
    let tried =
        format!("{KEEP}[[deny]]\ncidr = \"{CLIENT}\"\n[[service]]\nname = \"new\"\nports = [1]\n");
    let ends: [fn(Agent) -> Result<Stopped>; 3] = [
        |agent| agent.wait(PATIENCE),
        |agent| agent.stop(),
        |agent| kill(agent),
    ];
    for (end, confirm) in ends.into_iter().zip(["2s", "1h", "1h"]) {
        let agent = siege.start_with(folder, &tried, &["--confirm", confirm])?;
        assert!(!reaches(&siege.stage)?);
        let stopped = end(agent)?;
        let log = stopped.log.text();
        assert!(
            log.contains("goes back to what an earlier agent had left"),
            "{log}"
        );
        folder = stopped.folder;
        if confirm != "1h" {
            assert!(reaches(&siege.stage)?, "{log}");
        }
    }
    // The one that was killed could not go back; who comes after it does.
    let agent = siege.start(folder, &tried)?;
    assert!(reaches(&siege.stage)?);
    assert_eq!(agent.status()?["services"][0]["name"], "api");
    let folder = agent.stop()?.folder;
    siege.assert_tight(flood)?;
    assert_detaches(&siege.stage, &folder)
}

#[test]
fn what_was_learned_and_said_survives() -> Result<()> {
    let siege = Siege::new()?;
    let agent = siege.start(Folder::new()?, KEEP)?;
    let client = CLIENT.to_string();
    cli(&agent, &["deny", "add", &client])?;
    let known = |folder: &Folder| map_id(&maps(folder)?.join("KNOWN"));
    let id = known(agent.folder())?;
    let folder = kill(agent)?.folder;
    assert!(!reaches(&siege.stage)?, "while no agent runs");
    let agent = siege.start(folder, KEEP)?;
    assert_eq!(known(agent.folder())?, id, "who is known is known still");
    assert!(!reaches(&siege.stage)?);
    cli(&agent, &["deny", "remove", &client])?;
    assert!(reaches(&siege.stage)?);
    let folder = agent.stop()?.folder;
    assert!(
        reaches(&siege.stage)?,
        "what was let through is, without an agent too"
    );
    assert_detaches(&siege.stage, &folder)
}

#[test]
fn another_version_takes_over_by_the_words_of_the_one_before() -> Result<()> {
    let siege = Siege::new()?;
    let agent = siege.start(Folder::new()?, KEEP)?;
    let flood = siege.flood()?;
    wait_until(|| Ok(denied(&agent)? > 1_000))?;
    let before = denied(&agent)?;
    let folder = kill(agent)?.folder;
    // As an agent would have left it whose version was another: with other words, and a map that
    // means something else.
    let mut deed = deed(&folder)?;
    let known = map_id(&maps(&folder)?.join("KNOWN"))?;
    let sources = map_id(&maps(&folder)?.join("SOURCES"))?;
    let old = ABI_VERSION - 1;
    fs::rename(
        folder.bpffs().join(format!("v{ABI_VERSION}")),
        folder.bpffs().join(format!("v{old}")),
    )?;
    deed["abi"] = old.into();
    deed["layouts"]["SOURCES"] = 0.into();
    deed["labels"]["verdicts"]
        .as_array_mut()
        .context("a list of words")?
        .push("forgotten".into());
    fs::write(deed_file(&folder), serde_json::to_vec(&deed)?)?;

    let agent = siege.start(folder, KEEP)?;
    let after = denied(&agent)?;
    assert!(
        after >= before,
        "{after} after {before}: counters go on by their words"
    );
    let now = maps(agent.folder())?;
    assert_eq!(map_id(&now.join("KNOWN"))?, known);
    assert_ne!(map_id(&now.join("SOURCES"))?, sources);
    assert!(!agent.folder().bpffs().join(format!("v{old}")).exists());
    let folder = kill(agent)?.folder;
    let agent = siege.start(folder, KEEP)?;
    wait_until(|| Ok(denied(&agent)? > after))?;
    let folder = agent.stop()?.folder;
    siege.assert_tight(flood)?;
    assert_detaches(&siege.stage, &folder)
}

/// The agent drops what it holds when it panics, as its parts do here.
#[test]
fn a_panic_leaves_what_protects_where_it_is() -> Result<()> {
    let siege = Siege::new()?;
    let folder = Folder::new()?;
    let text = format!("interfaces = [\"{INTERFACE}\"]\n{KEEP}");
    let config = Config::parse("guard.toml", &text).map_err(|errors| anyhow!("{errors}"))?;
    let port = Port {
        name: INTERFACE,
        index: siege.stage.server.index(),
        lasts: true,
    };
    let bpffs = folder.bpffs();
    let told = siege.stage.host().run(|| {
        let plan = Plan::new(&config, Tick::of_kernel(), [1, 2]);
        let mut kernel = Kernel::load(&plan, Place::open(bpffs)?)?;
        let attachment = kernel.attach(0, port, XdpMode::Auto)?;
        let held = AssertUnwindSafe((attachment, kernel));
        let panicked = catch_unwind(move || {
            let _held = held;
            panic_any("what cannot happen");
        });
        Ok(panicked.is_err_and(|why| why.is::<&str>()))
    })?;
    assert!(told, "it panicked");
    assert!(siege.stage.server.xdp()?.is_some(), "the program stays");
    assert!(bpffs.join(format!("v{ABI_VERSION}/1/KNOWN")).exists());

    // The next one takes it over without a gap.
    let flood = siege.flood()?;
    siege.assert_taken_over(folder, flood)
}

#[test]
fn who_wants_it_detached_gets_it_detached() -> Result<()> {
    let siege = Siege::new()?;
    let agent = siege.start(Folder::new()?, KEEP)?;
    let refused = detach(&siege.stage, agent.folder())?;
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("another guard agent"), "{said}");
    let folder = agent.stop()?.folder;

    // The one after it does not keep, and takes over nevertheless.
    let flood = siege.flood()?;
    let agent = siege.start(folder, &KEEP.replace("keep", "detach"))?;
    siege.assert_tight(flood)?;
    let folder = agent.stop()?.folder;
    assert_eq!(siege.stage.server.xdp()?, None);
    assert!(!folder.bpffs().exists(), "{:?}", folder.pins());

    // A reload changes it, too.
    let agent = siege.start(folder, &KEEP.replace("keep", "detach"))?;
    fs::write(agent.folder().join("guard.toml"), KEEP)?;
    cli(&agent, &["reload"])?;
    let folder = kill(agent)?.folder;
    assert!(siege.stage.server.xdp()?.is_some());
    assert_detaches(&siege.stage, &folder)?;
    let again = detach(&siege.stage, &folder)?;
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "nothing was attached\n"
    );
    Ok(())
}

#[test]
fn what_cannot_be_written_down_for_the_next_agent_does_not_hold_up_this_one() -> Result<()> {
    let siege = Siege::new()?;
    let mut agent = siege.start(Folder::new()?, KEEP)?;
    let state = agent.folder().state().display().to_string();
    // Over it, since the agent has files in it open.
    command::run(&format!("mount -t tmpfs -o ro none {state}"))?;
    let reloaded = agent.server().signal(Signal::SIGHUP).and_then(|()| {
        let said = |agent: &Agent| {
            agent
                .log()
                .with("message", "the configuration is in force")
                .count()
        };
        wait_until(|| Ok(said(&agent) > 0))
    });
    command::run(&format!("umount {state}"))?;
    reloaded?;
    let client = CLIENT.to_string();
    cli(&agent, &["deny", "add", &client])?;
    assert!(
        !reaches(&siege.stage)?,
        "what it says goes to the program that runs"
    );
    let flood = siege.flood()?;
    let folder = kill(agent)?.folder;
    let agent = siege.start(folder, KEEP)?;
    assert!(!reaches(&siege.stage)?);
    siege.assert_tight(flood)?;
    let folder = agent.stop()?.folder;
    assert_detaches(&siege.stage, &folder)
}
