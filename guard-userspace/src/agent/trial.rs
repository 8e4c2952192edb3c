//! What can be undone: something new that nobody has confirmed, and everything passing for a while.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tracing::{error, info, warn};

use super::{
    book,
    reload::Configured,
    state::{Agent, Inner},
};
use crate::{
    config::OnStop,
    control::{Bypass, LONGEST_BYPASS, LONGEST_TRIAL},
    entries::Done,
    kernel::Place,
    supervisor,
};

/// For how long it can still be put on trial what a change of the file has put in force.
const RECENT: Duration = Duration::from_mins(10);

/// Something new that is undone unless it is confirmed in time.
pub(super) struct Trial {
    until: Instant,
    /// Seconds since 1970, for those who look.
    until_unix: u64,
    back_to: BackTo,
}

/// What a trial goes back to.
pub(super) struct BackTo {
    /// What was configured before; nothing where nothing was.
    configured: Option<Box<Configured>>,
    /// The agent ends then: it was its start that was on trial.
    ends: bool,
}

impl Trial {
    pub(super) fn new(lasts: Duration, back_to: BackTo) -> Self {
        Self {
            until: Instant::now() + lasts,
            until_unix: book::now().saturating_add(lasts.as_secs()),
            back_to,
        }
    }

    /// One that could not be undone.
    fn again(back_to: BackTo) -> Self {
        Self::new(Duration::from_secs(1), back_to)
    }

    /// When it is undone, in seconds since 1970.
    pub(super) fn until_unix(&self) -> u64 {
        self.until_unix
    }

    fn is_over(&self) -> bool {
        self.until <= Instant::now()
    }
}

/// What was in force before the last change.
pub(super) struct Earlier {
    configured: Configured,
    until: Instant,
}

impl Earlier {
    pub(super) fn new(configured: Configured) -> Self {
        Self {
            configured,
            until: Instant::now(),
        }
    }

    /// Whether it still can be put on trial what came after it.
    pub(super) fn is_recent(&self) -> bool {
        self.until.elapsed() < RECENT
    }

    /// Takes a list along that was fetched since then, if it had it.
    pub(super) fn follow(&mut self, feed: &str) {
        if let Ok(config) = self.configured.config.with_copy_of(feed) {
            self.configured.config = config;
        }
    }

    pub(super) fn on_stop(&self) -> OnStop {
        self.configured.config.on_stop
    }
}

impl Inner {
    /// Whether it is not confirmed yet that there shall be an agent.
    pub(super) fn is_start_on_trial(&self) -> bool {
        self.trial.as_ref().is_some_and(|trial| trial.back_to.ends)
    }

    /// Refuses what a trial would have to undo.
    pub(super) fn demand_no_trial(&self) -> Result<()> {
        ensure!(
            self.trial.is_none(),
            "what is in force is on trial: `guard confirm` it, or wait until it is undone"
        );
        Ok(())
    }

    /// Whether the programs shall outlive the agent. While something is on trial, that is as it was
    /// before: a killed agent must neither leave what it would not have left, nor take along what was
    /// to stay.
    pub(super) fn shall_last(&self) -> bool {
        let on_stop = match self.trial.as_ref().map(|trial| &trial.back_to) {
            None => self.rules.config.on_stop,
            Some(BackTo { ends: true, .. }) => return self.interfaces.took_over(),
            Some(BackTo { configured, .. }) => {
                let before = configured.as_ref().map(|before| &before.config);
                before.unwrap_or(&self.rules.config).on_stop
            }
        };
        on_stop == OnStop::Keep
    }

    /// Puts what is in force on trial: it goes back to what was there `before`.
    pub(super) fn put_on_trial(&mut self, lasts: Duration, before: Earlier) {
        let seconds = lasts.as_secs();
        info!(
            seconds,
            "on trial: goes back to the configuration of before unless `guard confirm` comes in time"
        );
        self.note_tried(before.configured.text.clone());
        let back_to = BackTo {
            configured: Some(Box::new(before.configured)),
            ends: false,
        };
        self.trial = Some(Trial::new(lasts, back_to));
    }
}

/// How long a trial lasts that somebody asks for.
pub(super) fn lasts(seconds: u64) -> Result<Duration> {
    ensure!(
        (1..=LONGEST_TRIAL).contains(&seconds),
        "a trial lasts 1 to {LONGEST_TRIAL} seconds"
    );
    Ok(Duration::from_secs(seconds))
}

impl Agent {
    /// Puts the agent itself on trial. Where it has taken over what another one left, it goes back to
    /// what that one protected by, as far as that is known.
    pub(super) fn try_out(&self, lasts: Duration, earlier: Option<Configured>) {
        let inner = &mut *self.lock();
        let earlier = earlier.filter(|_| inner.interfaces.took_over());
        let seconds = lasts.as_secs();
        let back_to = if let Some(earlier) = &earlier {
            inner.note_tried(earlier.text.clone());
            "goes back to what an earlier agent had left"
        } else {
            "detaches"
        };
        warn!(
            seconds,
            "on trial: {back_to} and ends unless `guard confirm` comes in time"
        );
        let back_to = BackTo {
            configured: earlier.map(Box::new),
            ends: true,
        };
        inner.trial = Some(Trial::new(lasts, back_to));
    }

    /// Takes note of what a start has put in force that is not on trial.
    pub(super) fn note_start(&self) {
        let inner = &mut *self.lock();
        match inner.rejection() {
            Some(rejection) => warn!("{rejection}"),
            None => inner.note_confirmed(),
        }
    }

    /// Keeps what is on trial.
    pub(super) fn confirm(&self) -> Result<Done> {
        let inner = &mut *self.lock();
        let lasted = inner.shall_last();
        let Some(trial) = inner.trial.take() else {
            bail!("nothing is on trial: what is in force stays");
        };
        // Only now it may outlive the agent, or not, where anything can.
        let can_last = inner.kernel.place().is_some_and(Place::is_lasting);
        if can_last
            && inner.shall_last() != lasted
            && let Err(error) = self.renew(inner)
        {
            inner.trial = Some(trial);
            return Err(error);
        }
        inner.note_confirmed();
        // Those that came meanwhile were not taken.
        self.feeds_wanted.notify_one();
        info!("confirmed: what is in force stays");
        Ok(Done::default())
    }

    /// Undoes what nobody has confirmed in time. Whether the agent has to end for that.
    pub(super) fn end_trial(&self) -> bool {
        let mut inner = self.lock();
        if !inner.trial.as_ref().is_some_and(Trial::is_over) {
            return false;
        }
        if inner.is_start_on_trial() {
            return true;
        }
        if let Some(trial) = inner.trial.take() {
            self.go_back(&mut inner, trial.back_to);
        }
        inner.look_for_administrators();
        drop(inner);
        self.feeds_changed.notify_one();
        self.feeds_wanted.notify_one();
        supervisor::ready(&self.summary());
        false
    }

    /// Goes back at once from what nobody has confirmed so far.
    pub(super) fn abandon_trial(&self) {
        let inner = &mut *self.lock();
        if let Some(trial) = inner.trial.take() {
            self.go_back(inner, trial.back_to);
        }
    }

    /// Goes back. Where that is not possible, the trial goes on.
    fn go_back(&self, inner: &mut Inner, back_to: BackTo) {
        let BackTo { configured, ends } = back_to;
        let Some(before) = configured else {
            inner.trial = Some(Trial::again(BackTo { configured, ends }));
            return;
        };
        let lasts = before.config.on_stop == OnStop::Keep;
        match self.put_in_force(inner, *before, lasts) {
            Ok(_) => {
                warn!("nobody confirmed the configuration: the one of before is in force again");
            }
            Err((before, cause)) => {
                error!(
                    cause = format!("{cause:#}"),
                    "the configuration that nobody confirmed stays in force: going back is tried again"
                );
                let configured = Some(before);
                inner.trial = Some(Trial::again(BackTo { configured, ends }));
            }
        }
    }

    /// Lets everything pass for a while, or enforces again.
    pub(super) fn bypass(&self, bypass: Bypass) -> Result<Done> {
        let period = bypass.seconds.map(Duration::from_secs);
        ensure!(
            bypass
                .seconds
                .is_none_or(|seconds| (1..=LONGEST_BYPASS).contains(&seconds)),
            "everything passes for 1 to {LONGEST_BYPASS} seconds at most"
        );
        let inner = &mut *self.lock();
        let now = book::now();
        let was_on = inner.kernel.bypass(now)?.is_some();
        inner
            .kernel
            .set_bypass(period)
            .context("the switch is where it was")?;
        match bypass.seconds {
            Some(seconds) => warn!(seconds, "bypass: everything passes"),
            None if was_on => info!("bypass ended: enforcing again"),
            None => {}
        }
        Ok(Done::default())
    }
}
