//! The configured interfaces: which of them carry the program, and what is done about the others.
//!
//! An interface may go away and come back, and its program may be taken off by somebody else. What
//! is said of that in the log, the status and the metrics is what the kernel says, asked again and
//! again, not what was once done.

mod guarded;

use std::{mem, time::Instant};

use anyhow::Result;
use tracing::{error, info};

pub(super) use self::guarded::Guarded;

use super::left::{left_on, refuse_unfit, warn_of_false_pins};
use crate::{
    config::{Config, OnStop, XdpMode},
    interface::Interface,
    kernel::{Kernel, Port},
};

/// What shall be guarded after a reload.
pub(super) struct Shall<'a> {
    /// The names of the interfaces, by position.
    pub(super) names: &'a [String],
    /// What there is, where some of them were not guarded before.
    pub(super) found: &'a [Interface],
    /// The programs shall outlive the agent.
    pub(super) lasts: bool,
}

/// The configured interfaces, by position.
pub(super) struct Interfaces {
    mode: XdpMode,
    /// The programs shall outlive the agent.
    lasts: bool,
    /// Programs of an earlier agent were taken over.
    took_over: bool,
    all: Vec<Guarded>,
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
        let left = |interface| {
            kernel
                .place()
                .is_some_and(|place| left_on(place, interface).is_some())
        };
        let mut interfaces = Self {
            mode: config.xdp_mode,
            lasts: false,
            took_over: found.iter().any(left),
            all: Vec::new(),
        };
        // What is on trial must not outlive whoever undoes it, but for what was there before.
        let lasts = if on_trial {
            interfaces.took_over
        } else {
            config.on_stop == OnStop::Keep
        };
        interfaces.lasts = lasts;
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
        interfaces.remove_strays(kernel);
        Ok(interfaces)
    }

    /// Takes off what an earlier agent has left on interfaces that are not configured any more, and
    /// pins of links whose interface is gone.
    fn remove_strays(&self, kernel: &Kernel) {
        let Some(place) = kernel.place() else { return };
        for left in place.links() {
            let is_ours = self.all.iter().any(|guarded| guarded.is_on(left.interface));
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
            guarded.take_off();
        }
    }

    /// Whether programs of an earlier agent were taken over.
    pub(super) fn took_over(&self) -> bool {
        self.took_over
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

    /// Puts the program of `next` in the place of that of `current`, and guards what shall be guarded
    /// from now on: all of it, or nothing has changed.
    pub(super) fn hand_over(
        &mut self,
        current: &mut Kernel,
        next: &mut Kernel,
        shall: &Shall<'_>,
    ) -> Result<()> {
        // Dropped where anything fails, which takes them off again.
        let mut newcomers = self.newcomers(next, shall)?;
        let before = mem::replace(&mut self.lasts, shall.lasts);
        if let Err(error) = self.relieve(next, shall) {
            self.lasts = before;
            self.restore(current);
            return Err(error);
        }
        let mut left = mem::take(&mut self.all);
        for name in shall.names {
            let is_it = |guarded: &Guarded| guarded.name == *name;
            let from = if left.iter().any(is_it) {
                &mut left
            } else {
                &mut newcomers
            };
            let position = from.iter().position(is_it);
            self.all
                .extend(position.map(|position| from.swap_remove(position)));
        }
        for guarded in left {
            info!(iface = guarded.name, "taken off: not configured any more");
        }
        Ok(())
    }

    /// Those of these names that were not configured so far.
    pub(super) fn new_ones(&self, names: &[String]) -> Vec<String> {
        let new = names.iter().filter(|name| self.is_new(name));
        new.cloned().collect()
    }

    fn is_new(&self, name: &str) -> bool {
        self.all.iter().all(|guarded| guarded.name != name)
    }

    /// Puts the program of `next` on interfaces that were not configured before.
    fn newcomers(&self, next: &mut Kernel, shall: &Shall<'_>) -> Result<Vec<Guarded>> {
        let new = (0..).zip(shall.names).filter(|(_, name)| self.is_new(name));
        let attach = |(position, name): (u32, &String)| {
            let Some(interface) = shall.found.iter().find(|found| found.name == *name) else {
                return Ok(Guarded::absent(name));
            };
            refuse_unfit(interface, None)?;
            let port = Port {
                name,
                index: interface.index,
                lasts: shall.lasts,
            };
            let attachment = next.attach(position, port, self.mode)?;
            let mode = attachment.mode.name();
            info!(iface = name, mode, "attached");
            Ok(Guarded::new(interface, attachment))
        };
        new.map(attach).collect()
    }

    /// Puts the program of `next` on every interface that goes on being guarded.
    fn relieve(&mut self, next: &mut Kernel, shall: &Shall<'_>) -> Result<()> {
        for guarded in &mut self.all {
            let position = shall.names.iter().position(|name| *name == guarded.name);
            if let Some(position) = position {
                guarded.hand_over(next, position as u32, shall.lasts)?;
            }
        }
        Ok(())
    }

    /// Puts the program back that was on the interfaces: some of it may have been replaced.
    fn restore(&mut self, current: &mut Kernel) {
        for (guarded, position) in self.all.iter_mut().zip(0..) {
            if let Err(error) = guarded.hand_over(current, position, self.lasts) {
                let error = format!("{error:#}");
                error!(iface = guarded.name, error, "the new program stays on it");
            }
        }
    }

    /// Every one, by position.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Guarded> {
        self.all.iter()
    }

    /// The kernel has removed an interface, and the program with it.
    pub(super) fn gone(&mut self, index: u32) {
        let removed = self.all.iter_mut().find(|guarded| guarded.was_on(index));
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
