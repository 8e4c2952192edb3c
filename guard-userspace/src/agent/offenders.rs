//! Bans begin and end.

use std::{mem, net::IpAddr};

use anyhow::{Result, anyhow};
use tracing::{error, info, warn};

use super::{
    book,
    state::{Agent, Inner},
};
use crate::{bans::source, entries::Unban};

impl Agent {
    /// Bans the sources that these addresses belong to, which have stayed over their limit.
    pub(super) fn ban(&self, offenders: &[IpAddr]) {
        let inner = &mut *self.lock();
        let limits = inner.rules.config.limits;
        let Some(ban) = limits.ban else { return };
        let now = book::now();
        let bans = &mut inner.rules.over.bans;
        let mut banned = Vec::new();
        for offender in offenders {
            let source = source(*offender, limits.ipv6_prefix);
            if let Some(lasts) = bans.add(source, &ban, now) {
                let seconds = lasts.as_secs();
                warn!(event = "ban", %source, seconds, "over its limit for too long");
                banned.push(source);
            }
        }
        let changes = bans.changes(&banned, |net| inner.kernel.rule(net), now);
        if let Err(error) = self.apply(inner, &changes) {
            let error = format!("{error:#}");
            error!(error, "sources are limited that should be banned");
        }
        inner.save_bans();
    }

    /// Ends bans by hand: all that are asked for, or none.
    pub(super) fn unban(&self, unban: &Unban) -> Result<()> {
        let inner = &mut *self.lock();
        let now = book::now();
        let pardon = inner.rules.config.limits.ban.unwrap_or_default().after;
        let bans = &mut inner.rules.over.bans;
        let ended = if unban.all {
            bans.in_force(now).copied().collect()
        } else {
            bans.among(&unban.addresses, now)
                .map_err(|address| anyhow!("{address} is not banned: `guard bans` lists who is"))?
        };
        let before = bans.clone();
        bans.end(&ended, pardon, now);
        let changes = bans.changes(&ended, |net| inner.kernel.rule(net), now);
        if let Err(error) = self.apply(inner, &changes) {
            inner.rules.over.bans = before;
            return Err(error);
        }
        inner.save_bans();
        info!(sources = ended.len(), "unbanned");
        Ok(())
    }

    /// Takes off the bans that have ended, and writes down what has changed.
    pub(super) fn end_bans(&self) {
        let inner = &mut *self.lock();
        let now = book::now();
        let ban = inner.rules.config.limits.ban.unwrap_or_default();
        let bans = &inner.rules.over.bans;
        let ended = bans.ended(now);
        let changes = bans.changes(&ended, |net| inner.kernel.rule(net), now);
        if let Err(error) = self.apply(inner, &changes) {
            let error = format!("{error:#}");
            error!(error, "bans that have ended stay in force");
            return;
        }
        if !ended.is_empty() {
            info!(sources = ended.len(), "bans have ended");
        }
        let bans = &mut inner.rules.over.bans;
        bans.forget(&ban, now);
        inner.save_bans();
    }
}

impl Inner {
    /// Writes down what has changed. That it cannot be is said once, and tried each second.
    fn save_bans(&mut self) {
        let saved = self.rules.over.bans.save(&self.rules.config.state_dir);
        let was_unsaved = mem::replace(&mut self.bans_unsaved, saved.is_err());
        match saved {
            Err(error) if !was_unsaved => {
                let error = format!("{error:#}");
                error!(error, "the bans would not survive a restart");
            }
            Ok(()) if was_unsaved => info!("the bans are written down again"),
            _ => {}
        }
    }
}
