//! A state folder that is full or cannot be written: the agent protects without it, says what that
//! costs, and makes up for it when there is room again.

use std::path::{Path, PathBuf};

use tracing::{info, warn};

use super::state::Agent;
use crate::{redact::Key, state_file};

/// Whether there is room in the state folder.
#[derive(Debug, Default)]
pub(super) struct Room {
    folder: PathBuf,
    /// The key that tells credentials apart, for as long as no file holds it.
    key: Option<Key>,
    /// Why nothing can be written, for as long as that is so.
    fault: Option<String>,
}

impl Room {
    /// That in `folder`, which is to hold this key.
    pub(super) fn of(folder: &Path, key: &Key) -> Self {
        let mut room = Self {
            folder: folder.to_owned(),
            key: Some(key.clone()),
            fault: None,
        };
        room.look();
        room
    }

    /// Tries whether something can be written. That it cannot be is said once.
    fn look(&mut self) {
        let folder = &self.folder;
        self.key.take_if(|key| key.is_kept(folder));
        let tried = state_file::try_room(folder)
            .and_then(|()| self.key.as_ref().map_or(Ok(()), |key| key.keep(folder)));
        let before = self.fault.take();
        match tried {
            Ok(()) => {
                self.key = None;
                if before.is_some() {
                    info!(folder = %folder.display(), "the state folder can be written again");
                }
            }
            Err(error) => {
                let why = error.to_string();
                let is_told = before.as_ref() == Some(&why);
                self.fault = Some(why);
                if let Some(warning) = self.warning().filter(|_| !is_told) {
                    warn!("{warning}");
                }
            }
        }
    }

    /// What there is to tell of it, in a sentence.
    pub(super) fn warning(&self) -> Option<String> {
        let why = self.fault.as_ref()?;
        let marks = if self.key.is_some() {
            ", marks of credentials change with it"
        } else {
            ""
        };
        Some(format!(
            "nothing can be written to the state folder {} ({why}): new bans and what was learned and \
             counted may be lost with the next start{marks}, and lists cannot be changed, since neither \
             entries nor the audit log can be written; it is tried again each second",
            self.folder.display()
        ))
    }
}

impl Agent {
    /// Minds this from now on.
    pub(super) fn mind_room(&self, room: Room) {
        self.lock().room = room;
    }

    /// Looks whether there is room again, or none any more, where something says so.
    pub(super) fn look_for_room(&self) {
        let inner = &mut *self.lock();
        let is_unwritten = inner.bans_unsaved || !inner.is_deeded || !inner.confirmed.is_written();
        if inner.room.fault.is_some() || is_unwritten {
            inner.room.look();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_could_not_be_written_is_when_there_is_room() {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = parent.path().join("state");
        let key = Key::random().expect("a key");
        let mut room = Room::of(&folder, &key);
        let warning = room.warning().expect("there is no such folder");
        assert!(warning.contains("marks of credentials"), "{warning}");
        fs::create_dir(&folder).expect("a folder");
        room.look();
        assert_eq!(room.warning(), None);
        let kept = Key::load(&folder).expect("a key").value;
        assert!(kept == key, "the file holds it");
        let files = fs::read_dir(&folder).expect("the folder").count();
        assert_eq!(files, 1, "nothing else is left");
    }
}
