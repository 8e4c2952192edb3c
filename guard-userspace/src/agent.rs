//! `guard run`: load, attach, protect and serve until told to stop.

mod alerting;
mod book;
mod claims;
mod confirmed;
mod detach;
mod fetching;
mod interfaces;
mod left;
mod lifelines;
mod lists;
mod lock;
mod lookout;
mod offenders;
mod pins;
mod reload;
mod room;
mod state;
mod time;
mod trial;
mod warnings;
mod watch;

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tracing::{info, warn};

use self::{
    book::Book,
    claims::Claims,
    lookout::{Lookout, has_loopback, own_addresses},
    reload::{Cause, Clock, Configured, Over},
    room::Room,
    state::{Agent, FoundOut, Rules},
    watch::{FileWatch, Stamps},
};
use crate::{
    bans::Bans,
    cli::RunFlags,
    config::{Config, OnStop},
    control::Reload,
    doctor,
    events::{Events, Voice},
    findings::Findings,
    http::{self, Access, Audit, Gate},
    interface::{self, Asker, Change, Interface, InterfaceError, Watch},
    kernel::{Estate, Kernel, Place},
    logging::DroppedLines,
    redact::Key,
    state_file::Loaded,
    supervisor::{self, Heart},
    talkers::Talkers,
};

pub use self::{confirmed::Chosen, detach::detach};

/// How often the ring buffer is read: it is filled without waking anybody.
const EVENT_INTERVAL: Duration = Duration::from_millis(200);
/// How often the kernel is asked what is on the interfaces.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Protects what the chosen configuration names until SIGTERM or SIGINT. `flags` are those it was made
/// with: a reload reads the file again. The metrics tell of `dropped_lines`.
///
/// Everything that can fail does so before the first interface is attached, or undoes the
/// attached ones: after an error nothing is left behind.
pub async fn run(chosen: Chosen, flags: RunFlags, dropped_lines: DroppedLines) -> Result<()> {
    let started = Instant::now();
    let Chosen {
        configured:
            Configured {
                mut config,
                ending,
                text,
            },
        confirmed,
        earlier,
        warning: not_confirmed,
    } = chosen;
    let read = Stamps::of(flags.config.as_deref());
    let mut stop = Stop::new()?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    doctor::demand_capabilities("guard run")?;
    let claims = Claims::take(&config, flags.socket_group)?;
    let found = interface::lookup(&config.interfaces).await?;
    let place = Place::open(&config.bpffs)?;
    let refuse = |found| left::refuse_unfit(found, place.as_ref());
    found.iter().try_for_each(refuse)?;
    let watch = Watch::new(&config.interfaces).await?;

    let Loaded {
        value: estate,
        warning: no_estate,
    } = left_estate(place.as_ref(), &config);
    let clock = Clock::of(estate.as_ref());
    fetching::mend_copies(&mut config, None);
    let (mut over, key) = lay_over(&config, &found, [not_confirmed, no_estate]).await?;
    over.ending = ending;
    let room = Room::of(&config.state_dir, &key);
    let plan = clock.plan(&config, &mut over);
    let mut kernel = match (place, &estate) {
        (Some(place), Some(estate)) => Kernel::inherit(&plan, place, estate)?,
        (place, _) => Kernel::load(&plan, place)?,
    };
    let voice = Voice::new(kernel.take_events()?, &config);
    let findings = Arc::new(Mutex::new(Findings::default()));
    let talkers = Arc::new(Mutex::new(Talkers::new(started.into_std())));
    let found_out = FoundOut {
        findings: Arc::clone(&findings),
        talkers: Arc::clone(&talkers),
    };
    let events = Events::new(voice, key, findings, talkers);

    let trial = flags.confirm;
    let rules = Rules { config, text, over };
    let rules = (rules, read, confirmed);
    let agent = Agent::attach(
        rules,
        flags,
        kernel,
        clock,
        &found,
        dropped_lines,
        found_out,
    )?;
    agent.mind_room(room);
    // What was counted before is nothing new to alerts, so they look before the first packet is.
    agent.look_for_alerts();
    agent.settle(estate.as_ref());
    if let Err(error) = agent.give_up_privileges() {
        agent.give_up();
        return Err(error);
    }
    // The thread that it starts has no more privileges than this one then.
    let mut files = FileWatch::new(agent.flags.config.as_deref());
    agent.lock().look_for_administrators();
    info!(
        milliseconds = started.elapsed().as_millis() as u64,
        mode = agent.mode_name(),
        "protecting"
    );
    match trial {
        Some(lasts) => agent.try_out(lasts, earlier),
        None => agent.note_start(),
    }
    let agent = Arc::new(agent);
    let mut servers = serve(&agent, claims).inspect_err(|_| agent.give_up())?;
    supervisor::ready(&agent.summary());
    let watches = (watch, &mut files);
    let ended = protect(&agent, events, watches, &mut stop, &mut hangup).await;
    supervisor::stopping();
    // First, so that whoever takes the lock next finds the interfaces free.
    let on_stop = agent.end();
    agent.end_bans();
    servers.shutdown().await;
    info!("stopped: {}", outlook(on_stop));
    ensure!(
        ended == Ended::Told,
        "nobody confirmed it in time, so everything is undone: `guard confirm` within the time of \
         --confirm keeps it"
    );
    Ok(())
}

/// What is laid over a configuration, and the key that tells credentials apart. What there is to tell of
/// files that could not be used is told along with what is `broken` already.
async fn lay_over(
    config: &Config,
    found: &[Interface],
    broken: [Option<String>; 2],
) -> Result<(Over, Key)> {
    let book = Book::load(&config.state_dir, book::now());
    let bans = Bans::load(&config.state_dir, book::now());
    let key = Key::load(&config.state_dir).context("the key that tells credentials apart")?;
    let more = [book.warning, bans.warning, key.warning];
    let over = Over {
        book: book.value,
        bans: bans.value,
        own: own_addresses(&Asker::new()?, found).await?,
        by_loopback: has_loopback(found),
        broken: broken.into_iter().chain(more).flatten().collect(),
        ..Over::default()
    };
    Ok((over, key.value))
}

/// What an earlier agent has left.
fn left_estate(place: Option<&Place>, config: &Config) -> Loaded<Option<Estate>> {
    let find = |place| Estate::find(place, &config.state_dir);
    place.map(find).unwrap_or_default()
}

/// What becomes of the host without the agent.
fn outlook(on_stop: OnStop) -> &'static str {
    match on_stop {
        OnStop::Keep => "the programs stay attached and go on; `guard detach` takes them off",
        OnStop::Detach => "programs detached, everything passes",
    }
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

/// Starts the servers. They end with the set.
fn serve(agent: &Arc<Agent>, claims: Claims) -> Result<JoinSet<()>> {
    let mut servers = JoinSet::new();
    let Claims {
        listener,
        control,
        group,
        guard,
    } = claims;
    let listener = tokio::net::TcpListener::from_std(listener).context("the metrics listener")?;
    let control = tokio::net::UnixListener::from_std(control).context("the control socket")?;
    let public = http::public(Arc::clone(agent));
    let gate = Gate::new(Audit::new(&agent.lock().rules.config.state_dir));
    let private = http::control(Arc::clone(agent), &gate);
    let uid = nix::unistd::geteuid().as_raw();
    servers.spawn(http::serve_public(listener, public));
    servers.spawn(fetching::keep_fresh(Arc::clone(agent)));
    servers.spawn(async move {
        // Keeps the lock and removes the socket when the server ends.
        let _guard = guard;
        http::serve_control(control, private, Access { uid, group }).await;
    });
    Ok(servers)
}

/// Reads events and follows the interfaces until a signal comes.
async fn protect(
    agent: &Agent,
    mut events: Events,
    (watch, files): (Watch, &mut FileWatch),
    stop: &mut Stop,
    hangup: &mut Signal,
) -> Ended {
    let mut watch = Some(watch);
    let mut rounds = interval(EVENT_INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut lookout = Lookout::default();
    let mut heart = Heart::new();
    loop {
        tokio::select! {
            signal = stop.wait() => {
                agent.ban(&events.drain(now_ms()));
                info!(signal, "stopping");
                return Ended::Told;
            }
            _ = rounds.tick() => {
                agent.ban(&events.drain(now_ms()));
                if let Some(voice) = agent.take_voice() {
                    watch = Watch::new(&voice.interfaces).await.ok();
                    agent.ban(&events.listen_to(voice, now_ms()));
                }
                heart.beat();
            }
            _ = looks.tick() => {
                agent.expire_entries();
                agent.end_bans();
                agent.sweep();
                agent.keep_lifelines();
                agent.keep_pins();
                agent.keep_deed();
                agent.look_for_room();
                if agent.end_trial() {
                    return Ended::Unconfirmed;
                }
                lookout.look(agent).await;
                agent.look_for_alerts();
            }
            // What goes wrong is said there; what was in force stays.
            _ = hangup.recv() => drop(agent.reload(Cause::Asked(Reload::default()))),
            () = files.changed(|| agent.lock().read.clone()), if agent.watches() => {
                drop(agent.reload(Cause::Changed));
            }
            change = next_change(&mut watch) => match change {
                Ok(Change::Gone { index }) => agent.interface_gone(index),
                Ok(Change::Appeared { .. }) => lookout.look(agent).await,
                Err(error) => {
                    warn!(%error, "interfaces that come and go are noticed a second late");
                    watch = None;
                }
            },
        }
    }
}

/// Why the agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// It was told to.
    Told,
    /// It was on trial, and nobody has confirmed it.
    Unconfirmed,
}

/// Milliseconds since 1970.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// The next change; without a watch there is none.
async fn next_change(watch: &mut Option<Watch>) -> Result<Change, InterfaceError> {
    match watch {
        Some(watch) => watch.next().await,
        None => pending().await,
    }
}
