//! One run: an agent is killed and started again and again, then lives on; then all is counted.

use std::{
    env,
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, ScopedJoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::Folder,
    noise::Noise,
    servers::Nginx,
    stage::{CLIENT, Stage},
};

use crate::{
    agents::{Agents, Kills},
    client::{self, Requests, TLS_PORT},
    floods::Floods,
    refused::{Refused, Way},
    refusing::{Asker, keep_denying, keep_provoking},
    reloads::{Reloader, Reloads},
};

const SEED: u64 = 0x50a4;

/// How long a run is.
pub(crate) struct Plan {
    /// For so long agents are killed.
    pub(crate) killing: Duration,
    /// For so long the last one lives on, under flood and reloads.
    pub(crate) living: Duration,
    /// Its memory grows by less than this.
    pub(crate) growth_bytes: u64,
}

/// What came of everything beside the agents.
struct Came {
    /// Frames of denied sources that were sent.
    sent: u64,
    reloads: Reloads,
    requests: Requests,
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
    let asker = Asker::new(stage.host(), &folder);
    let reloader = Reloader::new(stage.host(), &folder)?;
    let refused = Refused::new(&stage)?;
    let mut agents = Agents::new(&stage, &reloader, &refused);
    let agent = agents.start(folder)?;
    introduce(&stage, &nginx)?;

    let stop = AtomicBool::new(false);
    let (agent, came) = thread::scope(|scope| -> Result<_> {
        let floods = Floods::start(&stage)?;
        let noise = Noise(seed ^ 1);
        let reloading = scope.spawn(|| reloader.keep_reloading(noise, &refused, &stop));
        let asking = scope.spawn(|| client::keep_asking(&stage, &nginx, &stop));
        let denying = scope.spawn(|| keep_denying(plan, &asker, &refused, &stop));
        let provoking = scope.spawn(|| keep_provoking(plan, &stage, &asker, &refused, &stop));
        let lived = agents.live(agent, plan, seed);
        stop.store(true, Ordering::Relaxed);
        let agent = lived?;
        let (reloads, requests) = (joined(reloading)?, joined(asking)?);
        joined(denying)?;
        joined(provoking)?;
        let sent = floods.stop()?;
        Ok((
            agent,
            Came {
                sent,
                reloads,
                requests,
            },
        ))
    })?;
    tell(agents.kills, &refused, &came);
    assert_none_leaked(&refused, &came)?;
    assert_all_went_on(plan, agents.kills, &refused, &came);
    agents.end(agent)
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread.join().expect("threads do not panic")
}

/// From here on the host knows the client, and those who are to be banned.
fn introduce(stage: &Stage, nginx: &Nginx) -> Result<()> {
    let greedy: Vec<Ipv4Addr> = Way::Ban.sources().collect();
    for source in &greedy {
        stage.client.add_address(&format!("{source}/24"))?;
    }
    for source in greedy.into_iter().chain([CLIENT]) {
        let first = client::request(stage, nginx, source)?;
        ensure!(first.is_ok(), "{source}: {first:?}");
    }
    Ok(())
}

fn tell(kills: Kills, refused: &Refused, came: &Came) {
    println!(
        "{} kills, {} of them before the agent was ready: {kills:?}",
        kills.all(),
        kills.before_ready()
    );
    let refused = Way::ALL.map(|way| (way, refused.by(way).len()));
    println!(
        "{:?}, {} requests, {} frames of denied sources, refused: {refused:?}",
        came.reloads, came.requests.served, came.sent
    );
}

fn assert_none_leaked(refused: &Refused, came: &Came) -> Result<()> {
    let leaks = refused.leaks()?;
    assert!(leaks.is_empty(), "of {} came through: {leaks:?}", came.sent);
    Ok(())
}

fn assert_all_went_on(plan: &Plan, kills: Kills, refused: &Refused, came: &Came) {
    let Came {
        sent,
        reloads,
        requests,
    } = came;
    assert!(requests.failed.is_empty(), "{:?}", requests.failed);
    // However busy the machine is, something of each has happened.
    let seconds = (plan.killing + plan.living).as_secs();
    assert!(*sent > seconds * 100, "{sent} frames");
    assert!(requests.served > seconds / 10, "{requests:?}");
    assert!(reloads.taken > seconds / 10, "{reloads:?}");
    assert!(reloads.refused > 0, "{reloads:?}");
    // While there is none, and once as it is killed.
    assert!(reloads.unheard <= 3 * kills.all() + 3, "{reloads:?}");
    assert!(kills.settled > plan.killing.as_secs() / 30, "{kills:?}");
    assert!(kills.before_ready() > 0, "{kills:?}");
    for way in Way::ALL {
        assert!(!refused.by(way).is_empty(), "{way:?} has refused nobody");
    }
}
