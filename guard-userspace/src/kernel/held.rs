//! The links that keep programs on interfaces.

use std::{
    path::{Path, PathBuf},
    thread::panicking,
};

use anyhow::{Context as _, Result};
use aya::{
    pin::PinError,
    programs::{
        links::{FdLink, PinnedLink},
        tc::SchedClassifierLink,
    },
};
use tracing::error;

/// What keeps a program on an interface. Dropping it takes the program off, [`Held::leave`] does not.
#[derive(Debug)]
pub(super) enum Held {
    /// A link with a pin, which outlives us.
    Pinned { path: PathBuf, _link: PinnedLink },
    /// A link that ends with us. By the second handle it is given another program: whatever fails
    /// then, the first one keeps the program there.
    Plain { link: FdLink, spare: Option<FdLink> },
    /// A filter, as before Linux 6.6: it outlives us when it is left.
    Filter { _link: SchedClassifierLink },
}

impl Held {
    /// Keeps `link`, for a moment or longer with a pin at `path`.
    pub(super) fn new(link: FdLink, path: &Path, lasts: bool) -> Result<Self, PinError> {
        // A defunct one may be there, of an interface that had this number before.
        let _ = std::fs::remove_file(path);
        let link = link.pin(path)?;
        if lasts {
            return Ok(Self::Pinned {
                path: path.to_owned(),
                _link: link,
            });
        }
        let spare = PinnedLink::from_pin(path).ok().map(FdLink::from);
        // A pin that stays is removed by the next agent.
        if let Err(error) = std::fs::remove_file(path) {
            error!(pin = %path.display(), %error, "the program may stay attached until guard is started again");
        }
        Ok(Self::Plain {
            link: link.into(),
            spare,
        })
    }

    /// The link that an earlier agent has pinned at `path`.
    pub(super) fn open(path: PathBuf) -> Option<Self> {
        let link = PinnedLink::from_pin(&path).ok()?;
        Some(Self::Pinned { path, _link: link })
    }

    /// Sees to it that it is pinned at `path` if it shall outlive us, and is not if not.
    pub(super) fn settle(&mut self, path: &Path, lasts: bool) -> Result<()> {
        match self {
            Self::Plain { spare, .. } if lasts => {
                let spare = spare
                    .take()
                    .context("there is no second handle on the link")?;
                let link = spare.pin(path).context("the link cannot be pinned")?;
                *self = Self::Pinned {
                    path: path.to_owned(),
                    _link: link,
                };
            }
            Self::Pinned { path, .. } if !lasts => {
                let handle = || PinnedLink::from_pin(&*path).context("the link's pin");
                let (link, spare) = (handle()?.into(), Some(handle()?.into()));
                // The pin goes with what was here.
                *self = Self::Plain { link, spare };
            }
            _ => {}
        }
        Ok(())
    }

    /// A link for which there is nowhere to pin anything.
    pub(super) fn unpinned(link: FdLink) -> Self {
        Self::Plain { link, spare: None }
    }

    /// Another handle on the link, by which it is given another program.
    pub(super) fn handle(&mut self) -> Result<FdLink> {
        match self {
            Self::Pinned { path, .. } => {
                let link = PinnedLink::from_pin(&*path).context("the link's pin")?;
                Ok(link.into())
            }
            Self::Plain { spare, .. } => spare
                .take()
                .context("there is no second handle on the link: restart guard instead"),
            Self::Filter { .. } => anyhow::bail!("a filter is no link"),
        }
    }

    /// Takes the handle back.
    pub(super) fn give_back(&mut self, handle: FdLink) {
        if let Self::Plain { spare, .. } = self {
            *spare = Some(handle);
        }
    }

    /// The program that the link keeps, by the kernel's number.
    pub(super) fn program_id(&self) -> Option<u32> {
        let info = match self {
            // A pinned link shows it only by another handle.
            Self::Pinned { path, .. } => FdLink::from(PinnedLink::from_pin(path).ok()?).info(),
            Self::Plain { link, .. } => link.info(),
            Self::Filter { .. } => return None,
        };
        Some(info.ok()?.program_id())
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
        if let Self::Pinned { path, .. } = self
            && let Err(error) = std::fs::remove_file(&*path)
        {
            error!(pin = %path.display(), %error, "the program may stay attached");
        }
    }
}
