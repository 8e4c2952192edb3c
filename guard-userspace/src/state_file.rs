//! Files in the state folder: what outlives the agent.
//!
//! A file is replaced whole or not at all, and one that cannot be read is moved aside: protection
//! goes on without it, and nothing of it is lost.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Serialize, de::DeserializeOwned};

/// Broken files of one name that are kept, at most: the last one makes room.
const KEPT_BROKEN: usize = 9;

/// A file that is there for a moment only.
const TRIAL: &str = "room.new";
/// Its bytes: one page, which is what most file systems give a file at least.
const ROOM: usize = 4096;

/// Whether a file must outlive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// It is on the disk when the call returns.
    PowerCut,
    /// It outlives the agent, and a power cut a few seconds later.
    Agent,
}

/// What was in a file.
#[derive(Debug, Default)]
pub(crate) struct Loaded<T> {
    /// What it says; the default of `T` when there is no file, or none that can be read.
    pub(crate) value: T,
    /// What there is to tell the operator, in a sentence.
    pub(crate) warning: Option<String>,
}

impl<T> Loaded<T> {
    /// What was in it without anything to tell.
    pub(crate) fn whole(value: T) -> Self {
        Self {
            value,
            warning: None,
        }
    }

    /// The same with something else for what was in it.
    pub(crate) fn map<U>(self, of: impl FnOnce(T) -> U) -> Loaded<U> {
        Loaded {
            value: of(self.value),
            warning: self.warning,
        }
    }
}

/// Reads the JSON in the file `name` of the state folder. `otherwise` says what it means when that is
/// not possible.
pub(crate) fn load<T: DeserializeOwned + Default>(
    folder: &Path,
    name: &str,
    otherwise: &str,
) -> Loaded<T> {
    load_if_there(folder, name, otherwise).map(Option::unwrap_or_default)
}

/// The same; nothing when there is no file, or none that can be read.
pub(crate) fn load_if_there<T: DeserializeOwned>(
    folder: &Path,
    name: &str,
    otherwise: &str,
) -> Loaded<Option<T>> {
    let path = folder.join(name);
    let read = match read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::default(),
        Err(error) => Err(error.to_string()),
    };
    match read {
        Ok(value) => Loaded::whole(Some(value)),
        Err(error) => Loaded {
            value: None,
            warning: Some(set_aside(&path, otherwise, &error)),
        },
    }
}

/// Reads a file of the state folder.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a regular file to be read: any other might never end.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Opening a pipe would wait for somebody to write.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = options.read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    Ok(file)
}

/// Moves a file aside that cannot be used, and says so and what it means.
pub(crate) fn set_aside(path: &Path, otherwise: &str, error: &str) -> String {
    let aside = free_name(path);
    let moved = match fs::rename(path, &aside) {
        Ok(()) => format!("it is kept as {}", aside.display()),
        Err(error) => format!("it could not be moved aside ({error})"),
    };
    let warning = format!(
        "{} cannot be read ({error}): {otherwise}; {moved}",
        path.display()
    );
    tracing::warn!("{warning}");
    warning
}

/// A name beside `path` that no other broken file has.
fn free_name(path: &Path) -> PathBuf {
    let named = |number: usize| {
        let mut name = path.as_os_str().to_owned();
        name.push(".broken");
        if number > 1 {
            name.push(format!(".{number}"));
        }
        PathBuf::from(name)
    };
    let is_free = |name: &PathBuf| fs::symlink_metadata(name).is_err();
    let free = (1..=KEPT_BROKEN).map(named).find(is_free);
    free.unwrap_or_else(|| named(KEPT_BROKEN))
}

/// Writes `value` as JSON to the file `name` of the state folder, for nobody else to read.
///
/// # Errors
/// The folder is full or cannot be written. The file says what it said before.
pub(crate) fn save<T: Serialize + ?Sized>(
    folder: &Path,
    name: &str,
    value: &T,
    lasting: Lasting,
) -> Result<()> {
    let text =
        serde_json::to_vec_pretty(value).with_context(|| format!("the content of {name}"))?;
    write(folder, name, &text, lasting)
        .with_context(|| format!("cannot write {}", folder.join(name).display()))
}

/// Replaces the file `name` of a folder.
pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8], lasting: Lasting) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let written = create(&new).and_then(|mut file| {
        file.write_all(bytes)?;
        if lasting == Lasting::PowerCut {
            file.sync_all()?;
        }
        fs::rename(&new, folder.join(name))?;
        if lasting == Lasting::PowerCut {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    });
    if written.is_err() {
        // Half a file would take the room that the next attempt needs.
        let _ = fs::remove_file(&new);
    }
    written
}

/// Tries whether there is room for a little more.
///
/// # Errors
/// The folder is full or cannot be written.
pub(crate) fn try_room(folder: &Path) -> io::Result<()> {
    let path = folder.join(TRIAL);
    let tried = create(&path).and_then(|mut file| file.write_all(&[0; ROOM]));
    match fs::remove_file(path) {
        Err(error) if tried.is_ok() => Err(error),
        _ => tried,
    }
}

/// An empty file for this user only.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    // An old one may have had another mode.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NAME: &str = "numbers.json";

    fn load_numbers(folder: &Path) -> Loaded<Vec<u32>> {
        load(folder, NAME, "there are no numbers")
    }

    #[test]
    fn what_is_saved_is_loaded_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(load_numbers(folder.path()).value, [0_u32; 0]);
        for lasting in [Lasting::PowerCut, Lasting::Agent] {
            save(folder.path(), NAME, &[1, 2, 3], lasting).expect("it can be written");
            let loaded = load_numbers(folder.path());
            assert_eq!((loaded.value, loaded.warning), (vec![1, 2, 3], None));
        }
        let metadata = fs::metadata(folder.path().join(NAME)).expect("the file");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        let files = fs::read_dir(folder.path()).expect("the folder").count();
        assert_eq!(files, 1, "nothing is left beside it");
    }

    #[test]
    fn broken_files_are_moved_aside_and_none_replaces_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        for number in 0..KEPT_BROKEN + 2 {
            fs::write(&path, format!("[{number},")).expect("a file");
            let loaded = load_numbers(folder.path());
            assert_eq!(loaded.value, [0_u32; 0]);
            let warning = loaded.warning.expect("it is told");
            assert!(warning.contains("): there are no numbers; it is kept as"));
            assert!(warning.contains("numbers.json.broken"), "{warning}");
            assert!(!path.exists());
        }
        let first = fs::read_to_string(folder.path().join("numbers.json.broken"));
        assert_eq!(first.ok().as_deref(), Some("[0,"));
        let files = fs::read_dir(folder.path()).expect("the folder").count();
        assert_eq!(files, KEPT_BROKEN);
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        let make: [fn(&Path); 3] = [
            |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("a pipe"),
            |path| fs::create_dir(path).expect("a folder"),
            |path| std::os::unix::fs::symlink("/dev/zero", path).expect("a link"),
        ];
        for make in make {
            make(&path);
            let loaded = load_numbers(folder.path());
            assert_eq!(loaded.value, [0_u32; 0]);
            assert!(loaded.warning.is_some());
            assert!(fs::symlink_metadata(&path).is_err(), "it is moved aside");
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_file() {
        let folder = tempfile::tempdir().expect("a folder");
        save(folder.path(), NAME, &[1], Lasting::PowerCut).expect("it can be written");
        // A folder in the way, for this user and for root alike.
        let way = folder.path().join(format!("{NAME}.new"));
        fs::create_dir(&way).expect("a folder");
        let error = save(folder.path(), NAME, &[2], Lasting::PowerCut).expect_err("in the way");
        assert!(
            format!("{error:#}").starts_with("cannot write "),
            "{error:#}"
        );
        assert_eq!(load_numbers(folder.path()).value, [1]);
    }
}
