//! The pins of the maps, by which the next agent goes on with what this one has learned.

use tracing::{error, warn};

use super::state::{Agent, Inner};

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct MapPins {
    /// Those that somebody has removed, and that were made again.
    pub(super) lost: u64,
    /// Why one could not be made again.
    unpinned: Option<String>,
}

impl Agent {
    /// Makes pins of maps again that somebody has removed. What is wrong is said once.
    pub(super) fn keep_pins(&self) {
        self.lock().keep_pins();
    }
}

impl Inner {
    /// The same.
    pub(super) fn keep_pins(&mut self) {
        let (lost, outcome) = self.kernel.mend_pins();
        let pins = &mut self.map_pins;
        pins.lost += lost;
        if lost > 0 {
            warn!(lost, "somebody removed pins of the maps: made again");
        }
        let why = outcome.err().map(|error| format!("{error:#}"));
        if let Some(why) = why
            .as_ref()
            .filter(|why| pins.unpinned.as_ref() != Some(why))
        {
            error!(
                why,
                "maps are not pinned: what they hold ends with the agent"
            );
        }
        pins.unpinned = why;
    }
}

impl MapPins {
    /// What there is to tell of them, in a sentence.
    pub(super) fn warning(&self) -> Option<String> {
        match (&self.unpinned, self.lost) {
            (Some(why), _) => Some(format!(
                "maps are not pinned any more, and cannot be pinned again, so what was learned and \
                 counted ends with the agent: {why}"
            )),
            (None, 0) => None,
            (None, lost) => Some(format!(
                "somebody has removed {lost} pins of the maps by which the next agent goes on with \
                 what was learned: they were made again"
            )),
        }
    }
}
