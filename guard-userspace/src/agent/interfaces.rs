//! The configured interfaces: which of them carry the program, and what is done about the others.
//!
//! An interface may go away and come back, and its program may be taken off by somebody else. What
//! is said of that in the log, the status and the metrics is what the kernel says, asked again and
//! again, not what was once done.

use std::{
    mem,
    time::{Duration, Instant},
};

use anyhow::Result;
use tracing::{error, info, warn};

use super::left::{left_on, refuse_unfit, warn_of_false_pins};
use crate::{
    config::{Config, OnStop, XdpMode},
    interface::Interface,
    kernel::{Attachment, Kernel, Mode, Port},
};

/// After a failure to attach, it is tried again after this pause, then after twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_mins(1);

/// The configured interfaces, by position.
pub(super) struct Interfaces {
    mode: XdpMode,
    /// The programs shall outlive the agent.
    lasts: bool,
    /// Programs of an earlier agent were taken over.
    took_over: bool,
    all: Vec<Guarded>,
}

/// A configured interface.
pub(super) struct Guarded {
    pub(super) name: String,
    state: State,
    /// Pins of its programs that somebody has removed.
    pub(super) pins_lost: u64,
    /// Why one of them could not be made again.
    unpinned: Option<String>,
}

/// How it stands with an interface.
enum State {
    /// The program is on it.
    Protected { index: u32, attachment: Attachment },
    /// There is none of this name.
    Gone,
    /// The program was on it, and somebody took it off.
    Stripped { index: u32 },
    /// The program could not be put on it.
    Failed {
        why: String,
        pause: Duration,
        again: Instant,
    },
}

impl Interfaces {
    /// Attaches to every interface, or to none. What an earlier agent has left there is taken over,
    /// and stays there whatever goes wrong.
    pub(super) fn attach(
        kernel: &mut Kernel,
        found: &[Interface],
        config: &Config,
        on_trial: bool,
    ) -> Result<Self> {
        // What is on trial must not outlive whoever undoes it, but for what was there before.
        let left = |interface| {
            kernel
                .place()
                .is_some_and(|place| left_on(place, interface).is_some())
        };
        let lasts = config.on_stop == OnStop::Keep && (!on_trial || found.iter().any(left));
        let mut interfaces = Self {
            mode: config.xdp_mode,
            lasts,
            took_over: false,
            all: Vec::new(),
        };
        if let Some(place) = kernel.place() {
            warn_of_false_pins(place, found);
        }
        let mut adopted = Vec::new();
        for (interface, position) in found.iter().zip(0..) {
            let port = Port {
                name: &interface.name,
                index: interface.index,
                lasts,
            };
            let left = kernel.place().and_then(|place| left_on(place, interface));
            let attached = match left {
                Some(mode) => kernel.adopt(position, port, mode),
                None => kernel.attach(position, port, config.xdp_mode),
            };
            match attached {
                Ok(attachment) => {
                    let mode = attachment.mode.name();
                    let how = if left.is_some() {
                        "taken over"
                    } else {
                        "attached"
                    };
                    info!(iface = interface.name, mode, "{how}");
                    adopted.push(left.is_some());
                    interfaces.all.push(Guarded::new(interface, attachment));
                }
                Err(error) => {
                    for (guarded, _) in interfaces
                        .all
                        .iter_mut()
                        .zip(adopted)
                        .filter(|(_, left)| *left)
                    {
                        guarded.leave();
                    }
                    return Err(error.into());
                }
            }
        }
        interfaces.took_over = adopted.contains(&true);
        interfaces.remove_strays(kernel);
        Ok(interfaces)
    }

    /// Takes off what an earlier agent has left on interfaces that are not configured any more, and
    /// pins of links whose interface is gone.
    fn remove_strays(&self, kernel: &Kernel) {
        let Some(place) = kernel.place() else { return };
        for left in place.links() {
            let is_ours = self.all.iter().any(|guarded| {
                matches!(&guarded.state, State::Protected { index, .. } if *index == left.interface)
            });
            if !is_ours {
                info!(
                    index = left.interface, hook = %left.hook,
                    "taking off what an earlier agent left on an interface that is not configured"
                );
                left.remove();
            }
        }
    }

    /// Takes the program off every interface.
    pub(super) fn detach(&mut self) {
        for guarded in &mut self.all {
            guarded.state = State::Gone;
        }
    }

    /// Whether what is there is to stay when the agent cannot start: something was there before it.
    pub(super) fn outlasts_failure(&self) -> bool {
        self.lasts && self.took_over
    }

    /// Leaves the programs where they are.
    pub(super) fn leave(&mut self) {
        for guarded in &mut self.all {
            guarded.leave();
        }
    }

    /// Puts the program of `next` in the place of that of `current`, on every interface or on none.
    pub(super) fn hand_over(
        &mut self,
        current: &mut Kernel,
        next: &mut Kernel,
        on_stop: OnStop,
    ) -> Result<()> {
        let lasts = on_stop == OnStop::Keep;
        let mut all = self.all.iter_mut();
        let Some(error) = all.find_map(|guarded| guarded.hand_over(next, lasts).err()) else {
            self.lasts = lasts;
            return Ok(());
        };
        let lasts = self.lasts;
        // Also where it failed: some of its programs may have been replaced.
        for guarded in &mut self.all {
            if let Err(error) = guarded.hand_over(current, lasts) {
                let error = format!("{error:#}");
                error!(iface = guarded.name, error, "the new program stays on it");
            }
        }
        Err(error)
    }

    /// Every one, by position.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Guarded> {
        self.all.iter()
    }

    /// The kernel has removed an interface, and the program with it.
    pub(super) fn gone(&mut self, index: u32) {
        let removed = self.all.iter_mut().find(
            |guarded| matches!(guarded.state, State::Protected { index: own, .. } | State::Stripped { index: own } if own == index),
        );
        if let Some(guarded) = removed {
            guarded.lose();
        }
    }

    /// Compares with what the kernel says there is, and protects what can be protected.
    pub(super) fn attend(&mut self, kernel: &mut Kernel, found: &[Interface], now: Instant) {
        let (mode, lasts) = (self.mode, self.lasts);
        for (guarded, position) in self.all.iter_mut().zip(0..) {
            match found.iter().find(|found| found.name == guarded.name) {
                None => guarded.lose(),
                Some(interface) if guarded.is_due(interface, kernel.program_id(), now) => {
                    guarded.protect(kernel, position, interface, (mode, lasts), now);
                }
                Some(_) => guarded.mend_pins(),
            }
        }
    }
}

impl Guarded {
    fn new(interface: &Interface, attachment: Attachment) -> Self {
        Self {
            name: interface.name.clone(),
            state: State::Protected {
                index: interface.index,
                attachment,
            },
            pins_lost: 0,
            unpinned: None,
        }
    }

    /// Where no program is, there is nothing to replace.
    fn hand_over(&mut self, next: &mut Kernel, lasts: bool) -> Result<()> {
        match &mut self.state {
            State::Protected { attachment, index } => {
                let port = Port {
                    name: &self.name,
                    index: *index,
                    lasts,
                };
                attachment.hand_over(port, next)
            }
            _ => Ok(()),
        }
    }

    /// Leaves the program where it is.
    fn leave(&mut self) {
        if let State::Protected { attachment, .. } = mem::replace(&mut self.state, State::Gone) {
            attachment.leave();
        }
    }

    /// Where the program runs; nothing where it does not.
    pub(super) fn mode(&self) -> Option<Mode> {
        match &self.state {
            State::Protected { attachment, .. } => Some(attachment.mode),
            _ => None,
        }
    }

    /// What its operator should know of it.
    pub(super) fn note(&self) -> Option<String> {
        match &self.state {
            State::Protected { attachment, .. } => {
                let notes = [generic_note(attachment), self.pins_note()];
                let notes: Vec<String> = notes.into_iter().flatten().collect();
                (!notes.is_empty()).then(|| notes.join("; "))
            }
            State::Gone => Some("the interface is gone: its traffic is not judged".to_owned()),
            State::Stripped { .. } => Some(
                "somebody took the program off: restart guard to protect the interface again"
                    .to_owned(),
            ),
            State::Failed { why, .. } => Some(format!("not protected, to be tried again: {why}")),
        }
    }

    fn pins_note(&self) -> Option<String> {
        let lost = self.pins_lost;
        match (&self.unpinned, lost) {
            (Some(why), _) => Some(format!(
                "what keeps the program there after the agent is not pinned any more, and cannot be \
                 pinned again: {why}"
            )),
            (None, 0) => None,
            (None, lost) => Some(format!(
                "somebody has removed {lost} pins of what keeps the program there after the agent: \
                 they were made again"
            )),
        }
    }

    /// Makes pins again that somebody has removed. What is wrong is said once.
    fn mend_pins(&mut self) {
        let State::Protected { attachment, .. } = &mut self.state else {
            return;
        };
        let (lost, outcome) = attachment.mend_pins();
        self.pins_lost += lost;
        if lost > 0 {
            warn!(
                iface = self.name,
                lost, "somebody removed pins of what keeps the program there: made again"
            );
        }
        let why = outcome.err().map(|error| format!("{error:#}"));
        if let Some(why) = why
            .as_ref()
            .filter(|why| self.unpinned.as_ref() != Some(why))
        {
            error!(
                iface = self.name,
                why, "what keeps the program there is not pinned: it ends with the agent"
            );
        }
        self.unpinned = why;
    }

    fn lose(&mut self) {
        if !matches!(self.state, State::Gone) {
            self.state = State::Gone;
            error!(
                iface = self.name,
                "interface is gone: not protected until it comes back"
            );
        }
    }

    /// Whether the program is to be put on this interface, which has its name. Notices when it was
    /// taken off: whoever did that may have had to, so it is not put on again.
    fn is_due(&mut self, interface: &Interface, program_id: u32, now: Instant) -> bool {
        match &self.state {
            State::Protected { index, attachment } if *index == interface.index => {
                let index = *index;
                let found = interface.xdp.as_ref().map(|xdp| xdp.program_id);
                let is_on = found == Some(program_id)
                    || found.is_some() && found == attachment.program_id();
                if !is_on {
                    self.state = State::Stripped { index };
                    error!(
                        iface = self.name,
                        "somebody took the program off: not protected until guard is restarted"
                    );
                }
                false
            }
            State::Stripped { index } => *index != interface.index,
            State::Failed { again, .. } => now >= *again,
            State::Protected { .. } | State::Gone => true,
        }
    }

    fn protect(
        &mut self,
        kernel: &mut Kernel,
        position: u32,
        interface: &Interface,
        (mode, lasts): (XdpMode, bool),
        now: Instant,
    ) {
        // Another interface of this name has no use for the attachment of the one before.
        if matches!(self.state, State::Protected { .. }) {
            self.state = State::Gone;
        }
        let index = interface.index;
        let port = Port {
            name: &self.name,
            index,
            lasts,
        };
        let attached =
            refuse_unfit(interface, None).and_then(|()| Ok(kernel.attach(position, port, mode)?));
        match attached {
            Ok(attachment) => {
                let mode = attachment.mode.name();
                info!(iface = self.name, mode, "interface is back: attached");
                self.state = State::Protected { index, attachment };
            }
            Err(error) => self.fail(format!("{error:#}"), now),
        }
    }

    /// Takes down a failure. One that repeats is not said again.
    fn fail(&mut self, why: String, now: Instant) {
        let pause = match &self.state {
            State::Failed {
                why: before, pause, ..
            } if *before == why => (*pause * 2).min(LAST_PAUSE),
            _ => {
                error!(
                    iface = self.name,
                    why, "interface is back, but not protected: to be tried again"
                );
                FIRST_PAUSE
            }
        };
        self.state = State::Failed {
            why,
            pause,
            again: now + pause,
        };
    }
}

fn generic_note(attachment: &Attachment) -> Option<String> {
    if attachment.mode == Mode::Native {
        return None;
    }
    let why = attachment
        .fallback
        .as_ref()
        .map(|cause| format!("native mode failed: {cause}; "));
    Some(format!(
        "{}generic mode sees merged packets, so limits of packets let more bytes through",
        why.unwrap_or_default()
    ))
}
