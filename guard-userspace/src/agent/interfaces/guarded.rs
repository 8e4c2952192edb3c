//! One configured interface: how it stands with it, and what is done about that.

use std::{
    mem,
    time::{Duration, Instant},
};

use anyhow::Result;
use tracing::{error, info, warn};

use crate::{
    agent::left::refuse_unfit,
    config::XdpMode,
    interface::Interface,
    kernel::{Attachment, Kernel, Mode, Port},
};

/// After a failure to attach, it is tried again after this pause, then after twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LAST_PAUSE: Duration = Duration::from_mins(1);

/// A configured interface.
pub(in crate::agent) struct Guarded {
    pub(in crate::agent) name: String,
    state: State,
    /// Pins of its programs that somebody has removed.
    pub(in crate::agent) pins_lost: u64,
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

impl Guarded {
    pub(super) fn new(interface: &Interface, attachment: Attachment) -> Self {
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

    /// One that is not there.
    pub(super) fn absent(name: &str) -> Self {
        error!(
            iface = name,
            "there is no such interface: not protected until it comes"
        );
        Self {
            name: name.to_owned(),
            state: State::Gone,
            pins_lost: 0,
            unpinned: None,
        }
    }

    /// Whether the program is on the interface of this number.
    pub(super) fn is_on(&self, number: u32) -> bool {
        matches!(&self.state, State::Protected { index, .. } if *index == number)
    }

    /// Whether the program is on the interface of this number, or was until somebody took it off.
    pub(super) fn was_on(&self, number: u32) -> bool {
        let stripped = matches!(&self.state, State::Stripped { index } if *index == number);
        stripped || self.is_on(number)
    }

    /// Gives the interface, which is at this position, the program of another kernel side. Where no
    /// program is, there is nothing to replace.
    pub(super) fn hand_over(
        &mut self,
        next: &mut Kernel,
        position: u32,
        lasts: bool,
    ) -> Result<()> {
        let State::Protected { attachment, index } = &mut self.state else {
            return Ok(());
        };
        let port = Port {
            name: &self.name,
            index: *index,
            lasts,
        };
        next.take_on(attachment, position, port)
    }

    /// Takes the program off.
    pub(super) fn take_off(&mut self) {
        self.state = State::Gone;
    }

    /// Leaves the program where it is.
    pub(super) fn leave(&mut self) {
        if let State::Protected { attachment, .. } = mem::replace(&mut self.state, State::Gone) {
            attachment.leave();
        }
    }

    /// Where the program runs; nothing where it does not.
    pub(in crate::agent) fn mode(&self) -> Option<Mode> {
        match &self.state {
            State::Protected { attachment, .. } => Some(attachment.mode),
            _ => None,
        }
    }

    /// What its operator should know of it.
    pub(in crate::agent) fn note(&self) -> Option<String> {
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
    pub(super) fn mend_pins(&mut self) {
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

    pub(super) fn lose(&mut self) {
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
    pub(super) fn is_due(&mut self, interface: &Interface, program_id: u32, now: Instant) -> bool {
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

    pub(super) fn protect(
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
