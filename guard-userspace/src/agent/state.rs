//! The running agent: what it holds, and what it says of itself.

mod snapshot;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Instant, SystemTime},
};

use anyhow::Result;
use tokio::sync::Notify;
use tracing::{error, warn};

pub(super) use self::snapshot::Extent;
use super::{
    alerting::Missing,
    book,
    confirmed::{Confirmed, Noted, Text},
    fetching::Fetches,
    interfaces::Interfaces,
    lifelines::Lifelines,
    pins::MapPins,
    reload::{Cause, Clock, Over},
    room::Room,
    time::Moment,
    trial::{Earlier, Trial},
    watch::Stamps,
};
use crate::{
    alerts::Alerts,
    cli::RunFlags,
    config::{Config, OnStop},
    control::{Bypass, Reload},
    entries::{Banned, Done, Edit, List, Listed, Unban},
    events::Voice,
    explanation::Explanation,
    findings::{Findings, Follower, Told},
    http::Source,
    interface::Interface,
    kernel::{Kernel, Mode, Place, Share, forget_estate},
    logging::DroppedLines,
    privileges::{self, Places},
    status::{PrivilegeStatus, Status},
    talkers::{Talkers, TopTalkers},
};

/// The agent while it protects. Dropping it detaches everything.
pub(super) struct Agent {
    pub(super) flags: RunFlags,
    pub(super) clock: Clock,
    started: Instant,
    dropped_lines: DroppedLines,
    found_out: FoundOut,
    /// Which lists are to be fetched may be others than before.
    pub(super) feeds_changed: Notify,
    /// All lists are to be fetched now.
    pub(super) feeds_wanted: Notify,
    /// What was given up, as soon as it is.
    privileges: OnceLock<PrivilegeStatus>,
    pub(super) alerts: Alerts,
    inner: Mutex<Inner>,
}

/// What the events of the kernel side come to.
pub(super) struct FoundOut {
    pub(super) findings: Arc<Mutex<Findings>>,
    pub(super) talkers: Arc<Mutex<Talkers>>,
}

/// What changes.
pub(super) struct Inner {
    pub(super) interfaces: Interfaces,
    pub(super) kernel: Kernel,
    pub(super) rules: Rules,
    /// Whom this host lives by.
    pub(super) lifelines: Lifelines,
    pub(super) loaded_at: SystemTime,
    /// Why the last configuration given was refused, if it was.
    pub(super) refusal: Option<String>,
    /// What is undone unless somebody confirms it.
    pub(super) trial: Option<Trial>,
    /// What was in force before the last change.
    pub(super) earlier: Option<Earlier>,
    /// The next agent finds what it needs to go on with the maps.
    pub(super) is_deeded: bool,
    /// The programs are taken off, or left.
    pub(super) has_ended: bool,
    /// What somebody stands behind, and what nobody does.
    pub(super) confirmed: Noted,
    /// What the files were when they were last read.
    pub(super) read: Stamps,
    /// What came of fetching lists.
    pub(super) fetches: Fetches,
    /// When the clock was last looked at.
    pub(super) moment: Moment,
    /// Whether it was said that bans cannot be written down.
    pub(super) bans_unsaved: bool,
    /// Entries that are configured and not enforced.
    pub(super) missing: Missing,
    /// Where what runs now tells what it sees, until somebody listens.
    pub(super) voice: Option<Voice>,
    /// Whether there is room in the state folder.
    pub(super) room: Room,
    /// Pins of the maps that were lost.
    pub(super) map_pins: MapPins,
}

/// What is enforced.
pub(super) struct Rules {
    pub(super) config: Config,
    /// What it was read from.
    pub(super) text: Option<Text>,
    pub(super) over: Over,
}

impl Agent {
    /// Attaches to every interface, or to none.
    pub(super) fn attach(
        (rules, read, confirmed): (Rules, Stamps, Confirmed),
        flags: RunFlags,
        mut kernel: Kernel,
        clock: Clock,
        found: &[Interface],
        dropped_lines: DroppedLines,
        found_out: FoundOut,
    ) -> Result<Self> {
        let interfaces =
            Interfaces::attach(&mut kernel, found, &rules.config, flags.confirm.is_some())?;
        let fetches = Fetches::load(&rules.config);
        let alerts = Alerts::new(&rules.config.state_dir);
        alerts.configure(&rules.config.alerts);
        Ok(Self {
            flags,
            clock,
            alerts,
            started: Instant::now(),
            dropped_lines,
            found_out,
            feeds_changed: Notify::new(),
            feeds_wanted: Notify::new(),
            privileges: OnceLock::new(),
            inner: Mutex::new(Inner {
                interfaces,
                kernel,
                rules,
                lifelines: Lifelines::new(),
                loaded_at: SystemTime::now(),
                refusal: None,
                trial: None,
                earlier: None,
                confirmed: Noted::new(confirmed),
                is_deeded: false,
                has_ended: false,
                read,
                fetches,
                moment: Moment::now(),
                bans_unsaved: false,
                missing: Missing::default(),
                voice: None,
                room: Room::default(),
                map_pins: MapPins::default(),
            }),
        })
    }

    /// Gives up every privilege that protecting and reloading do not take, for good.
    pub(super) fn give_up_privileges(&self) -> Result<()> {
        let inner = self.lock();
        let handover = inner.kernel.private_place();
        let places = Places::of(&inner.rules.config, self.flags.config.as_deref(), handover);
        let given_up = privileges::give_up(&places)?;
        // They are given up once.
        self.privileges.set(given_up).unwrap_or_default();
        Ok(())
    }

    /// How it protects, in a few words.
    pub(super) fn summary(&self) -> String {
        let inner = self.lock();
        let each = inner.interfaces.iter().map(|guarded| {
            let mode = guarded.mode().map_or("not attached", Mode::name);
            format!("{} ({mode})", guarded.name)
        });
        let each: Vec<String> = each.collect();
        format!("{}: {}", inner.mode_name(), each.join(", "))
    }

    /// `enforce` or `dry-run`.
    pub(super) fn mode_name(&self) -> &'static str {
        self.lock().mode_name()
    }

    /// The agent cannot start: what it has taken over goes on without it, where that is configured.
    pub(super) fn give_up(&self) {
        let inner = &mut *self.lock();
        if inner.interfaces.outlasts_failure() {
            inner.kernel.leave();
            inner.interfaces.leave();
        }
    }

    /// Takes the program off every interface, or leaves it there, as configured. Says which. What
    /// nobody has confirmed is undone.
    pub(super) fn end(&self) -> OnStop {
        self.abandon_trial();
        self.keep_deed();
        let inner = &mut *self.lock();
        inner.has_ended = true;
        let can_last = inner.kernel.place().is_some_and(Place::is_lasting);
        let keep = inner.shall_last() && !inner.is_start_on_trial();
        if keep && can_last {
            inner.kernel.leave();
            inner.interfaces.leave();
            return OnStop::Keep;
        }
        inner.interfaces.detach();
        inner.confirmed.forget(&inner.rules.config);
        if let Err(error) = forget_estate(&inner.rules.config.state_dir) {
            warn!(%error, "a file of the agent stays behind");
        }
        OnStop::Detach
    }

    /// Whether changed files are taken without being asked for.
    pub(super) fn watches(&self) -> bool {
        let inner = self.lock();
        inner.rules.config.watch && inner.trial.is_none()
    }

    /// The names of the interfaces.
    pub(super) fn interface_names(&self) -> Vec<String> {
        self.lock().rules.config.interfaces.clone()
    }

    /// Where the kernel side tells what it sees, if that is elsewhere since this was last asked.
    pub(super) fn take_voice(&self) -> Option<Voice> {
        self.lock().voice.take()
    }

    /// The kernel has removed an interface, and the program with it.
    pub(super) fn interface_gone(&self, index: u32) {
        self.lock().interfaces.gone(index);
    }

    /// What the kernel calls the program that judges packets.
    pub(super) fn program_id(&self) -> u32 {
        self.lock().kernel.program_id()
    }

    /// Compares with the interfaces that were found when the program was that of `program_id`, and
    /// protects what can be protected. What was found before a reload says nothing of now.
    pub(super) fn attend(&self, found: &[Interface], program_id: u32) {
        let Inner {
            interfaces, kernel, ..
        } = &mut *self.lock();
        if kernel.program_id() != program_id {
            return;
        }
        interfaces.attend(kernel, found, Instant::now());
    }

    /// Gives up the connections that have been quiet for too long, some of them each time.
    pub(super) fn sweep(&self) {
        if let Err(error) = self.lock().kernel.sweep(Share::Quarter) {
            error!(
                error = format!("{error:#}"),
                "connections that are quiet stay uncounted"
            );
        }
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        // Nobody leaves them half changed.
        let findings = self.found_out.findings.lock();
        findings.unwrap_or_else(PoisonError::into_inner)
    }

    fn top_talkers(&self) -> TopTalkers {
        let ipv6_prefix = self.lock().rules.config.limits.ipv6_prefix;
        let talkers = self.found_out.talkers.lock();
        // Nobody leaves them half changed.
        let mut talkers = talkers.unwrap_or_else(PoisonError::into_inner);
        talkers.top(ipv6_prefix, Instant::now())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nobody leaves the state half changed.
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.follow_clock();
        inner
    }
}

impl Source for Agent {
    fn status(&self) -> Result<Status> {
        self.snapshot(Extent::Whole)
    }

    fn reload(&self, reload: Reload) -> Result<Done> {
        Self::reload(self, Cause::Asked(reload))
    }

    fn confirm(&self) -> Result<Done> {
        Self::confirm(self)
    }

    fn bypass(&self, bypass: Bypass) -> Result<Done> {
        Self::bypass(self, bypass)
    }

    fn edit(&self, edit: Edit) -> Result<Done> {
        Self::edit(self, edit)
    }

    fn entries(&self, list: List) -> Vec<Listed> {
        Self::entries(self, list)
    }

    fn bans(&self) -> Vec<Banned> {
        self.lock().rules.over.bans.list(book::now())
    }

    fn unban(&self, unban: &Unban) -> Result<()> {
        Self::unban(self, unban)
    }

    fn explain(&self, address: IpAddr, port: Option<u16>) -> Explanation {
        Self::explain(self, address, port)
    }

    fn events(&self) -> Vec<Told> {
        self.findings().latest()
    }

    fn follow(&self) -> Option<Follower> {
        self.findings().follow()
    }

    fn talkers(&self) -> TopTalkers {
        self.top_talkers()
    }

    fn is_ready(&self) -> bool {
        let inner = self.lock();
        inner
            .interfaces
            .iter()
            .all(|guarded| guarded.mode().is_some())
    }
}
