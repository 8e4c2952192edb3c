//! Attaches the program to interfaces, native where the driver can.

use std::io;

use anyhow::{Context as _, Error, Result};
use aya::{
    maps::{Array, MapData},
    programs::{
        ProgramError, SchedClassifier, TcAttachType, Xdp,
        links::FdLink,
        tc::{SchedClassifierLink, qdisc_add_clsact, qdisc_detach_program},
        xdp::{XdpLink, XdpLinkId, XdpMode as AyaMode},
    },
    util::KernelVersion,
};
use serde::Serialize;
use thiserror::Error;
use tracing::warn;

use super::{ARRIVALS, DEPARTURES, Kernel, held::Held, object, place::Hook};
use crate::config::XdpMode;

/// Where in the kernel the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver, before the kernel makes a packet of a frame.
    Native,
    /// In the kernel's generic path: slower, and it sees merged packets of up to 64 KiB, so
    /// limits of packets count fewer of them.
    Generic,
}

impl Mode {
    /// The stable word users see.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// The program on an interface. Dropping it detaches the program, [`Attachment::leave`] does not.
#[derive(Debug)]
pub struct Attachment {
    /// Where it runs.
    pub mode: Mode,
    /// Why it is not native although that was tried.
    pub fallback: Option<String>,
    link: Held,
    /// The program that sees what leaves, where one is needed.
    departures: Option<Held>,
    /// The program that sees what passes to the stack, where one is needed.
    arrivals: Option<Held>,
}

impl Attachment {
    /// What [`Kernel::take_on`] does, but for telling the kernel side which interface it is.
    fn hand_over(&mut self, port: Port<'_>, next: &mut Kernel) -> Result<()> {
        relieve_xdp(&mut self.link, next)
            .with_context(|| format!("replacing the program on {}", port.name))?;
        next.settle_link(&mut self.link, port, Hook::Xdp)?;
        next.relieve(&mut self.departures, port, Hook::Egress)?;
        next.relieve(&mut self.arrivals, port, Hook::Ingress)?;
        Ok(())
    }

    /// The program that judges packets there, by the kernel's number.
    pub fn program_id(&self) -> Option<u32> {
        self.link.program_id()
    }

    /// Sees to it that what keeps the programs there after us is pinned still. How many pins were not
    /// there, or not ours, and are again; and what hinders others, whose program ends with us.
    pub fn mend_pins(&mut self) -> (u64, Result<()>) {
        let others = [&mut self.departures, &mut self.arrivals];
        let all = [&mut self.link]
            .into_iter()
            .chain(others.into_iter().flatten());
        let (mut lost, mut outcome) = (0, Ok(()));
        for held in all {
            match held.mend() {
                Ok(was_lost) => lost += u64::from(was_lost),
                Err(error) => outcome = Err(error),
            }
        }
        (lost, outcome)
    }

    /// Leaves the programs where they are.
    pub fn leave(self) {
        let Self {
            link,
            departures,
            arrivals,
            ..
        } = self;
        for held in [Some(link), departures, arrivals].into_iter().flatten() {
            held.leave();
        }
    }
}

/// An interface to attach to.
#[derive(Clone, Copy, Debug)]
pub struct Port<'a> {
    /// Its name.
    pub name: &'a str,
    /// The kernel's number.
    pub index: u32,
    /// Whether what is attached there shall outlive us, where anything can.
    pub lasts: bool,
}

/// Why the program is not on an interface. Nothing stays behind.
#[derive(Debug, Error)]
pub enum AttachError {
    /// Somebody else's program is there.
    #[error(
        "another XDP program is attached to {interface}: guard never replaces a stranger's; \
         detach it (`ip link set dev {interface} xdp off`) or leave out this interface"
    )]
    Busy {
        /// The interface.
        interface: String,
    },
    /// The driver or the kernel does not take it in that mode.
    #[error("{interface} does not take the program in {mode} mode ({cause}): {remedy}")]
    Unsupported {
        /// The interface.
        interface: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// What the kernel said.
        cause: String,
        /// What to do.
        remedy: &'static str,
    },
    /// What leaves by it cannot be seen.
    #[error(
        "what leaves by {interface} cannot be seen ({cause}), so no source would ever be known: \
         and no connection be seen to be encrypted: switch off what needs that \
         (`new_sources = \"off\"` in [limits], `encryption = \"off\"` of each service)"
    )]
    Departures {
        /// The interface.
        interface: String,
        /// What went wrong.
        cause: String,
    },
    /// What passes to the stack cannot be seen.
    #[error(
        "what {interface} hands to the stack cannot be seen ({cause}), so no connection could be \
         broken off: use `on_plaintext = \"drop\"` instead of \"reset\""
    )]
    Arrivals {
        /// The interface.
        interface: String,
        /// What went wrong.
        cause: String,
    },
    /// What an earlier agent left there could not be taken over. It goes on protecting.
    #[error(
        "the program that an earlier agent left on {interface} cannot be replaced ({cause}): it goes \
         on; to start afresh, `guard detach`, then start guard"
    )]
    Left {
        /// The interface.
        interface: String,
        /// What went wrong.
        cause: String,
    },
    /// The map of interfaces could not be written.
    #[error("telling the kernel side about {interface} failed: {cause}")]
    Map {
        /// The interface.
        interface: String,
        /// What went wrong.
        cause: String,
    },
}

impl Kernel {
    /// Puts the program on the interface at `position` in the configuration. With [`XdpMode::Auto`]
    /// generic mode is the fallback, said in the log.
    pub fn attach(
        &mut self,
        position: u32,
        port: Port<'_>,
        wanted: XdpMode,
    ) -> Result<Attachment, AttachError> {
        self.announce_port(position, port)?;
        let mut attachment = self.attach_wanted(port, wanted)?;
        // Only now is it sure that no running agent has this interface.
        remove_remains(port.name);
        self.relieve(&mut attachment.departures, port, Hook::Egress)?;
        self.relieve(&mut attachment.arrivals, port, Hook::Ingress)?;
        Ok(attachment)
    }

    /// Puts the programs in the place of those that an earlier agent has left on an interface, where
    /// they run in this `mode`. Whatever goes wrong, something protects there.
    pub fn adopt(
        &mut self,
        position: u32,
        port: Port<'_>,
        mode: Mode,
    ) -> Result<Attachment, AttachError> {
        self.announce_port(position, port)?;
        let link = self
            .left(port, Hook::Xdp)
            .ok_or_else(|| AttachError::Left {
                interface: port.name.to_owned(),
                cause: "its link cannot be opened".to_owned(),
            })?;
        let mut attachment = Attachment {
            mode,
            fallback: None,
            link,
            departures: self.left(port, Hook::Egress),
            arrivals: self.left(port, Hook::Ingress),
        };
        remove_remains(port.name);
        match attachment.hand_over(port, self) {
            Ok(()) => Ok(attachment),
            Err(error) => {
                attachment.leave();
                Err(AttachError::Left {
                    interface: port.name.to_owned(),
                    cause: format!("{error:#}"),
                })
            }
        }
    }

    /// Puts the programs in the place of those that run on the interface at `position`, each at one
    /// instant, and sees to it that they outlive us if they shall.
    ///
    /// # Errors
    /// The kernel does not take one of them. Some may have been replaced: give all of them the
    /// programs that were there.
    pub fn take_on(
        &mut self,
        attachment: &mut Attachment,
        position: u32,
        port: Port<'_>,
    ) -> Result<()> {
        self.announce_port(position, port)?;
        attachment.hand_over(port, self)
    }

    /// What an earlier agent has left on an interface.
    fn left(&self, port: Port<'_>, hook: Hook) -> Option<Held> {
        let place = self.place.as_ref()?;
        // A pin that is not what it is called keeps something elsewhere, or nothing.
        place.linked(hook, port.index)?;
        Held::open(place.link(hook, port.index))
    }

    fn announce_port(&mut self, position: u32, port: Port<'_>) -> Result<(), AttachError> {
        let announced = self.announce(position, port.index);
        announced.map_err(|error| AttachError::Map {
            interface: port.name.to_owned(),
            cause: format!("{error:#}"),
        })
    }

    /// Sees to it that a link outlives us if it shall, and does not if not.
    fn settle_link(&self, held: &mut Held, port: Port<'_>, hook: Hook) -> Result<()> {
        let Some(place) = &self.place else {
            return Ok(());
        };
        let lasts = port.lasts && place.is_lasting();
        held.settle(&place.link(hook, port.index), lasts)
    }

    /// Puts the classifier that this kernel side has for `hook` in the place of the one that is held
    /// there; takes that off where it has none.
    fn relieve(
        &mut self,
        held: &mut Option<Held>,
        port: Port<'_>,
        hook: Hook,
    ) -> Result<(), AttachError> {
        let failed = |error: Error| hook_failed(hook, port, format!("{error:#}"));
        let place = match hook {
            Hook::Ingress => TcAttachType::Ingress,
            Hook::Xdp | Hook::Egress => TcAttachType::Egress,
        };
        let Some(program) = self.classifier_of(hook) else {
            *held = None;
            return Ok(());
        };
        let relieved = held.as_mut().is_some_and(|held| relieve_tc(held, program));
        if !relieved {
            let link = classify(program, port.name, place)
                .map_err(|error| hook_failed(hook, port, cause(&error)))?;
            // The old one first: both have their pin at the same path.
            *held = None;
            *held = Some(self.hold(link, port, hook).map_err(failed)?);
        }
        if let Some(held) = held {
            self.settle_link(held, port, hook).map_err(failed)?;
        }
        Ok(())
    }

    fn classifier_of(&mut self, hook: Hook) -> Option<&mut SchedClassifier> {
        match hook {
            Hook::Xdp => None,
            Hook::Egress => self.departures(),
            Hook::Ingress => self.arrivals(),
        }
    }

    fn hold(&self, link: SchedClassifierLink, port: Port<'_>, hook: Hook) -> Result<Held> {
        if lacks_tcx() {
            return Ok(Held::Filter { _link: link });
        }
        self.hold_link(FdLink::try_from(link)?, port, hook)
    }

    fn hold_link(&self, link: FdLink, port: Port<'_>, hook: Hook) -> Result<Held> {
        let Some(place) = &self.place else {
            return Ok(Held::unpinned(link));
        };
        let lasts = port.lasts && place.is_lasting();
        Ok(Held::new(link, &place.link(hook, port.index), lasts)?)
    }

    fn attach_wanted(
        &mut self,
        port: Port<'_>,
        wanted: XdpMode,
    ) -> Result<Attachment, AttachError> {
        match wanted {
            XdpMode::Native => self.attach_as(port, Mode::Native),
            XdpMode::Generic => self.attach_as(port, Mode::Generic),
            XdpMode::Auto => match self.attach_as(port, Mode::Native) {
                Err(AttachError::Unsupported { cause, .. }) => {
                    warn!(
                        interface = port.name,
                        cause, "no native XDP here: falling back to generic"
                    );
                    let attachment = self.attach_as(port, Mode::Generic)?;
                    Ok(Attachment {
                        fallback: Some(cause),
                        ..attachment
                    })
                }
                outcome => outcome,
            },
        }
    }

    fn announce(&mut self, position: u32, index: u32) -> Result<()> {
        let mut interfaces: Array<&mut MapData, u32> = object::map(&mut self.ebpf, "INTERFACES")?;
        interfaces.set(position, index, 0)?;
        Ok(())
    }

    fn attach_as(&mut self, port: Port<'_>, mode: Mode) -> Result<Attachment, AttachError> {
        let Port { name, index, .. } = port;
        let unsupported = |cause: String| AttachError::Unsupported {
            interface: name.to_owned(),
            mode: mode.name(),
            cause,
            remedy: remedy(mode),
        };
        let program = self
            .program()
            .map_err(|error| unsupported(format!("{error:#}")))?;
        let aya_mode = match mode {
            Mode::Native => AyaMode::Driver,
            Mode::Generic => AyaMode::Skb,
        };
        let link = program
            .attach_to_if_index(index, aya_mode)
            .and_then(|id| own(program, id))
            .map_err(|error| match errno(&error) {
                Some(libc::EBUSY | libc::EEXIST) => AttachError::Busy {
                    interface: name.to_owned(),
                },
                _ => unsupported(cause(&error)),
            })?;
        // Without a BPF link the kernel would neither detach a dead agent's program nor refuse to
        // replace a stranger's.
        let link = FdLink::try_from(link)
            .map_err(|_| unsupported("this kernel has no BPF links for XDP".to_owned()))?;
        let link = self
            .hold_link(link, port, Hook::Xdp)
            .map_err(|error| unsupported(format!("{error:#}")))?;
        Ok(Attachment {
            mode,
            fallback: None,
            link,
            departures: None,
            arrivals: None,
        })
    }
}

/// Gives a link of XDP the program of `next`.
fn relieve_xdp(held: &mut Held, next: &mut Kernel) -> Result<()> {
    let handle = XdpLink::try_from(held.handle()?).context("the link is not one of XDP")?;
    let program = next.program()?;
    let id = program.attach_to_link(handle)?;
    let handle = own(program, id).context("the link of the new program")?;
    held.give_back(FdLink::try_from(handle).context("the link of the new program")?);
    Ok(())
}

/// Gives a link of a classifier another program. A link that takes none, such as one that somebody has
/// taken off, is to be replaced.
fn relieve_tc(held: &mut Held, program: &mut SchedClassifier) -> bool {
    let mut relieve = || -> Result<()> {
        let handle = SchedClassifierLink::try_from(held.handle()?)?;
        let id = program.attach_to_link(handle)?;
        let handle = program.take_link(id)?;
        held.give_back(FdLink::try_from(handle)?);
        Ok(())
    };
    relieve().is_ok()
}

fn hook_failed(hook: Hook, port: Port<'_>, cause: String) -> AttachError {
    let interface = port.name.to_owned();
    match hook {
        Hook::Ingress => AttachError::Arrivals { interface, cause },
        Hook::Xdp | Hook::Egress => AttachError::Departures { interface, cause },
    }
}

/// Puts a classifier on an interface.
fn classify(
    program: &mut SchedClassifier,
    name: &str,
    place: TcAttachType,
) -> Result<SchedClassifierLink, ProgramError> {
    if lacks_tcx() {
        // Classifiers need this there. It may be there already.
        let _ = qdisc_add_clsact(name);
    }
    let id = program.attach(name, place)?;
    program.take_link(id)
}

/// Whether classifiers are filters of a queueing discipline, as before tcx.
fn lacks_tcx() -> bool {
    let tcx = KernelVersion::new(6, 6, 0);
    KernelVersion::current().is_ok_and(|version| version < tcx)
}

/// Removes the programs of earlier agents that saw what leaves by an interface: filters do not end
/// with whoever made them.
pub fn remove_remains(name: &str) {
    if lacks_tcx() {
        // Mostly there are none, or the discipline they belong to is not there either.
        let _ = qdisc_detach_program(name, TcAttachType::Egress, DEPARTURES);
        let _ = qdisc_detach_program(name, TcAttachType::Ingress, ARRIVALS);
    }
}

fn own(program: &mut Xdp, id: XdpLinkId) -> Result<XdpLink, ProgramError> {
    program.take_link(id)
}

fn remedy(mode: Mode) -> &'static str {
    match mode {
        Mode::Native => "use --xdp-mode auto or generic, or see what `guard doctor` says of it",
        Mode::Generic => "see what `guard doctor` says of it",
    }
}

fn errno(error: &ProgramError) -> Option<i32> {
    match error {
        ProgramError::SyscallError(error) => error.io_error.raw_os_error(),
        _ => None,
    }
}

fn cause(error: &ProgramError) -> String {
    errno(error).map_or_else(
        || error.to_string(),
        |errno| io::Error::from_raw_os_error(errno).to_string(),
    )
}
