//! What can be undone: something new that nobody has confirmed, and everything passing for a while.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tracing::{error, info, warn};

use super::{
    book,
    reload::Configured,
    state::{Agent, Inner},
};
use crate::{
    control::{Bypass, LONGEST_BYPASS, LONGEST_TRIAL},
    entries::Done,
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
pub(super) enum BackTo {
    /// No agent.
    Nothing,
    /// What was configured before.
    Configured(Box<Configured>),
}

impl Trial {
    pub(super) fn new(lasts: Duration, back_to: BackTo) -> Self {
        Self {
            until: Instant::now() + lasts,
            until_unix: book::now().saturating_add(lasts.as_secs()),
            back_to,
        }
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
}

impl Inner {
    /// Whether it is not confirmed yet that there shall be an agent.
    pub(super) fn is_start_on_trial(&self) -> bool {
        let back_to = self.trial.as_ref().map(|trial| &trial.back_to);
        matches!(back_to, Some(BackTo::Nothing))
    }

    /// Puts what is in force on trial: it goes back to what was there `before`.
    pub(super) fn put_on_trial(&mut self, lasts: Duration, before: Option<Earlier>) -> Result<()> {
        let before = before
            .filter(|before| before.until.elapsed() < RECENT)
            .context("this configuration is in force already: there is nothing to go back to")?;
        let seconds = lasts.as_secs();
        info!(
            seconds,
            "on trial: goes back to the configuration of before unless `guard confirm` comes in time"
        );
        let back_to = BackTo::Configured(Box::new(before.configured));
        self.trial = Some(Trial::new(lasts, back_to));
        Ok(())
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
    /// Puts the agent itself on trial.
    pub(super) fn try_out(&self, lasts: Duration) {
        let seconds = lasts.as_secs();
        warn!(
            seconds,
            "on trial: detaches and ends unless `guard confirm` comes in time"
        );
        self.lock().trial = Some(Trial::new(lasts, BackTo::Nothing));
    }

    /// Keeps what is on trial.
    pub(super) fn confirm(&self) -> Result<Done> {
        let inner = &mut *self.lock();
        ensure!(
            inner.trial.is_some(),
            "nothing is on trial: what is in force stays"
        );
        if inner.is_start_on_trial() {
            // Only now it may outlive the agent.
            self.renew(inner)?;
        }
        inner.trial = None;
        info!("confirmed: what is in force stays");
        Ok(Done::default())
    }

    /// Undoes what nobody has confirmed in time. Whether the agent has to end for that.
    pub(super) fn end_trial(&self) -> bool {
        let ends = self.undo_trial();
        if ends == Some(false) {
            self.feeds_changed.notify_one();
            supervisor::ready(&self.summary());
        }
        ends == Some(true)
    }

    /// The same; nothing where nothing was undone.
    fn undo_trial(&self) -> Option<bool> {
        let inner = &mut *self.lock();
        if !inner.trial.as_ref().is_some_and(Trial::is_over) {
            return None;
        }
        match inner.trial.take()?.back_to {
            BackTo::Nothing => Some(true),
            BackTo::Configured(before) => {
                self.go_back(inner, before);
                inner.look_for_administrators();
                Some(false)
            }
        }
    }

    /// Goes back at once from what nobody has confirmed so far.
    pub(super) fn end_reload_trial(&self) {
        let inner = &mut *self.lock();
        match inner.trial.take() {
            Some(Trial {
                back_to: BackTo::Configured(before),
                ..
            }) => self.go_back(inner, before),
            trial => inner.trial = trial,
        }
    }

    /// The configuration file as it is.
    fn file(&self) -> Option<Vec<u8>> {
        fs::read(self.flags.config.as_deref()?).ok()
    }

    /// Whether the file still is what nobody has confirmed.
    pub(super) fn is_rejected(&self, inner: &Inner) -> bool {
        inner.rejected.is_some() && inner.rejected == self.file()
    }

    fn go_back(&self, inner: &mut Inner, before: Box<Configured>) {
        match self.put_in_force(inner, *before) {
            Ok(_) => {
                inner.rejected = self.file();
                warn!("nobody confirmed the configuration: the one of before is in force again");
            }
            Err((before, cause)) => {
                error!(
                    cause = format!("{cause:#}"),
                    "the configuration that nobody confirmed stays in force: going back is tried again"
                );
                let again = Trial::new(Duration::from_secs(1), BackTo::Configured(before));
                inner.trial = Some(again);
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
