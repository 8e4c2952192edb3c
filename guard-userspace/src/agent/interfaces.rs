//! The configured interfaces: which of them carry the program, and what is done about the others.
//!
//! An interface may go away and come back, and its program may be taken off by somebody else. What
//! is said of that in the log, the status and the metrics is what the kernel says, asked again and
//! again, not what was once done.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tracing::{error, info};

use crate::{
    config::XdpMode,
    interface::Interface,
    kernel::{Attachment, Kernel, Mode, PROGRAM},
};

/// After a failure to attach, it is tried again after this pause, then after twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_mins(1);

/// The configured interfaces, by position.
pub(super) struct Interfaces {
    mode: XdpMode,
    all: Vec<Guarded>,
}

/// A configured interface.
pub(super) struct Guarded {
    pub(super) name: String,
    state: State,
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
    /// Attaches to every interface, or to none.
    pub(super) fn attach(kernel: &mut Kernel, found: &[Interface], mode: XdpMode) -> Result<Self> {
        let mut all = Vec::new();
        for (interface, position) in found.iter().zip(0..) {
            let Interface { name, index, .. } = interface;
            let attachment = kernel.attach(position, name, *index, mode)?;
            info!(iface = name, mode = attachment.mode.name(), "attached");
            all.push(Guarded {
                name: name.clone(),
                state: State::Protected {
                    index: *index,
                    attachment,
                },
            });
        }
        Ok(Self { mode, all })
    }

    /// Takes the program off every interface.
    pub(super) fn detach(&mut self) {
        for guarded in &mut self.all {
            guarded.state = State::Gone;
        }
    }

    /// Puts the program of `next` in the place of that of `current`, on every interface or on none.
    pub(super) fn hand_over(&mut self, current: &mut Kernel, next: &mut Kernel) -> Result<()> {
        let mut done = 0;
        let mut handed = Ok(());
        for guarded in &mut self.all {
            handed = guarded.hand_over(next);
            if handed.is_err() {
                break;
            }
            done += 1;
        }
        if handed.is_err() {
            for guarded in &mut self.all[..done] {
                guarded
                    .hand_over(current)
                    .context("going back to the program that was there")?;
            }
        }
        handed
    }

    /// Every one, by position.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Guarded> {
        self.all.iter()
    }

    /// The kernel has removed an interface, and the program with it.
    pub(super) fn gone(&mut self, index: u32) {
        let removed = self.all.iter_mut().find(
            |guarded| matches!(guarded.state, State::Protected { index: own, .. } if own == index),
        );
        if let Some(guarded) = removed {
            guarded.lose();
        }
    }

    /// Compares with what the kernel says there is, and protects what can be protected.
    pub(super) fn attend(&mut self, kernel: &mut Kernel, found: &[Interface], now: Instant) {
        let mode = self.mode;
        for (guarded, position) in self.all.iter_mut().zip(0..) {
            match found.iter().find(|found| found.name == guarded.name) {
                None => guarded.lose(),
                Some(interface) if guarded.is_due(interface, kernel.program_id(), now) => {
                    guarded.protect(kernel, position, interface, mode, now);
                }
                Some(_) => {}
            }
        }
    }
}

impl Guarded {
    /// Where no program is, there is nothing to replace.
    fn hand_over(&mut self, next: &mut Kernel) -> Result<()> {
        match &mut self.state {
            State::Protected { attachment, .. } => attachment.hand_over(&self.name, next),
            _ => Ok(()),
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
            State::Protected { attachment, .. } => generic_note(attachment),
            State::Gone => Some("the interface is gone: its traffic is not judged".to_owned()),
            State::Stripped { .. } => Some(
                "somebody took the program off: restart guard to protect the interface again"
                    .to_owned(),
            ),
            State::Failed { why, .. } => Some(format!("not protected, to be tried again: {why}")),
        }
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
        match self.state {
            State::Protected { index, .. } if index == interface.index => {
                let is_on = interface.xdp.as_ref().map(|xdp| xdp.program_id) == Some(program_id);
                if !is_on {
                    self.state = State::Stripped { index };
                    error!(
                        iface = self.name,
                        "somebody took the program off: not protected until guard is restarted"
                    );
                }
                false
            }
            State::Stripped { index } => index != interface.index,
            State::Failed { again, .. } => now >= again,
            State::Protected { .. } | State::Gone => true,
        }
    }

    fn protect(
        &mut self,
        kernel: &mut Kernel,
        position: u32,
        interface: &Interface,
        mode: XdpMode,
        now: Instant,
    ) {
        // Another interface of this name has no use for the attachment of the one before.
        if matches!(self.state, State::Protected { .. }) {
            self.state = State::Gone;
        }
        let index = interface.index;
        let attached = refuse_unfit(interface)
            .and_then(|()| Ok(kernel.attach(position, &self.name, index, mode)?));
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

/// Refuses an interface that the program cannot or must not be on.
pub(super) fn refuse_unfit(interface: &Interface) -> Result<()> {
    let name = &interface.name;
    // The program reads Ethernet headers first, and would drop whatever starts without one.
    ensure!(
        interface.ethernet,
        "{name} carries packets without an Ethernet header, which guard cannot read: protect the \
         interface they leave the machine by, and leave out this one"
    );
    let Some(xdp) = &interface.xdp else {
        return Ok(());
    };
    let (id, mode) = (xdp.program_id, xdp.mode.name());
    let (program, hint) = match xdp.program_name() {
        // The kernel names programs of others to `CAP_SYS_ADMIN` only, which is given up.
        name if name == "?" => (
            format!("which root's `bpftool prog show id {id}` names"),
            "guard never replaces a stranger's program.",
        ),
        name if name == PROGRAM => (format!("`{name}`"), "is another guard agent running?"),
        name => (
            format!("`{name}`"),
            "guard never replaces a stranger's program.",
        ),
    };
    bail!(
        "{name} has an XDP program already, {program} (id {id}, {mode}): {hint} Stop its owner, or \
         detach it with `ip link set dev {name} xdp off`, or leave out this interface"
    );
}
