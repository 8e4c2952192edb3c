//! Lists that are fetched, and the copies of them in the state folder.
//!
//! What a server sends is hostile until it was read: it goes to a draft, and only a list that is one
//! takes the place of the copy. So a restart has the last good list at once, whatever has become of
//! the server.

mod fetch;
mod schedule;

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub(crate) use self::fetch::{Fetched, Order, fetch};
pub(crate) use self::schedule::Due;
use crate::{
    config::copy_name,
    state_file::{self, Lasting, Loaded},
};

/// Their folder in the state folder.
const FOLDER: &str = "feeds";
/// By how much a list may grow at once: so many times, and so many entries more.
const GROWTH: (usize, usize) = (10, 100_000);

/// Whether a list of `listed` entries grows suddenly to one of `entries`. One that was never there
/// may be of any length.
pub(crate) fn grows_suddenly(listed: usize, entries: usize) -> bool {
    let (times, more) = GROWTH;
    listed > 0 && entries > listed.saturating_mul(times).saturating_add(more)
}

/// What there is to say of such a list.
pub(crate) fn sudden_growth(name: &str, listed: usize, entries: usize) -> String {
    format!(
        "the feed {name} has grown from {listed} entries to {entries}: if that is meant, `guard \
         reload --force`"
    )
}

/// Where a copy comes from, and what the server wants to be told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    /// A mark of the address, which may hold secrets.
    pub(crate) address: u64,
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
    /// When the server last said that this is the list, in seconds since 1970.
    pub(crate) fetched: u64,
}

/// The copies of fetched lists.
#[derive(Clone, Debug)]
pub(crate) struct Copies(PathBuf);

impl Copies {
    /// Those in a state folder.
    pub(crate) fn of(state_dir: &Path) -> Self {
        Self(state_dir.join(FOLDER))
    }

    /// Makes their folder.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
    }

    /// The copy of a feed.
    pub(crate) fn copy(&self, feed: &str) -> PathBuf {
        self.0.join(copy_name(feed))
    }

    /// Where a list is written while it comes.
    pub(crate) fn draft(&self, feed: &str) -> PathBuf {
        self.0.join(format!("{feed}.draft"))
    }

    /// Where one waits that the operator has to say yes to.
    pub(crate) fn held(&self, feed: &str) -> PathBuf {
        self.0.join(format!("{feed}.held"))
    }

    fn old(&self, feed: &str) -> PathBuf {
        self.0.join(format!("{feed}.old"))
    }

    /// What is known of a copy.
    pub(crate) fn about(&self, feed: &str) -> Option<About> {
        fs::symlink_metadata(self.copy(feed)).ok()?;
        let about: Loaded<Option<About>> =
            state_file::load(&self.0, &about_name(feed), "the list is fetched anew");
        about.value
    }

    /// Notes what is known of a copy.
    pub(crate) fn note(&self, feed: &str, about: &About) -> anyhow::Result<()> {
        state_file::save(&self.0, &about_name(feed), about, Lasting::PowerCut)
    }

    /// Puts a list in the place of the copy, which can be put back until it is let go.
    pub(crate) fn swap_in(&self, feed: &str, list: &Path) -> io::Result<()> {
        // What was known is not of this one.
        remove(&self.0.join(about_name(feed)))?;
        match fs::rename(self.copy(feed), self.old(feed)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(list, self.copy(feed))
    }

    /// Puts the old copy back; without one there is none again.
    pub(crate) fn swap_back(&self, feed: &str) -> io::Result<()> {
        match fs::rename(self.old(feed), self.copy(feed)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => remove(&self.copy(feed)),
            done => done,
        }
    }

    /// Puts the old copy back, and holds back again what was in its place.
    pub(crate) fn hold_back(&self, feed: &str) -> io::Result<()> {
        fs::rename(self.copy(feed), self.held(feed))?;
        self.swap_back(feed)
    }

    /// Lets the old copy go.
    pub(crate) fn settle(&self, feed: &str) -> io::Result<()> {
        remove(&self.old(feed))?;
        remove(&self.held(feed))
    }
}

fn about_name(feed: &str) -> String {
    format!("{feed}.json")
}

/// Removes a file that may not be there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(path: &Path) -> Option<String> {
        fs::read_to_string(path).ok()
    }

    #[test]
    fn a_copy_is_swapped_and_put_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let copies = Copies::of(folder.path());
        copies.prepare().expect("a folder");
        let bring = |text: &str| {
            fs::write(copies.draft("a"), text).expect("a draft");
            copies.swap_in("a", &copies.draft("a")).expect("swapped");
        };
        bring("first");
        copies.swap_back("a").expect("there was none");
        assert_eq!(says(&copies.copy("a")), None);
        bring("second");
        copies.settle("a").expect("it stays");
        let about = About {
            etag: Some("\"2\"".to_owned()),
            ..About::default()
        };
        copies.note("a", &about).expect("it is noted");
        assert_eq!(copies.about("a"), Some(about));
        bring("third");
        assert_eq!(copies.about("a"), None, "it was of another list");
        copies.swap_back("a").expect("put back");
        assert_eq!(says(&copies.copy("a")).as_deref(), Some("second"));
        assert_eq!(copies.about("a"), None, "the server is asked for all of it");
        let files = fs::read_dir(folder.path().join(FOLDER)).expect("the folder");
        assert_eq!(files.count(), 1, "nothing else is left");
    }

    #[test]
    fn sudden_growth_is_ten_times_and_a_hundred_thousand_more() {
        for (listed, entries, sudden) in [
            (0, 10_000_000, false),
            (1, 100_010, false),
            (1, 100_011, true),
            (50_000, 600_000, false),
            (50_000, 600_001, true),
            (usize::MAX, usize::MAX, false),
        ] {
            assert_eq!(
                grows_suddenly(listed, entries),
                sudden,
                "{listed} to {entries}"
            );
        }
    }
}
