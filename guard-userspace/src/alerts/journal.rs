//! The queue's file: lines that say what came and what went, one after the other. It is written anew
//! when most of it is over.
//!
//! A line is written whole or, when the agent is killed or the disk is full, is the last one.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use tracing::{info, warn};

use crate::state_file;

/// Bytes of lines that are over, before the file is written anew.
const WASTE: u64 = 512 << 10;
/// The largest file that is read: more than is ever written.
const LARGEST: u64 = 64 << 20;

/// A file of lines.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// Bytes in the file.
    length: u64,
    /// The file does not say what it should: it is to be written anew.
    is_stale: bool,
    /// That has been said.
    is_told: bool,
    /// What there is to tell the operator of the file that was there, in a sentence.
    pub(super) warning: Option<String>,
}

impl Journal {
    /// Reads the lines there are with `read`, which says whether it knows one. A file with others is
    /// moved aside, what could be read of it is kept.
    pub(super) fn open(path: PathBuf, mut read: impl FnMut(&str) -> bool) -> Self {
        let text = read_file(&path);
        let mut journal = Self {
            path,
            length: 0,
            is_stale: false,
            is_told: false,
            warning: None,
        };
        let text = match text {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return journal,
            Err(error) => {
                journal.move_aside(&error.to_string());
                return journal;
            }
        };
        journal.length = text.len() as u64;
        let mut wrong = 0_usize;
        // What follows the last line break was never written to its end.
        let (whole, cut) = text.rsplit_once('\n').unwrap_or(("", &text));
        for line in whole.lines() {
            wrong += usize::from(!read(line));
        }
        journal.is_stale = !cut.is_empty();
        if wrong > 0 {
            journal.move_aside(&format!("{wrong} lines are not what guard wrote"));
        }
        journal
    }

    fn move_aside(&mut self, why: &str) {
        let otherwise = "alerts that wait are sent as far as they can be read";
        self.warning = Some(state_file::set_aside(&self.path, otherwise, why));
        self.length = 0;
        self.is_stale = true;
    }

    /// Adds a line. `all` are the lines that the file needs, should it be written anew; they hold
    /// this one already.
    pub(super) fn add<'l>(&mut self, line: &str, all: impl Iterator<Item = &'l str> + Clone) {
        let needed: u64 = all.clone().map(|line| line.len() as u64 + 1).sum();
        let is_waste = self.length > 2 * needed + WASTE;
        let written = if self.is_stale || is_waste {
            self.write_anew(all)
        } else {
            self.append(line)
        };
        self.tell(written);
    }

    /// What the file says does not hold any more.
    pub(super) fn forget(&mut self) {
        self.is_stale = true;
    }

    /// Writes the file anew if it does not say what it should.
    pub(super) fn mend<'l>(&mut self, all: impl Iterator<Item = &'l str>) {
        if self.is_stale {
            let written = self.write_anew(all);
            self.tell(written);
        }
    }

    /// Whether the file says what it should.
    pub(super) fn is_written(&self) -> bool {
        !self.is_stale
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let mut file = private(OpenOptions::new().append(true).create(true)).open(&self.path)?;
        // In one call: nobody is to read half of it.
        file.write_all(format!("{line}\n").as_bytes())?;
        self.length += line.len() as u64 + 1;
        Ok(())
    }

    fn write_anew<'l>(&mut self, all: impl Iterator<Item = &'l str>) -> io::Result<()> {
        let mut text = String::new();
        for line in all {
            text.push_str(line);
            text.push('\n');
        }
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let mut open = OpenOptions::new();
        let written = private(open.write(true).create(true).truncate(true))
            .open(&new)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(&new, &self.path));
        if let Err(error) = written {
            // It takes room that somebody else may need.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        self.length = text.len() as u64;
        self.is_stale = false;
        Ok(())
    }

    /// Says once that it cannot be written, and once that it can again.
    fn tell(&mut self, written: io::Result<()>) {
        match written {
            Ok(()) if self.is_told => {
                info!(file = %self.path.display(), "alerts that wait are written down again");
                self.is_told = false;
            }
            Ok(()) => {}
            Err(error) => {
                self.is_stale = true;
                if !self.is_told {
                    warn!(
                        file = %self.path.display(), %error,
                        "alerts that wait to be sent are kept in memory only, and are lost when \
                         the agent ends: see to the state folder's disk"
                    );
                    self.is_told = true;
                }
            }
        }
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600).custom_flags(libc::O_NOFOLLOW)
}

/// Reads a file that is not too large.
pub(super) fn read_file(path: &Path) -> io::Result<String> {
    let file = state_file::open(path)?;
    if file.metadata()?.len() > LARGEST {
        return Err(io::Error::other("it is larger than guard ever makes it"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
