//! The operator's files: read whole, and only such as nobody else can write.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::{FsFlags, fstatvfs, statvfs};

use super::units::Invalid;
use super::{MAX_FEED_BYTES, MAX_FILE_BYTES};
use crate::privileges;

/// What a file must have been left alone for: the grain of the times that file systems keep, twice.
const STILL: Duration = Duration::from_millis(20);
/// Looks at a file that is being written, [`STILL`] apart.
const ATTEMPTS: usize = 25;
/// Whoever may write in a folder may replace what is in it, but for what this bit protects.
const STICKY: u32 = 0o1000;

/// What is expected of a file.
pub(super) struct Kind {
    most_bytes: u64,
    /// What to do where it is not there, cannot be read, or is too large.
    missing: &'static str,
    unreadable: &'static str,
    shorten: &'static str,
    /// What to do where it is no regular file; nothing where any may be named, such as a pipe.
    irregular: Option<&'static str>,
    /// Permissions that nobody may have, and how they are taken.
    writers: u32,
    chmod: &'static str,
    /// Whether it must be root's or the own user's.
    owned: bool,
}

/// The configuration.
pub(super) const CONFIGURATION: Kind = Kind {
    most_bytes: MAX_FILE_BYTES,
    missing: "create it, or name another with --config",
    unreadable: "name a readable file with --config",
    shorten: "shorten it: neighbouring networks can be one larger network",
    irregular: None,
    writers: 0o022,
    chmod: "go-w",
    owned: true,
};

/// The list of a feed. Who makes it is not trusted anyway.
pub(super) const LIST: Kind = Kind {
    most_bytes: MAX_FEED_BYTES,
    missing: "put the list there, or name another; a relative path starts at the configuration file",
    unreadable: "name a readable file",
    shorten: "take a shorter list",
    irregular: Some("name the file that holds the list"),
    writers: 0o002,
    chmod: "o-w",
    owned: false,
};

/// What documents an API.
pub(super) const DOCUMENT: Kind = Kind {
    most_bytes: 16 << 20,
    missing: "put the document there, or name another; a relative path starts at the configuration \
              file",
    unreadable: "name a readable file",
    shorten: "name a document of one API",
    irregular: Some("name the file that holds the document"),
    writers: 0o002,
    chmod: "o-w",
    owned: false,
};

/// The bytes of a file, and what is wrong with who may write it.
///
/// A file that is being written is waited for, half a second at most.
pub(super) fn read(path: &Path, kind: &Kind) -> Result<(Vec<u8>, Option<Invalid>), Invalid> {
    let unreadable = |error: io::Error| unreadable(path, kind, &error);
    for _ in 0..ATTEMPTS {
        // Anew each time: it may have been replaced.
        let file = open(path, kind).map_err(unreadable)?;
        let before = file.metadata().map_err(unreadable)?;
        if !before.is_file() {
            if let Some(help) = kind.irregular {
                let message = format!("{} is no regular file", path.display());
                return Err(Invalid::new(message, help));
            }
            return Ok((read_open(&file, path, kind)?, None));
        }
        if before.len() > kind.most_bytes {
            return Err(too_large(path, kind));
        }
        if is_young(&before) {
            thread::sleep(STILL);
            continue;
        }
        let bytes = read_open(&file, path, kind)?;
        let after = file.metadata().map_err(unreadable)?;
        if is_same(&before, &after) && bytes.len() as u64 == after.len() {
            let wrong = written_by_others(path, &file, &after, kind);
            return Ok((bytes, wrong));
        }
        thread::sleep(STILL);
    }
    Err(Invalid::new(
        format!("{} is being written", path.display()),
        "wait until it is whole; whoever writes it does better to rename a new file over it",
    ))
}

fn open(path: &Path, kind: &Kind) -> io::Result<File> {
    // Opening a pipe waits for somebody to write, which is meant where a pipe may be named.
    let flags = kind.irregular.map_or(0, |_| libc::O_NONBLOCK);
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn read_open(file: &File, path: &Path, kind: &Kind) -> Result<Vec<u8>, Invalid> {
    let mut bytes = Vec::new();
    // It may grow meanwhile.
    let read = file.take(kind.most_bytes + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, kind, &error))?;
    if bytes.len() as u64 > kind.most_bytes {
        return Err(too_large(path, kind));
    }
    Ok(bytes)
}

fn unreadable(path: &Path, kind: &Kind, error: &io::Error) -> Invalid {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => Invalid::new(format!("there is no file {shown}"), kind.missing),
        io::ErrorKind::PermissionDenied if privileges::is_out_of_reach(path) => out_of_reach(path),
        io::ErrorKind::PermissionDenied => Invalid::new(
            format!("{shown} may not be read"),
            "give this user permission to read it",
        ),
        _ => Invalid::new(format!("{shown} cannot be read: {error}"), kind.unreadable),
    }
}

fn too_large(path: &Path, kind: &Kind) -> Invalid {
    Invalid::new(
        format!(
            "{} is larger than {} MiB",
            path.display(),
            kind.most_bytes >> 20
        ),
        kind.shorten,
    )
}

/// Whether it was written so lately that a further write need not show in its times.
fn is_young(metadata: &Metadata) -> bool {
    let age = metadata
        .modified()
        .ok()
        .and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age < STILL)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    let stamp = |of: &Metadata| (of.len(), of.mtime(), of.mtime_nsec());
    stamp(one) == stamp(other)
}

/// Who else could change what the file says, and how that is mended.
fn written_by_others(
    path: &Path,
    file: &File,
    metadata: &Metadata,
    kind: &Kind,
) -> Option<Invalid> {
    // Nobody writes where nothing can be written: volumes of Kubernetes are open to everybody so.
    if fstatvfs(file).is_ok_and(|system| system.flags().contains(FsFlags::ST_RDONLY)) {
        return None;
    }
    let shown = path.display();
    if metadata.mode() & kind.writers != 0 {
        let who = if metadata.mode() & 0o002 != 0 {
            "everybody"
        } else {
            "its whole group"
        };
        return Some(Invalid::new(
            format!("{shown} may be written by {who}"),
            format!(
                "`chmod {} {shown}`: who writes it decides what is dropped",
                kind.chmod
            ),
        ));
    }
    let own = nix::unistd::geteuid().as_raw();
    if kind.owned && metadata.uid() != 0 && metadata.uid() != own {
        return Some(Invalid::new(
            format!("{shown} belongs to another user, {}", metadata.uid()),
            format!("`chown root {shown}`: who owns it decides what is dropped"),
        ));
    }
    open_folder(path)
}

/// A folder above the file in which everybody may replace what is there.
fn open_folder(path: &Path) -> Option<Invalid> {
    let path = fs::canonicalize(path).ok()?;
    let is_open = |folder: &&Path| {
        let mode = fs::metadata(folder).map_or(0, |found| found.mode());
        let is_open = mode & 0o002 != 0 && mode & STICKY == 0;
        is_open && !statvfs(*folder).is_ok_and(|system| system.flags().contains(FsFlags::ST_RDONLY))
    };
    let folder = path.ancestors().skip(1).find(is_open)?.display();
    Some(Invalid::new(
        format!("in {folder} everybody may replace {}", path.display()),
        format!("`chmod o-w {folder}`, or keep the file elsewhere"),
    ))
}

/// What the agent can read no more, whoever may.
pub(super) fn out_of_reach(path: &Path) -> Invalid {
    Invalid::new(
        format!(
            "{} lies outside of the folders that guard may read since it was started",
            path.display()
        ),
        "restart guard to have it read from there too (landlock cannot be widened), or put the \
         file where the others are",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn wrong(path: &Path, kind: &Kind) -> Option<String> {
        let (_, wrong) = read(path, kind).expect("it can be read");
        wrong.map(|wrong| wrong.to_string())
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    }

    #[test]
    fn what_others_may_write_is_told_with_the_fix() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "").expect("a file");
        for (mode, configuration, list) in [
            (0o644, None, None),
            (0o600, None, None),
            (0o664, Some("chmod go-w"), None),
            (0o646, Some("chmod go-w"), Some("chmod o-w")),
            (0o666, Some("chmod go-w"), Some("chmod o-w")),
        ] {
            set_mode(&file, mode);
            for (kind, fix) in [
                (&CONFIGURATION, configuration),
                (&LIST, list),
                (&DOCUMENT, list),
            ] {
                let told = wrong(&file, kind);
                assert_eq!(told.is_some(), fix.is_some(), "{mode:o}: {told:?}");
                let fits = told.is_none_or(|told| told.contains(fix.unwrap_or_default()));
                assert!(fits, "{mode:o}");
            }
        }
        set_mode(&file, 0o644);
        for (mode, is_open) in [(0o777, true), (0o1777, false), (0o775, false)] {
            set_mode(folder.path(), mode);
            let told = wrong(&file, &CONFIGURATION);
            assert_eq!(told.is_some(), is_open, "{mode:o}: {told:?}");
        }
    }

    #[test]
    fn a_file_that_is_being_written_is_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut file = File::create(&path).expect("a file");
        let writer = thread::spawn(move || {
            for _ in 0..20 {
                file.write_all(b"0123456789").expect("it can be written");
                thread::sleep(Duration::from_millis(5));
            }
        });
        let (bytes, _) = read(&path, &CONFIGURATION).expect("it is whole in the end");
        writer.join().expect("it ends");
        assert_eq!(bytes.len(), 200);
    }

    #[test]
    fn a_file_that_never_ends_is_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut file = File::create(&path).expect("a file");
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let writer = thread::spawn(move || {
            while stopped.try_recv().is_err() {
                file.write_all(b".").expect("it can be written");
                thread::sleep(Duration::from_millis(2));
            }
        });
        let error = read(&path, &LIST).expect_err("it never ends");
        stop.send(()).expect("it listens");
        writer.join().expect("it ends");
        assert!(error.to_string().contains("is being written"), "{error}");
    }
}
