//! What keeps a second agent out of a state folder.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, Result, bail};

/// A file for the lock alone, which is there whoever else locks the folder.
const FILE: &str = "agent.lock";

/// The lock on a state folder, for as long as this is there.
///
/// The folder itself is locked: that takes no room on a disk and nothing that can be written. The
/// file is too, where there is one or can be, for agents of earlier versions, which know only of it.
#[derive(Debug)]
pub(super) struct StateLock {
    _folder: Option<File>,
    _file: Option<File>,
}

impl StateLock {
    /// Takes the lock on a folder.
    ///
    /// # Errors
    /// Another agent has it, or this user may not read the folder.
    pub(super) fn take(folder: &Path) -> Result<Self> {
        Self::take_with(folder, make)
    }

    /// The same, of an agent that was there, if one was. Nothing is made.
    pub(super) fn take_left(folder: &Path) -> Result<Option<Self>> {
        if !folder.try_exists().unwrap_or(true) {
            return Ok(None);
        }
        Self::take_with(folder, |path| File::open(path)).map(Some)
    }

    fn take_with(folder: &Path, open: impl Fn(&Path) -> io::Result<File>) -> Result<Self> {
        let path = folder.join(FILE);
        let file = match open(&path) {
            Ok(file) => {
                let locked = file.try_lock();
                Some(held(file, locked, folder)?)
            }
            Err(error) if is_for_want_of_room(&error) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot open {}", path.display()));
            }
        };
        let opened =
            File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
        // File systems of the network may lock no folders.
        let folder_lock = match opened.try_lock() {
            Err(TryLockError::Error(_)) if file.is_some() => None,
            locked => Some(held(opened, locked, folder)?),
        };
        Ok(Self {
            _folder: folder_lock,
            _file: file,
        })
    }
}

/// Opens the file, and makes it where it is not there. To lock one that is there it need not be
/// written.
fn make(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let made = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path);
    match made {
        Err(error) if is_for_want_of_room(&error) => File::open(path),
        made => made,
    }
}

/// Whether nothing can be written there, whoever asks.
fn is_for_want_of_room(error: &io::Error) -> bool {
    let immutable = error.raw_os_error() == Some(libc::EPERM);
    immutable
        || matches!(
            error.kind(),
            io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
        )
}

/// The file, if it could be locked.
fn held(file: File, locked: Result<(), TryLockError>, folder: &Path) -> Result<File> {
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "another guard agent uses {}: stop it, or give this one folders and a socket of its \
             own with --state-dir, --bpffs and --socket",
            folder.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", folder.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn is_refused<T: std::fmt::Debug>(taken: Result<T>) {
        let error = taken.expect_err("somebody has it");
        assert!(error.to_string().contains("another guard agent uses"));
    }

    #[test]
    fn one_has_it_with_and_without_a_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let without_file = StateLock::take_with(folder.path(), |path| File::open(path));
        let without_file = without_file.expect("the folder suffices");
        assert!(!folder.path().join(FILE).exists());
        // The file can be made since, and is no way in.
        is_refused(StateLock::take(folder.path()));
        is_refused(StateLock::take_left(folder.path()));
        drop(without_file);

        let lock = StateLock::take(folder.path()).expect("nobody has it");
        assert!(folder.path().join(FILE).exists());
        is_refused(StateLock::take(folder.path()));
        is_refused(StateLock::take_left(folder.path()));
        drop(lock);
        let left = StateLock::take_left(folder.path()).expect("nobody has it");
        assert!(left.is_some());
    }

    #[test]
    fn an_agent_that_knows_only_of_the_file_is_one_too() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join(FILE), "").expect("a file");
        let file = File::open(folder.path().join(FILE)).expect("opened");
        file.try_lock().expect("locked");
        is_refused(StateLock::take(folder.path()));
        is_refused(StateLock::take_left(folder.path()));
    }

    #[test]
    fn where_there_is_no_folder_nobody_is_kept_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("missing");
        let left = StateLock::take_left(&missing).expect("nobody is there");
        assert!(left.is_none());
        assert!(!missing.exists());
    }
}
