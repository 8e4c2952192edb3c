//! The links that keep programs on interfaces.

use std::{
    fs,
    path::{Path, PathBuf},
    thread::panicking,
};

use anyhow::{Context as _, Result};
use aya::{
    pin::PinError,
    programs::{
        links::{FdLink, LinkError, PinnedLink},
        tc::SchedClassifierLink,
    },
};
use tracing::error;

use super::place::{own_folder, remove};

/// What keeps a program on an interface. Dropping it takes the program off, [`Held::leave`] does not.
#[derive(Debug)]
pub(super) enum Held {
    /// A link. By the second handle it is given another program or a pin: whatever fails then, the
    /// first one keeps the program there.
    Link {
        link: FdLink,
        spare: Option<FdLink>,
        /// With a pin it outlives us, without one it ends with us.
        pin: Option<PathBuf>,
    },
    /// A filter, as before Linux 6.6: it outlives us when it is left.
    Filter { _link: SchedClassifierLink },
}

impl Held {
    /// Keeps `link`, for a moment or longer with a pin at `path`.
    pub(super) fn new(link: FdLink, path: &Path, lasts: bool) -> Result<Self, PinError> {
        // A defunct one may be there, of an interface that had this number before.
        let _ = fs::remove_file(path);
        let link = link.pin(path)?.into();
        let spare = pinned(path).ok();
        if !lasts {
            // A pin that stays is removed by the next agent.
            if let Err(error) = fs::remove_file(path) {
                error!(pin = %path.display(), %error, "the program may stay attached until guard is started again");
            }
        }
        Ok(Self::Link {
            link,
            spare,
            pin: lasts.then(|| path.to_owned()),
        })
    }

    /// The link that an earlier agent has pinned at `path`.
    pub(super) fn open(path: PathBuf) -> Option<Self> {
        Some(Self::Link {
            link: pinned(&path).ok()?,
            spare: pinned(&path).ok(),
            pin: Some(path),
        })
    }

    /// Sees to it that it is pinned at `path` if it shall outlive us, and is not if not.
    pub(super) fn settle(&mut self, path: &Path, lasts: bool) -> Result<()> {
        let Self::Link { spare, pin, .. } = self else {
            return Ok(());
        };
        if lasts && pin.is_none() {
            pin_anew(spare, path)?;
            *pin = Some(path.to_owned());
        } else if !lasts && let Some(path) = pin {
            remove(path).context("the link's pin")?;
            *pin = None;
        }
        Ok(())
    }

    /// Sees to it that its pin is there, if it is to have one, and still its own. Whether it was not.
    ///
    /// # Errors
    /// It cannot be told, or the pin cannot be made again: then the program ends with us.
    pub(super) fn mend(&mut self) -> Result<bool> {
        let Self::Link {
            link,
            spare,
            pin: Some(path),
        } = self
        else {
            return Ok(false);
        };
        if fs::symlink_metadata(&*path).is_ok() {
            let found = pinned(path).context("the link's pin cannot be opened")?;
            // What is pinned may be no link at all.
            if identity(&found).ok() == Some(identity(link)?) {
                spare.get_or_insert(found);
                return Ok(false);
            }
        }
        if let Some(folder) = path.parent() {
            own_folder(folder)?;
        }
        remove(path).context("what is in the place of the link's pin")?;
        pin_anew(spare, path)?;
        Ok(true)
    }

    /// A link for which there is nowhere to pin anything.
    pub(super) fn unpinned(link: FdLink) -> Self {
        Self::Link {
            link,
            spare: None,
            pin: None,
        }
    }

    /// Another handle on the link, by which it is given another program.
    pub(super) fn handle(&mut self) -> Result<FdLink> {
        match self {
            Self::Link { spare, pin, .. } => spare
                .take()
                .or_else(|| pinned(pin.as_ref()?).ok())
                .context("there is no second handle on the link: restart guard instead"),
            Self::Filter { .. } => anyhow::bail!("a filter is no link"),
        }
    }

    /// Takes the handle back.
    pub(super) fn give_back(&mut self, handle: FdLink) {
        if let Self::Link { spare, .. } = self {
            *spare = Some(handle);
        }
    }

    /// The program that the link keeps, by the kernel's number.
    pub(super) fn program_id(&self) -> Option<u32> {
        match self {
            Self::Link { link, .. } => Some(link.info().ok()?.program_id()),
            Self::Filter { .. } => None,
        }
    }

    /// Leaves the program where it is.
    pub(super) fn leave(self) {
        // Their destructors take it off; the process ends anyway.
        std::mem::forget(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What is wrong with us is no reason to protect no longer.
        if panicking() {
            return;
        }
        if let Self::Link {
            pin: Some(path), ..
        } = self
            && let Err(error) = remove(path)
        {
            error!(pin = %path.display(), %error, "the program may stay attached");
        }
    }
}

/// The link that is pinned at `path`.
fn pinned(path: &Path) -> Result<FdLink, PinError> {
    PinnedLink::from_pin(path)
        .map(FdLink::from)
        .map_err(|error| match error {
            LinkError::SyscallError(error) => PinError::SyscallError(error),
            _ => PinError::NoFd {
                name: path.display().to_string(),
            },
        })
}

/// What tells a link from others.
fn identity(link: &FdLink) -> Result<(u32, u32), LinkError> {
    let info = link.info()?;
    Ok((info.id(), info.program_id()))
}

/// Pins a link by its second handle, which comes back.
fn pin_anew(spare: &mut Option<FdLink>, path: &Path) -> Result<()> {
    let handle = spare
        .take()
        .context("there is no second handle on the link")?;
    let link = handle.pin(path).context("the link cannot be pinned")?;
    *spare = Some(link.into());
    Ok(())
}
