//! Which configuration somebody stands behind, and which one nobody does: written down, since an agent
//! may end before a trial does, and whoever starts the next one may have locked himself out.

use std::{fs, io, mem, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{
    fetching,
    reload::Configured,
    state::{Agent, Inner},
};
use crate::{
    cli::RunFlags,
    config::{Config, ConfigErrors, OnStop, STATE_DIR, Source, Style},
    state_file::{self, Lasting, Loaded},
};

/// Their file in the state folder.
const FILE: &str = "configuration.json";

/// The text of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Text {
    /// The path of the file.
    file: String,
    text: String,
}

impl Text {
    /// That of a configuration that was read from a file.
    pub(super) fn of(source: &Source, flags: &RunFlags) -> Option<Self> {
        flags.config.as_ref()?;
        Some(Self {
            file: source.name().to_owned(),
            text: source.text().to_owned(),
        })
    }

    fn configured(self, flags: &RunFlags) -> Result<Configured, ConfigErrors> {
        let mut config = Source::new(&self.file, &self.text).resolve_to_run(flags)?;
        fetching::mend_copies(&mut config, None);
        Ok(Configured::new(config, Some(self)))
    }
}

/// What is written down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Confirmed {
    /// What somebody stands behind.
    confirmed: Option<Text>,
    /// What is or was on trial after that, and nobody has confirmed.
    unconfirmed: Option<Text>,
}

impl Confirmed {
    fn load(state_dir: &Path) -> Loaded<Self> {
        let otherwise = "what nobody has confirmed is taken if it is in the configuration file";
        state_file::load(state_dir, FILE, otherwise)
    }

    /// The configuration that was confirmed last, if there is one that can be taken still.
    fn read(&self, flags: &RunFlags) -> Loaded<Option<Configured>> {
        let text = self.confirmed.clone();
        match text.map(|text| text.configured(flags)).transpose() {
            Ok(configured) => Loaded::whole(configured),
            Err(errors) => Loaded {
                value: None,
                warning: Some(format!(
                    "the configuration that was confirmed last cannot be taken any more: {}",
                    errors.render(Style::Plain).trim_end()
                )),
            },
        }
    }

    /// Whether this is what nobody has confirmed.
    fn rejects(&self, text: Option<&Text>) -> bool {
        self.unconfirmed.is_some() && self.unconfirmed.as_ref() == text
    }
}

/// The configuration that a start takes.
#[derive(Debug)]
pub struct Chosen {
    pub(super) configured: Configured,
    /// What was written down.
    pub(super) confirmed: Confirmed,
    /// What an earlier agent protected by, where the start is on trial.
    pub(super) earlier: Option<Configured>,
    /// What there is to tell of what was written down.
    pub(super) warning: Option<String>,
}

impl Chosen {
    /// That of the file and the flags; but what was on trial and nobody confirmed is not taken again by
    /// itself: then it is the one of before.
    ///
    /// # Errors
    /// Every problem of the file at once.
    pub fn of(flags: &RunFlags) -> Result<Self, ConfigErrors> {
        let source = Source::open(flags.config.as_deref())?;
        let text = Text::of(&source, flags);
        let state_dir = flags.state_dir.as_deref().unwrap_or(Path::new(STATE_DIR));
        let Loaded {
            value: confirmed,
            warning,
        } = Confirmed::load(state_dir);
        let on_trial = flags.confirm.is_some();
        // To read it may take a while, and it is to go back to only.
        let earlier = if on_trial || confirmed.rejects(text.as_ref()) {
            confirmed.read(flags)
        } else {
            Loaded::default()
        };
        let warning = warning.or(earlier.warning);
        let (configured, earlier) = match earlier.value {
            Some(earlier) if !on_trial => (earlier, None),
            earlier => (
                Configured::new(source.resolve_to_run(flags)?, text),
                earlier,
            ),
        };
        Ok(Self {
            configured,
            confirmed,
            earlier,
            warning,
        })
    }
}

fn forget(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// Those, and whether the file says so.
#[derive(Debug)]
pub(super) struct Noted {
    confirmed: Confirmed,
    is_written: bool,
    /// It was said that it cannot be written.
    is_told: bool,
}

impl Noted {
    /// What was written down.
    pub(super) fn new(confirmed: Confirmed) -> Self {
        Self {
            confirmed,
            is_written: true,
            is_told: false,
        }
    }

    /// Whether the file says so.
    pub(super) fn is_written(&self) -> bool {
        self.is_written
    }

    /// Writes down what was not. That it cannot be is said once.
    pub(super) fn keep(&mut self, config: &Config) {
        if self.is_written {
            return;
        }
        let done = if self.is_needed(config) {
            state_file::save(&config.state_dir, FILE, &self.confirmed, Lasting::PowerCut)
        } else {
            forget(&config.state_dir.join(FILE))
        };
        self.is_written = done.is_ok();
        let was_told = mem::replace(&mut self.is_told, done.is_err());
        if let Err(error) = done
            && !was_told
        {
            let error = format!("{error:#}");
            warn!(
                error,
                "which configuration is confirmed cannot be written down: until it can, a start goes by \
                 what is in the file"
            );
        }
    }

    fn note(&mut self, confirmed: Confirmed, config: &Config) {
        let is_there = config.state_dir.join(FILE).exists();
        if self.confirmed != confirmed || self.is_needed(config) != is_there {
            self.confirmed = confirmed;
            self.is_written = false;
            self.keep(config);
        }
    }

    /// What does not outlive the agent is nothing to go back to.
    fn is_needed(&self, config: &Config) -> bool {
        self.confirmed.unconfirmed.is_some() || config.on_stop == OnStop::Keep
    }

    /// Takes away what nobody needs any more, since nothing outlives the agent.
    pub(super) fn forget(&self, config: &Config) {
        if self.confirmed.unconfirmed.is_none()
            && let Err(error) = forget(&config.state_dir.join(FILE))
        {
            let error = format!("{error:#}");
            warn!(error, "a file of the agent stays behind");
        }
    }
}

impl Inner {
    /// Somebody stands behind what is in force.
    pub(super) fn note_confirmed(&mut self) {
        let confirmed = Confirmed {
            confirmed: self.rules.text.clone(),
            unconfirmed: None,
        };
        self.confirmed.note(confirmed, &self.rules.config);
    }

    /// Nobody stands behind what is in force yet, but for what was `before`.
    pub(super) fn note_tried(&mut self, before: Option<Text>) {
        // Where only a file has changed that the text names, the text says nothing of what is tried.
        let tried = self.rules.text.clone();
        let confirmed = Confirmed {
            unconfirmed: tried.filter(|tried| before.as_ref() != Some(tried)),
            confirmed: before,
        };
        self.confirmed.note(confirmed, &self.rules.config);
    }

    /// What there is to tell where what was tried is not in force.
    pub(super) fn rejection(&self) -> Option<String> {
        let rejected = self.confirmed.confirmed.unconfirmed.as_ref()?;
        let is_in_force = self.trial.is_some() || self.rules.text.as_ref() == Some(rejected);
        (!is_in_force).then(|| {
            format!(
                "nobody confirmed what {} said when it was tried last, so the configuration of before \
                 is in force: change the file, or take it as it is with `guard reload`",
                rejected.file
            )
        })
    }
}

impl Agent {
    /// Whether the file still is what nobody has confirmed.
    pub(super) fn is_rejected(&self, inner: &Inner) -> bool {
        if inner.confirmed.confirmed.unconfirmed.is_none() {
            return false;
        }
        let source = Source::open(self.flags.config.as_deref()).ok();
        let text = source.and_then(|source| Text::of(&source, &self.flags));
        inner.confirmed.confirmed.rejects(text.as_ref())
    }
}
