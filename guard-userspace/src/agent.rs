//! `guard run`: load, attach, protect and serve until told to stop.

mod book;
mod claims;
mod interfaces;
mod offenders;
mod reload;
mod state;
mod warnings;

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    future::pending,
    hash::BuildHasher as _,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{error, info, warn};

use self::{
    book::Book,
    claims::Claims,
    reload::{Clock, Over},
    state::{Agent, Rules},
};
use crate::{
    bans::Bans,
    cli::RunFlags,
    config::Config,
    doctor,
    events::Events,
    findings::Findings,
    http,
    interface::{self, Change, Interface, InterfaceError, Watch},
    kernel::{Kernel, Pins, Plan, measure_tick},
    logging::DroppedLines,
    redact::Key,
};

/// How often the ring buffer is read: it is filled without waking anybody.
const EVENT_INTERVAL: Duration = Duration::from_millis(100);
/// How often the kernel is asked what is on the interfaces.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Protects what `config` names until SIGTERM or SIGINT. `flags` are those it was made with: a
/// reload reads the file again. The metrics tell of `dropped_lines`.
///
/// Everything that can fail does so before the first interface is attached, or undoes the
/// attached ones: after an error nothing is left behind.
pub async fn run(mut config: Config, flags: RunFlags, dropped_lines: DroppedLines) -> Result<()> {
    let started = Instant::now();
    let mut stop = Stop::new()?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    doctor::demand_capabilities("guard run")?;
    let claims = Claims::take(&config)?;
    let found = interface::lookup(&config.interfaces).await?;
    found.iter().try_for_each(interfaces::refuse_unfit)?;
    let watch = Watch::new(&config.interfaces).await?;

    let clock = Clock {
        tick: measure_tick()?,
        hash_seed: random_seed(),
    };
    let mut over = Over {
        ending: config.take_ending(),
        book: Book::load(&config.state_dir, book::now())?,
        bans: Bans::load(&config.state_dir),
        own: own_addresses(&found).await?,
        by_loopback: has_loopback(&found),
        warnings: Vec::new(),
    };
    let plan = clock.plan(&config, &mut over);
    let mut kernel = load(&config, &plan)?;
    let ring = kernel.take_events()?;
    let interfaces = config.interfaces.clone();
    let services = config
        .services
        .iter()
        .map(|service| service.name.clone())
        .collect();
    let key = Key::load(&config.state_dir).with_context(|| {
        let folder = config.state_dir.display();
        format!("the key that tells credentials apart, in {folder}")
    })?;
    let findings = Arc::new(Mutex::new(Findings::default()));
    let events = Events::new(ring, interfaces, services, key, Arc::clone(&findings));

    let rules = Rules { config, over };
    let agent = Agent::attach(rules, flags, kernel, clock, &found, dropped_lines, findings)?;
    agent.lock().look_for_administrators(None);
    info!(
        milliseconds = started.elapsed().as_millis() as u64,
        mode = agent.mode_name(),
        "protecting"
    );
    let agent = Arc::new(agent);
    let mut servers = serve(&agent, claims)?;
    protect(&agent, events, watch, &mut stop, &mut hangup).await;
    // First, so that whoever takes the lock next finds the interfaces free.
    agent.detach();
    agent.end_bans();
    servers.shutdown().await;
    info!("stopped: programs detached, everything passes");
    Ok(())
}

/// The signals that end the agent.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn load(config: &Config, plan: &Plan) -> Result<Kernel> {
    let pins = Pins::possible(&config.bpffs).then_some(config.bpffs.as_path());
    if pins.is_none() {
        warn!(
            folder = %config.bpffs.display(),
            "no BPF file system there, so maps are not pinned: `mount -t bpf bpf /sys/fs/bpf`"
        );
    }
    Kernel::load(plan, pins)
}

/// Unpredictable words: the standard library keys its hashers from the system's randomness.
fn random_seed() -> [u64; 2] {
    [
        RandomState::new().hash_one(0),
        RandomState::new().hash_one(1),
    ]
}

/// Starts the servers. They end with the set.
fn serve(agent: &Arc<Agent>, claims: Claims) -> Result<JoinSet<()>> {
    let mut servers = JoinSet::new();
    let Claims {
        listener,
        control,
        guard,
    } = claims;
    let listener = tokio::net::TcpListener::from_std(listener).context("the metrics listener")?;
    let control = tokio::net::UnixListener::from_std(control).context("the control socket")?;
    let public = http::public(Arc::clone(agent));
    let private = http::control(Arc::clone(agent));
    servers.spawn(http::serve(listener, public));
    servers.spawn(async move {
        // Keeps the lock and removes the socket when the server ends.
        let _guard = guard;
        http::serve(control, private).await;
    });
    Ok(servers)
}

/// Reads events and follows the interfaces until a signal comes.
async fn protect(
    agent: &Agent,
    mut events: Events,
    watch: Watch,
    stop: &mut Stop,
    hangup: &mut Signal,
) {
    let mut watch = Some(watch);
    let mut rounds = interval(EVENT_INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut blind = false;
    loop {
        tokio::select! {
            signal = stop.wait() => {
                agent.ban(&events.drain(now_ms()));
                info!(signal, "stopping");
                return;
            }
            _ = rounds.tick() => agent.ban(&events.drain(now_ms())),
            _ = looks.tick() => {
                agent.expire_entries();
                agent.end_bans();
                agent.sweep();
                look(agent, &mut blind).await;
            }
            // What goes wrong is said there; what was in force stays.
            _ = hangup.recv() => drop(agent.reload()),
            change = next_change(&mut watch) => match change {
                Ok(Change::Gone { index }) => agent.interface_gone(index),
                Ok(Change::Appeared { .. }) => look(agent, &mut blind).await,
                Err(error) => {
                    warn!(%error, "interfaces that come and go are noticed a second late");
                    watch = None;
                }
            },
        }
    }
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Looks at the interfaces, and attends to them. That the kernel does not answer is said once.
async fn look(agent: &Agent, blind: &mut bool) {
    let program_id = agent.program_id();
    match interface::find(agent.interface_names()).await {
        Ok(found) => {
            agent.attend(&found, program_id);
            *blind = false;
            if let Ok(own) = own_addresses(&found).await {
                agent.protect_own(own);
            }
        }
        Err(error) if !*blind => {
            error!(%error, "whether the interfaces are protected cannot be told");
            *blind = true;
        }
        Err(_) => {}
    }
}

/// The addresses that nobody else has. On a loopback everybody has them.
async fn own_addresses(found: &[Interface]) -> Result<BTreeSet<IpAddr>, InterfaceError> {
    if has_loopback(found) {
        return Ok(BTreeSet::new());
    }
    interface::own_addresses().await
}

fn has_loopback(found: &[Interface]) -> bool {
    found.iter().any(|interface| interface.loopback)
}

/// The next change; without a watch there is none.
async fn next_change(watch: &mut Option<Watch>) -> Result<Change, InterfaceError> {
    match watch {
        Some(watch) => watch.next().await,
        None => pending().await,
    }
}
