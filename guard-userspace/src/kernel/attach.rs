//! Attaches the program to interfaces, native where the driver can.

use std::{fs, io, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use aya::{
    maps::{Array, MapData},
    pin::PinError,
    programs::{
        ProgramError, SchedClassifier, TcAttachType, Xdp,
        links::{FdLink, PinnedLink},
        tc::{SchedClassifierLink, qdisc_add_clsact, qdisc_detach_program},
        xdp::{XdpLink, XdpLinkId, XdpMode as AyaMode},
    },
    util::KernelVersion,
};
use serde::Serialize;
use thiserror::Error;
use tracing::{error, warn};

use super::{ARRIVALS, DEPARTURES, Kernel, object};
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

/// The program on an interface. Dropping it detaches the program.
#[derive(Debug)]
pub struct Attachment {
    /// Where it runs.
    pub mode: Mode,
    /// Why it is not native although that was tried.
    pub fallback: Option<String>,
    link: Held,
    /// The program that sees what leaves, where one is needed.
    departures: Option<SchedClassifierLink>,
    /// The program that sees what passes to the stack, where one is needed.
    arrivals: Option<SchedClassifierLink>,
}

impl Attachment {
    /// Puts the program of `next` in the place of the one that runs here, at one instant.
    ///
    /// # Errors
    /// The kernel does not take it; the program that ran goes on.
    pub fn hand_over(&mut self, name: &str, next: &mut Kernel) -> Result<()> {
        let departures = next.see_departures(name)?;
        let arrivals = next.see_arrivals(name)?;
        // A second handle on the link: whatever fails, the first one keeps the program there.
        let Held::Pinned { path, .. } = &self.link else {
            bail!("the link to {name} cannot be handed over: restart guard instead");
        };
        let handle = FdLink::from(PinnedLink::from_pin(path).context("the link's pin")?);
        let handle = XdpLink::try_from(handle).context("the link is not one of XDP")?;
        let program = next.program()?;
        let id = program
            .attach_to_link(handle)
            .with_context(|| format!("replacing the program on {name}"))?;
        drop(own(program, id).context("the link of the new program")?);
        self.departures = departures;
        self.arrivals = arrivals;
        Ok(())
    }
}

/// The link that keeps a program on an interface. Dropping it detaches the program.
#[derive(Debug)]
enum Held {
    /// With a pin, by which it is handed over to the next program.
    Pinned { path: PathBuf, _link: PinnedLink },
    /// Without.
    Plain { _link: FdLink },
}

impl Held {
    fn new(link: FdLink, pin: Option<PathBuf>) -> Result<Self, PinError> {
        Ok(match pin {
            Some(path) => Self::Pinned {
                _link: link.pin(&path)?,
                path,
            },
            None => Self::Plain { _link: link },
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Self::Pinned { path, .. } = self
            && let Err(error) = fs::remove_file(&*path)
        {
            error!(%error, "the program may stay attached until guard has ended");
        }
    }
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
    /// Puts the program on the interface `name` with this `index`, the one at `position` in the
    /// configuration. With [`XdpMode::Auto`] generic mode is the fallback, said in the log.
    pub fn attach(
        &mut self,
        position: u32,
        name: &str,
        index: u32,
        wanted: XdpMode,
    ) -> Result<Attachment, AttachError> {
        self.announce(position, index)
            .map_err(|error| AttachError::Map {
                interface: name.to_owned(),
                cause: format!("{error:#}"),
            })?;
        let attachment = self.attach_wanted(name, index, wanted)?;
        // Only now is it sure that no running agent has this interface.
        remove_remains(name);
        let departures = self.see_departures(name)?;
        let arrivals = self.see_arrivals(name)?;
        Ok(Attachment {
            departures,
            arrivals,
            ..attachment
        })
    }

    /// Puts the program that sees what leaves on an interface, if one is needed.
    fn see_departures(&mut self, name: &str) -> Result<Option<SchedClassifierLink>, AttachError> {
        let program = self.departures();
        program
            .map(|program| classify(program, name, TcAttachType::Egress))
            .transpose()
            .map_err(|error| AttachError::Departures {
                interface: name.to_owned(),
                cause: cause(&error),
            })
    }

    /// Puts the program that sees what passes to the stack on an interface, if one is needed.
    fn see_arrivals(&mut self, name: &str) -> Result<Option<SchedClassifierLink>, AttachError> {
        let program = self.arrivals();
        program
            .map(|program| classify(program, name, TcAttachType::Ingress))
            .transpose()
            .map_err(|error| AttachError::Arrivals {
                interface: name.to_owned(),
                cause: cause(&error),
            })
    }

    fn attach_wanted(
        &mut self,
        name: &str,
        index: u32,
        wanted: XdpMode,
    ) -> Result<Attachment, AttachError> {
        match wanted {
            XdpMode::Native => self.attach_as(name, index, Mode::Native),
            XdpMode::Generic => self.attach_as(name, index, Mode::Generic),
            XdpMode::Auto => match self.attach_as(name, index, Mode::Native) {
                Err(AttachError::Unsupported { cause, .. }) => {
                    warn!(
                        interface = name,
                        cause, "no native XDP here: falling back to generic"
                    );
                    let attachment = self.attach_as(name, index, Mode::Generic)?;
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

    fn attach_as(&mut self, name: &str, index: u32, mode: Mode) -> Result<Attachment, AttachError> {
        let unsupported = |cause: String| AttachError::Unsupported {
            interface: name.to_owned(),
            mode: mode.name(),
            cause,
            remedy: remedy(mode),
        };
        let pin = self
            .shared
            .as_ref()
            .map(|shared| shared.path(&format!("LINK_{index}")));
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
        let link = Held::new(link, pin).map_err(|error| unsupported(error.to_string()))?;
        Ok(Attachment {
            mode,
            fallback: None,
            link,
            departures: None,
            arrivals: None,
        })
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

/// Removes the programs of killed agents that saw what leaves by an interface: filters do not end
/// with whoever made them.
fn remove_remains(name: &str) {
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
