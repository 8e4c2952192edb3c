//! Notices that the configuration, or a file that it names, has changed.
//!
//! The kernel only hints that something happened in one of the folders. Whether it matters is told by
//! the files: what they are now is held against what they were when they were last read. So it is
//! the same whether a file is written anew, replaced, or reached by other links, as Kubernetes
//! does; and where there are no hints, looking now and then does too.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, mem,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};
use tracing::warn;

use crate::config::Config;

/// For so long nothing may change before what there is counts.
const SETTLE: Duration = Duration::from_millis(300);
/// For so long a file is waited for that somebody began to write and has not closed.
const WRITE: Duration = Duration::from_secs(5);
/// Between two looks that nothing hinted at: the kernel does not tell of other hosts' changes.
const LOOK: Duration = Duration::from_secs(30);
/// The same where it tells of none.
const LOOK_ALONE: Duration = Duration::from_secs(2);
/// Links that are followed to a file, as the kernel does.
const MOST_LINKS: usize = 40;
/// Files that are being written, of those that are remembered. Folders may hold any.
const MOST_WRITTEN: usize = 1_024;

/// What files are at one moment, by which another content of them is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

/// Device, inode, size, and the times of the last change, of the content and of anything.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

impl Stamps {
    /// Those of a configuration file and the files that it names.
    pub(super) fn of(config: Option<&Path>) -> Self {
        let files = config.map(Config::files).unwrap_or_default();
        let stamped = files.into_iter().map(|file| {
            let stamp = fs::metadata(&file).ok().map(|found| {
                let content = (found.mtime(), found.mtime_nsec());
                let anything = (found.ctime(), found.ctime_nsec());
                (found.dev(), found.ino(), found.size(), content, anything)
            });
            (file, stamp)
        });
        Self(stamped.collect())
    }
}

/// Waits for changes of a configuration file and the files that it names.
pub(super) struct FileWatch {
    config: Option<PathBuf>,
    watcher: Option<RecommendedWatcher>,
    hints: Arc<Hints>,
    folders: BTreeSet<PathBuf>,
    /// What was there at the last look, when it was something new.
    seen: Option<Stamps>,
    look_at: Instant,
}

/// What the kernel told.
#[derive(Default)]
struct Hints {
    came: Notify,
    /// Files that somebody writes, and since when.
    written: Mutex<HashMap<PathBuf, Instant>>,
}

impl FileWatch {
    /// Watches for `config`; without one there is nothing to watch.
    pub(super) fn new(config: Option<&Path>) -> Self {
        let hints = Arc::new(Hints::default());
        let teller = Arc::clone(&hints);
        let watcher = config.and_then(|_| {
            notify::recommended_watcher(move |event: notify::Result<Event>| teller.take(event))
                .inspect_err(|error| {
                    warn!(%error, "changed files are noticed two seconds late");
                })
                .ok()
        });
        let mut watch = Self {
            config: config.map(Path::to_owned),
            watcher,
            hints,
            folders: BTreeSet::new(),
            seen: None,
            look_at: Instant::now(),
        };
        watch.follow_folders();
        watch.rest();
        watch
    }

    /// Waits until the files are other than `read` says, and have been so for a moment. May be
    /// dropped and called again.
    pub(super) async fn changed(&mut self, read: impl Fn() -> Stamps) {
        if self.config.is_none() {
            std::future::pending::<()>().await;
        }
        loop {
            let came = self.hints.came.notified();
            tokio::select! {
                () = sleep_until(self.look_at) => {
                    if self.look(&read()) {
                        return;
                    }
                }
                () = came => self.look_at = self.look_at.min(Instant::now() + SETTLE),
            }
        }
    }

    /// Whether there is something to be read.
    fn look(&mut self, read: &Stamps) -> bool {
        self.follow_folders();
        let now = Stamps::of(self.config.as_deref());
        if now == *read {
            self.seen = None;
            self.rest();
            return false;
        }
        if self.seen.as_ref() == Some(&now) && !self.hints.is_writing(&now) {
            self.seen = None;
            self.rest();
            return true;
        }
        self.seen = Some(now);
        self.look_at = Instant::now() + SETTLE;
        false
    }

    fn rest(&mut self) {
        let hinted = self.watcher.is_some();
        self.look_at = Instant::now() + if hinted { LOOK } else { LOOK_ALONE };
    }

    /// Watches the folders in which files could be replaced now: others than before, when links or
    /// names have changed.
    fn follow_folders(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let files = self
            .config
            .as_deref()
            .map(Config::files)
            .unwrap_or_default();
        let folders: BTreeSet<PathBuf> = files.iter().flat_map(|file| folders_of(file)).collect();
        let old = mem::take(&mut self.folders);
        // One that is there already may be another of the same name.
        for folder in old {
            // It may be gone.
            let _ = watcher.unwatch(&folder);
        }
        for folder in folders {
            if watcher.watch(&folder, RecursiveMode::NonRecursive).is_ok() {
                self.folders.insert(folder);
            }
        }
    }
}

impl Hints {
    fn take(&self, event: notify::Result<Event>) {
        if let Ok(event) = event {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            match event.kind {
                EventKind::Access(AccessKind::Close(AccessMode::Write))
                | EventKind::Remove(_)
                | EventKind::Modify(ModifyKind::Name(_)) => {
                    for path in &event.paths {
                        written.remove(path);
                    }
                }
                // Our own reading, too.
                EventKind::Access(_) => return,
                EventKind::Modify(ModifyKind::Data(_)) => {
                    if written.len() >= MOST_WRITTEN {
                        written.clear();
                    }
                    let now = Instant::now();
                    written.extend(event.paths.into_iter().map(|path| (path, now)));
                }
                _ => {}
            }
        }
        self.came.notify_one();
    }

    /// Whether somebody has one of the files open to write it, and wrote a moment ago.
    fn is_writing(&self, files: &Stamps) -> bool {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.retain(|_, since| since.elapsed() < WRITE);
        let mut files = files
            .0
            .keys()
            .filter_map(|file| fs::canonicalize(file).ok());
        files.any(|file| written.contains_key(&file))
    }
}

/// The folders of a file and of each link on the way to it; of what is not there, the nearest one
/// that is.
fn folders_of(file: &Path) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    for _ in 0..MOST_LINKS {
        let there = path
            .ancestors()
            .skip(1)
            .find_map(|folder| fs::canonicalize(folder).ok());
        folders.extend(there);
        let (Ok(to), Some(folder)) = (fs::read_link(&path), path.parent()) else {
            break;
        };
        path = folder.join(to);
    }
    folders
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, os::unix::fs::symlink};

    use tokio::time::timeout;

    use super::*;

    /// A watch on a configuration in a folder of its own, as it is after that was read.
    struct Watched {
        folder: tempfile::TempDir,
        watch: FileWatch,
        read: Stamps,
    }

    impl Watched {
        fn new(prepare: impl FnOnce(&Path)) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            prepare(folder.path());
            let file = folder.path().join("guard.toml");
            let watch = FileWatch::new(Some(&file));
            assert!(watch.watcher.is_some(), "the kernel tells");
            let read = Stamps::of(Some(&file));
            Self {
                folder,
                watch,
                read,
            }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).expect("a file");
        }

        /// Whether a change is seen before the long look, and reads it.
        async fn sees_change(&mut self) -> bool {
            let Self { watch, read, .. } = self;
            let changed = watch.changed(|| read.clone());
            let seen = timeout(Duration::from_secs(10), changed).await.is_ok();
            *read = Stamps::of(Some(&self.folder.path().join("guard.toml")));
            seen
        }

        /// Whether nothing is to be read, for a while.
        async fn is_quiet(&mut self) -> bool {
            self.is_quiet_after(2).await
        }

        /// The same, with so many looks at most: what was hinted at before, and no look that brings
        /// about the next.
        async fn is_quiet_after(&mut self, most: u32) -> bool {
            let Self { watch, read, .. } = self;
            let looks = Cell::new(0);
            let changed = watch.changed(|| {
                looks.set(looks.get() + 1);
                read.clone()
            });
            let is_quiet = timeout(Duration::from_millis(1_500), changed)
                .await
                .is_err();
            assert!(!is_quiet || looks.get() <= most, "{} looks", looks.get());
            is_quiet
        }
    }

    #[tokio::test]
    async fn a_file_that_is_written_or_replaced_is_seen_once() {
        let mut watched = Watched::new(|folder| {
            fs::write(folder.join("guard.toml"), "").expect("a file");
        });
        assert!(watched.is_quiet().await);
        watched.write("guard.toml", "dry_run = true\n");
        assert!(watched.sees_change().await);
        assert!(watched.is_quiet().await, "reading is no change");
        watched.write("new", "dry_run = false\n");
        let path = |name| watched.folder.path().join(name);
        fs::rename(path("new"), path("guard.toml")).expect("it is replaced");
        assert!(watched.sees_change().await);
        watched.write("another", "");
        assert!(watched.is_quiet().await, "another file is none of ours");
        fs::remove_file(watched.folder.path().join("guard.toml")).expect("it is gone");
        assert!(watched.sees_change().await);
        watched.write("guard.toml", "");
        assert!(watched.sees_change().await, "it is back");
    }

    #[tokio::test]
    async fn a_folder_that_is_swapped_as_kubernetes_does_is_seen_each_time() {
        let deploy = |folder: &Path, version: &str| {
            let data = folder.join(version);
            fs::create_dir(&data).expect("a folder");
            fs::write(data.join("guard.toml"), format!("# {version}\n")).expect("a file");
            symlink(version, folder.join("..data_tmp")).expect("a link");
            fs::rename(folder.join("..data_tmp"), folder.join("..data")).expect("swapped");
        };
        let mut watched = Watched::new(|folder| {
            deploy(folder, "..1");
            symlink("..data/guard.toml", folder.join("guard.toml")).expect("a link");
        });
        for (version, old) in [("..2", "..1"), ("..3", "..2")] {
            deploy(watched.folder.path(), version);
            fs::remove_dir_all(watched.folder.path().join(old)).expect("removed");
            assert!(watched.sees_change().await, "{version}");
            assert!(watched.is_quiet().await, "{version}");
        }
    }

    #[tokio::test]
    async fn files_that_are_named_are_watched_once_they_are_named() {
        let mut watched = Watched::new(|folder| {
            fs::write(folder.join("guard.toml"), "").expect("a file");
            fs::create_dir(folder.join("lists")).expect("a folder");
        });
        watched.write("lists/drop", "192.0.2.1\n");
        assert!(watched.is_quiet().await);
        watched.write(
            "guard.toml",
            "[[feed]]\nname = \"a\"\nfile = \"lists/drop\"\n",
        );
        assert!(watched.sees_change().await);
        watched.write("lists/drop", "192.0.2.1\n192.0.2.2\n");
        assert!(watched.sees_change().await);
        watched.write("guard.toml", "");
        assert!(watched.sees_change().await);
        watched.write("lists/drop", "192.0.2.3\n");
        assert!(watched.is_quiet().await, "nobody names it");
    }

    #[tokio::test]
    async fn a_file_that_is_being_written_is_not_read_by_halves() {
        use std::io::Write as _;

        let mut watched = Watched::new(|folder| {
            fs::write(folder.join("guard.toml"), "").expect("a file");
        });
        let path = watched.folder.path().join("guard.toml");
        let mut file = fs::File::create(path).expect("a file");
        file.write_all(b"[[deny]]\n").expect("the first half");
        assert!(
            watched.is_quiet_after(6).await,
            "the writer has not closed it"
        );
        file.write_all(b"cidr = \"192.0.2.1\"\n")
            .expect("the second half");
        drop(file);
        assert!(watched.sees_change().await);
    }

    #[tokio::test]
    async fn a_busy_folder_costs_a_look_now_and_then() {
        use std::{sync::mpsc, thread};

        let mut watched = Watched::new(|folder| {
            fs::write(folder.join("guard.toml"), "").expect("a file");
        });
        let other = watched.folder.path().join("other");
        let (stop, stopped) = mpsc::channel::<()>();
        let busy = thread::spawn(move || {
            while stopped.try_recv().is_err() {
                fs::write(&other, "x").expect("a file");
                thread::sleep(Duration::from_millis(1));
            }
        });
        assert!(
            watched.is_quiet_after(6).await,
            "nothing of ours has changed"
        );
        watched.write("guard.toml", "dry_run = true\n");
        assert!(watched.sees_change().await, "in the midst of it");
        stop.send(()).expect("it listens");
        busy.join().expect("it ends");
    }

    #[tokio::test]
    async fn without_the_kernels_hints_changes_are_seen_too() {
        let mut watched = Watched::new(|folder| {
            fs::write(folder.join("guard.toml"), "").expect("a file");
        });
        watched.watch.watcher = None;
        watched.watch.rest();
        watched.write("guard.toml", "dry_run = true\n");
        assert!(watched.sees_change().await);
        assert!(watched.is_quiet().await);
    }
}
