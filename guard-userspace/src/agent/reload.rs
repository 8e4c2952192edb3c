//! Another configuration for the running agent: put in force whole or not at all, and what goes wrong
//! leaves in force what was.

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    hash::BuildHasher as _,
    mem,
    net::IpAddr,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Error, Result, anyhow, ensure};
use guard_common::wire::{Rule, RuleWord};
use ipnet::IpNet;
use tracing::{error, info, warn};

use super::{
    alerting::Missing,
    book::{self, Book},
    confirmed::Text,
    fetching,
    interfaces::Shall,
    state::{Agent, Inner, Rules},
    trial::{self, Earlier},
    warnings,
    watch::Stamps,
};
use crate::{
    bans::Bans,
    config::{Config, ConfigErrors, Entry, OnStop, Source, Style},
    control::Reload,
    entries::{Done, List},
    events::Voice,
    interface::{self, Interface},
    kernel::{Estate, Kernel, Plan, Tick},
    supervisor,
};

/// What every program of this agent has in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) tick: Tick,
    pub(super) hash_seed: [u64; 2],
}

impl Clock {
    /// That of an earlier agent, whose maps hold times and places by it, or a new one.
    pub(super) fn of(estate: Option<&Estate>) -> Self {
        let (tick, hash_seed) = match estate.and_then(Estate::clock) {
            Some(clock) => clock,
            None => (Tick::of_kernel(), random_seed()),
        };
        Self { tick, hash_seed }
    }

    /// What the kernel side is told of a configuration and what is laid over it.
    pub(super) fn plan(self, config: &Config, over: &mut Over) -> Plan {
        let mut plan = Plan::new(config, self.tick, self.hash_seed);
        let feeds = plan.feeds.clone();
        plan.lay_over(|rules| {
            over.book.lay_over(rules, &feeds, &over.ending, book::now());
            if config.protect_self {
                claim(rules, &over.own);
            }
            if config.limits.ban.is_some() {
                over.bans.lay_under(rules, book::now());
            }
        });
        over.warn_of_own(config);
        if over.by_loopback {
            plan.settings.refuses_land = 0;
        }
        plan
    }
}

/// Unpredictable words: the standard library keys its hashers from the system's randomness.
fn random_seed() -> [u64; 2] {
    [
        RandomState::new().hash_one(0),
        RandomState::new().hash_one(1),
    ]
}

/// A configuration, and those of its entries that end by themselves.
#[derive(Debug)]
pub(super) struct Configured {
    pub(super) config: Config,
    pub(super) ending: Vec<(List, Entry)>,
    /// What it was read from.
    pub(super) text: Option<Text>,
}

impl Configured {
    pub(super) fn new(mut config: Config, text: Option<Text>) -> Self {
        Self {
            ending: config.take_ending(),
            config,
            text,
        }
    }
}

impl Rules {
    /// Takes a configuration, and gives the one that was.
    fn configure(&mut self, configured: Configured) -> Configured {
        Configured {
            config: mem::replace(&mut self.config, configured.config),
            ending: mem::replace(&mut self.over.ending, configured.ending),
            text: mem::replace(&mut self.text, configured.text),
        }
    }
}

/// Why the configuration is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody asks for it.
    Asked(Reload),
    /// A file has changed.
    Changed,
}

impl Cause {
    fn forces(self) -> bool {
        matches!(self, Self::Asked(Reload { force: true, .. }))
    }

    /// For how long what comes of it is on trial.
    fn trial(self) -> Result<Option<Duration>> {
        let Self::Asked(reload) = self else {
            return Ok(None);
        };
        reload.confirm_seconds.map(trial::lasts).transpose()
    }
}

/// What came of reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It is in force.
    Taken,
    /// It says what is in force.
    Same,
}

/// What is laid over the entries of a configuration.
#[derive(Default)]
pub(super) struct Over {
    /// Entries of the configuration that end by themselves.
    pub(super) ending: Vec<(List, Entry)>,
    /// Entries of the running agent.
    pub(super) book: Book,
    /// Sources that stayed over their limit.
    pub(super) bans: Bans,
    /// The addresses of this host.
    pub(super) own: BTreeSet<IpAddr>,
    /// A loopback is protected, on which the host writes to itself.
    pub(super) by_loopback: bool,
    /// What there is to say of the configuration and the addresses of this host.
    pub(super) warnings: Vec<String>,
    /// Files of the state folder that could not be used.
    pub(super) broken: Vec<String>,
}

impl Over {
    /// Says, once, what of the configuration is against this host.
    fn warn_of_own(&mut self, config: &Config) {
        let own = config
            .protect_self
            .then(|| warnings::of_own(config, &self.own));
        let own = own.unwrap_or_default();
        for warning in own
            .iter()
            .filter(|warning| !self.warnings.contains(warning))
        {
            warn!("{warning}");
        }
        self.warnings = own;
    }
}

/// Writes down what the next agent needs to go on with the maps of `kernel`. Where that cannot be done,
/// it protects without a gap nevertheless, and only what was learned and counted is lost to it.
fn bequeath(kernel: &Kernel, config: &Config) -> bool {
    let written = kernel.bequeath(&config.state_dir);
    if let Err(error) = &written {
        let error = format!("{error:#}");
        warn!(error, "the next agent would have to learn and count anew");
    }
    written.is_ok()
}

/// Whatever is said of the host's own addresses, nobody else has them.
fn claim(rules: &mut Vec<(IpNet, RuleWord)>, own: &BTreeSet<IpAddr>) {
    rules.retain(|(net, _)| {
        let is_own = net.prefix_len() == net.max_prefix_len() && own.contains(&net.addr());
        !is_own
    });
    let word = RuleWord::new(Rule::Own, 0);
    rules.extend(own.iter().map(|own| (IpNet::from(*own), word)));
}

impl Agent {
    /// Goes on with the counts of an earlier agent, and writes down for the next one what is here.
    pub(super) fn settle(&self, estate: Option<&Estate>) {
        let inner = &mut *self.lock();
        if let Some(Err(error)) = estate.map(|estate| inner.kernel.settle(estate)) {
            let error = format!("{error:#}");
            warn!(error, "what an earlier agent counted cannot be read");
        }
        inner.is_deeded = bequeath(&inner.kernel, &inner.rules.config);
    }

    /// Tries again to write down what could not be.
    pub(super) fn keep_deed(&self) {
        let inner = &mut *self.lock();
        inner.confirmed.keep(&inner.rules.config);
        if !inner.is_deeded {
            let state_dir = &inner.rules.config.state_dir;
            inner.is_deeded = inner.kernel.bequeath(state_dir).is_ok();
        }
    }

    /// Whether addresses are protected as this host's own, and not exactly these.
    pub(super) fn protects_others_than(&self, own: &BTreeSet<IpAddr>) -> bool {
        let inner = self.lock();
        inner.rules.config.protect_self && *own != inner.rules.over.own
    }

    /// Follows the addresses of this host, which are others now.
    pub(super) fn protect_own(&self, own: BTreeSet<IpAddr>) {
        let inner = &mut *self.lock();
        let before = mem::replace(&mut inner.rules.over.own, own);
        let renewed = self.renew(inner);
        if renewed.is_err() {
            // To be tried again.
            inner.rules.over.own = before;
        }
        match renewed {
            Ok(()) => info!("the addresses of this host have changed"),
            Err(error) => error!(
                error = format!("{error:#}"),
                "packets that claim a new address of this host are not dropped"
            ),
        }
    }

    /// Loads what is configured anew, and puts it in the place of what runs.
    pub(super) fn renew(&self, inner: &mut Inner) -> Result<()> {
        let lasts = inner.shall_last();
        self.renew_to_last(inner, lasts)
    }

    /// The same, for programs that shall outlive the agent or shall not.
    fn renew_to_last(&self, inner: &mut Inner, lasts: bool) -> Result<()> {
        ensure!(!inner.has_ended, "the agent is stopping");
        // The next kernel side takes the maps by these.
        inner.keep_pins();
        let rules = &mut inner.rules;
        let plan = self.clock.plan(&rules.config, &mut rules.over);
        let mut next = inner.kernel.succeed(&plan)?;
        let has_new = !inner
            .interfaces
            .new_ones(&rules.config.interfaces)
            .is_empty();
        let found = if has_new {
            interface::list_now()?
        } else {
            Vec::new()
        };
        let shall = Shall {
            names: &rules.config.interfaces,
            found: &found,
            lasts,
        };
        let voice = next.voice_after(&inner.kernel)?;
        inner
            .interfaces
            .hand_over(&mut inner.kernel, &mut next, &shall)?;
        // From here on it is what runs.
        next.settle_after(&inner.kernel);
        if let Some(ring) = voice {
            inner.voice = Some(Voice::new(ring, &rules.config));
        }
        // The deed first: the maps that it does not speak of are gone with their kernel side.
        let is_deeded = bequeath(&next, &rules.config);
        if !is_deeded && inner.is_deeded {
            // The deed that there is speaks of its maps, which are those of the next.
            inner.kernel.leave();
        }
        inner.is_deeded = is_deeded;
        inner.kernel = next;
        inner.missing = Missing::default();
        Ok(())
    }

    /// Reads the configuration again and puts it in force, whole and at one instant on each
    /// interface. With a trial it goes back by itself to the one of before, unless it is confirmed.
    pub(super) fn reload(&self, cause: Cause) -> Result<Done> {
        supervisor::reloading();
        let done = self.reload_now(cause);
        supervisor::ready(&match &done {
            Ok(_) => self.summary(),
            Err(_) => format!("{}; the last configuration was refused", self.summary()),
        });
        done
    }

    fn reload_now(&self, cause: Cause) -> Result<Done> {
        let started = Instant::now();
        let mut inner = self.lock();
        if inner.trial.is_some() && cause == Cause::Changed {
            // It is noticed again when the trial is over.
            return Ok(Done::default());
        }
        inner.demand_no_trial()?;
        // Before anything is read: what changes meanwhile counts as new.
        let read = Stamps::of(self.flags.config.as_deref());
        let done = self.try_reload(&mut inner, cause);
        inner.read = read;
        inner.note_outcome(&done, cause, started);
        done?;
        self.feeds_changed.notify_one();
        if matches!(cause, Cause::Asked(_)) {
            self.feeds_wanted.notify_one();
        }
        inner.look_for_administrators();
        Ok(Done {
            warnings: inner.warnings(),
        })
    }

    fn try_reload(&self, inner: &mut Inner, cause: Cause) -> Result<Outcome> {
        let released = if cause.forces() {
            fetching::release_held(&inner.rules.config)?
        } else {
            Vec::new()
        };
        let done = self.read_and_renew(inner, cause);
        fetching::settle_held(&inner.rules.config, &released, done.is_ok());
        if done.is_ok() {
            fetching::note_released(&mut inner.fetches, &released);
        }
        done
    }

    fn read(&self) -> Result<(Config, Option<Text>), ConfigErrors> {
        let source = Source::open(self.flags.config.as_deref())?;
        let text = Text::of(&source, &self.flags);
        Ok((source.resolve_to_run(&self.flags)?, text))
    }

    fn read_and_renew(&self, inner: &mut Inner, cause: Cause) -> Result<Outcome> {
        let lasts = cause.trial()?;
        // What nobody has confirmed is taken again only when somebody asks for it, or changes it.
        if cause == Cause::Changed && self.is_rejected(inner) {
            return Ok(Outcome::Same);
        }
        let (mut config, text) = self
            .read()
            .map_err(|errors| anyhow!("{}", errors.render(Style::Plain).trim_end().to_owned()))?;
        let old = &inner.rules.config;
        fetching::mend_copies(&mut config, Some(old));
        demand_same(old, &config)?;
        inner.demand_interfaces(&config.interfaces)?;
        if !cause.forces() {
            fetching::refuse_sudden_growth(old, &config)?;
        }
        let next = Configured::new(config, text);
        let is_same = next.config == *old && next.ending == inner.rules.over.ending;
        if is_same && !matches!(cause, Cause::Asked(_)) {
            inner.rules.text = next.text;
            inner.note_confirmed();
            return Ok(Outcome::Same);
        }
        let earlier = inner.earlier.as_ref().filter(|_| is_same);
        ensure!(
            lasts.is_none() || !is_same || earlier.is_some_and(Earlier::is_recent),
            "this configuration is in force already: there is nothing to go back to"
        );
        // On trial it lasts as what it goes back to does.
        let on_trial = earlier.map_or(old.on_stop, Earlier::on_stop);
        let on_stop = lasts.map_or(next.config.on_stop, |_| on_trial);
        let before = self
            .put_in_force(inner, next, on_stop == OnStop::Keep)
            .map_err(|(_, error)| error)?;
        if !is_same {
            inner.earlier = Some(Earlier::new(before));
        }
        match lasts.zip(inner.earlier.take_if(|_| lasts.is_some())) {
            Some((lasts, before)) => inner.put_on_trial(lasts, before),
            None => inner.note_confirmed(),
        }
        Ok(Outcome::Taken)
    }

    /// Puts a configuration in force, whose programs shall outlive the agent or shall not, and answers
    /// with the one that was. Where that cannot be done, the one that was stays, and the other comes back.
    pub(super) fn put_in_force(
        &self,
        inner: &mut Inner,
        configured: Configured,
        lasts: bool,
    ) -> Result<Configured, (Box<Configured>, Error)> {
        let before = inner.rules.configure(configured);
        if let Err(error) = self.renew_to_last(inner, lasts) {
            let refused = inner.rules.configure(before);
            return Err((Box::new(refused), error));
        }
        inner.loaded_at = SystemTime::now();
        self.alerts.configure(&inner.rules.config.alerts);
        Ok(before)
    }
}

impl Inner {
    /// Notes and says whether the configuration was taken. Where nobody asks, the same refusal is
    /// said once.
    fn note_outcome(&mut self, done: &Result<Outcome>, cause: Cause, started: Instant) {
        let refusal = done.as_ref().err().map(|error| format!("{error:#}"));
        let before = mem::replace(&mut self.refusal, refusal);
        match done {
            Ok(Outcome::Taken) => info!(
                milliseconds = started.elapsed().as_millis() as u64,
                "the configuration is in force"
            ),
            Ok(Outcome::Same) if before.is_some() => {
                info!("the configuration is again what is in force");
            }
            Ok(Outcome::Same) => {}
            Err(_) if cause == Cause::Changed && self.refusal == before => {}
            Err(error) => error!(
                error = format!("{error:#}"),
                "the configuration is not taken; what was in force stays"
            ),
        }
    }

    /// Refuses interfaces that are not there, or that the host writes to itself on where it was not so
    /// before: then it has no addresses of its own.
    fn demand_interfaces(&self, names: &[String]) -> Result<()> {
        if *names == self.rules.config.interfaces {
            return Ok(());
        }
        let existing = interface::list_now()?;
        let is_loopback = |found: &Interface| found.loopback && names.contains(&found.name);
        ensure!(
            existing.iter().any(is_loopback) == self.rules.over.by_loopback,
            "a reload does not change whether a loopback is protected: restart guard for that"
        );
        interface::pick(existing, &self.interfaces.new_ones(names))?;
        Ok(())
    }
}

/// What a reload does not change.
fn demand_same(old: &Config, new: &Config) -> Result<()> {
    for (same, what) in [
        (old.xdp_mode == new.xdp_mode, "`xdp_mode`"),
        (old.listen == new.listen, "`listen`"),
        (old.socket == new.socket, "the socket"),
        (old.state_dir == new.state_dir, "the state folder"),
        (old.bpffs == new.bpffs, "the folder of pins"),
    ] {
        ensure!(
            same,
            "a reload does not change {what}: restart guard for that"
        );
    }
    Ok(())
}
