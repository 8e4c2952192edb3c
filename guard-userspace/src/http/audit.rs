//! The audit log: who asked the running agent for which change, and what became of it.
//!
//! Two lines of JSON a change, in the state folder: one before it is made, so that no change is made
//! that is not written down, and one with the outcome. The file is opened for each line: whoever
//! moves it away, as for keeping it elsewhere, finds the next line in a new one. What somebody asks
//! for who may change nothing is one line, and such lines are paced.

mod pace;

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use jiff::Timestamp;
use serde::Serialize;

use self::pace::Pace;
use super::peer::Peer;
use crate::printable;

/// The file, in the state folder.
pub(crate) const FILE: &str = "audit.log";
/// What was in it before.
const OLD_FILE: &str = "audit.log.1";
/// The largest file, in bytes; there is an old one beside it.
const MAX_BYTES: u64 = 4 << 20;
/// Characters of a request that are written down.
const REQUEST_CHARS: usize = 1_024;
/// Characters of an outcome that are written down.
const OUTCOME_CHARS: usize = 512;

/// Writes the audit log.
#[derive(Debug)]
pub(crate) struct Audit {
    file: PathBuf,
    old: PathBuf,
    next: AtomicU64,
    refusals: Mutex<Pace>,
}

/// A change that was asked for.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) peer: Peer,
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    pub(super) body: &'a [u8],
}

/// The line before a change.
#[derive(Serialize)]
struct RequestLine<'a> {
    time: String,
    /// With the same one in the line of the outcome; unique in one run of the agent.
    id: u64,
    agent_pid: u32,
    event: &'static str,
    uid: u32,
    gid: u32,
    pid: Option<i32>,
    method: &'a str,
    path: &'a str,
    /// Its start, escaped.
    request: &'a str,
    request_bytes: usize,
}

/// The line after it.
#[derive(Serialize)]
struct OutcomeLine<'a> {
    time: String,
    id: u64,
    agent_pid: u32,
    event: &'static str,
    status: u16,
    outcome: &'a str,
}

/// The line of a change that somebody asked for who may change nothing.
#[derive(Serialize)]
struct RefusedLine<'a> {
    #[serde(flatten)]
    asked: RequestLine<'a>,
    status: u16,
    /// Refusals since the last such line that have none.
    left_out: u64,
}

/// A change that is written down, and whose outcome is to be.
#[derive(Debug)]
pub(super) struct Noted {
    id: u64,
    peer: Peer,
    method: String,
    path: String,
    request: String,
}

impl Audit {
    /// The audit log in this state folder.
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self {
            file: state_dir.join(FILE),
            old: state_dir.join(OLD_FILE),
            next: AtomicU64::new(1),
            refusals: Mutex::new(Pace::new(Instant::now())),
        }
    }

    /// Writes down what is asked for.
    ///
    /// # Errors
    /// It cannot be written down; [`Noted`] is still what the outcome is logged with.
    pub(super) fn request(&self, asked: &Asked<'_>) -> (Noted, io::Result<()>) {
        let noted = self.note(asked);
        let written = self.write(&noted.line("request", asked));
        (noted, written)
    }

    /// Writes down, and logs, that somebody who may change nothing was refused with `status`. Not each
    /// time, when it comes often: the next line says how many have none.
    pub(super) fn refused(&self, asked: &Asked<'_>, status: u16) {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = refusals.next(Instant::now()) else {
            return;
        };
        drop(refusals);
        let noted = self.note(asked);
        let Peer { uid, gid, pid, .. } = noted.peer;
        tracing::warn!(
            event = "audit",
            uid,
            gid,
            pid,
            path = noted.path,
            left_out,
            outcome = "forbidden",
            "a change was asked for"
        );
        let written = self.write(&RefusedLine {
            asked: noted.line("refused", asked),
            status,
            left_out,
        });
        if let Err(error) = written {
            tracing::error!(file = %self.file.display(), %error, "the audit log lacks a refusal");
        }
    }

    /// What is written down of what is asked for.
    fn note(&self, asked: &Asked<'_>) -> Noted {
        Noted {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            peer: asked.peer,
            method: printable::start(asked.method, REQUEST_CHARS),
            path: printable::start(asked.path, REQUEST_CHARS),
            request: start_of(asked.body),
        }
    }

    /// Writes down, and logs, what became of it.
    pub(super) fn outcome(&self, noted: &Noted, status: u16, outcome: &str) {
        let outcome = printable::start(outcome, OUTCOME_CHARS);
        let Noted {
            id,
            peer,
            method,
            path,
            request,
        } = noted;
        let (uid, gid, pid) = (peer.uid, peer.gid, peer.pid);
        tracing::info!(
            event = "audit",
            uid,
            gid,
            pid,
            method,
            path,
            request,
            status,
            outcome,
            "a change was asked for"
        );
        let written = self.write(&OutcomeLine {
            time: now(),
            id: *id,
            agent_pid: std::process::id(),
            event: "outcome",
            status,
            outcome: &outcome,
        });
        if let Err(error) = written {
            tracing::error!(file = %self.file.display(), %error, "the audit log lacks an outcome");
        }
    }

    /// Adds a line, or nothing of it.
    fn write(&self, line: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(line)?;
        line.push(b'\n');
        let mut file = self.open()?;
        let mut before = file.metadata()?.len();
        if before > 0 && before + line.len() as u64 > MAX_BYTES {
            fs::rename(&self.file, &self.old)?;
            file = self.open()?;
            before = file.metadata()?.len();
        }
        file.write_all(&line).inspect_err(|_| {
            // Half a line would spoil the next one. Where that fails too, so will the next line.
            let _ = file.set_len(before);
        })
    }

    fn open(&self) -> io::Result<fs::File> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            // Whatever is in its place: it is not followed, and not waited for.
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&self.file)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        Ok(file)
    }

    /// The file, for whoever has to be told of it.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }
}

impl Noted {
    fn line<'a>(&'a self, event: &'static str, asked: &Asked<'_>) -> RequestLine<'a> {
        RequestLine {
            time: now(),
            id: self.id,
            agent_pid: std::process::id(),
            event,
            uid: self.peer.uid,
            gid: self.peer.gid,
            pid: self.peer.pid,
            method: &self.method,
            path: &self.path,
            request: &self.request,
            request_bytes: asked.body.len(),
        }
    }
}

/// The start of a body, escaped. A character has up to four bytes.
fn start_of(body: &[u8]) -> String {
    let start = &body[..body.len().min(4 * REQUEST_CHARS + 4)];
    printable::start(&String::from_utf8_lossy(start), REQUEST_CHARS)
}

fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::Value;

    use super::*;

    const PEER: Peer = Peer {
        uid: 1,
        gid: 2,
        pid: Some(3),
        may_change: true,
    };

    fn ask(audit: &Audit, body: &[u8]) -> io::Result<()> {
        let asked = Asked {
            peer: PEER,
            method: "POST",
            path: "/v1/a\u{1b}[2J",
            body,
        };
        let (noted, written) = audit.request(&asked);
        audit.outcome(&noted, 422, "no\nnew line \u{9b}2J");
        written
    }

    fn lines(path: &Path) -> Vec<Value> {
        let text = fs::read_to_string(path).expect("the log");
        assert!(
            !text.chars().any(|c| c != '\n' && printable::is_obeyed(c)),
            "{text}"
        );
        let lines = text.lines().map(serde_json::from_str);
        lines.collect::<Result<_, _>>().expect("JSON")
    }

    #[test]
    fn who_asked_for_what_and_what_became_of_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = Audit::new(folder.path());
        ask(&audit, b"{\"a\":\"\x1b]0;\x07\n\xff\"}").expect("it is written");
        let file = folder.path().join(FILE);
        let mode = fs::metadata(&file).expect("the log").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let lines = lines(&file);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["uid"], 1);
        assert_eq!(lines[0]["gid"], 2);
        assert_eq!(lines[0]["pid"], 3);
        assert_eq!(lines[0]["path"], "/v1/a\\u{1b}[2J");
        assert_eq!(
            lines[0]["request"],
            "{\"a\":\"\\u{1b}]0;\\u{7}\\n\u{fffd}\"}"
        );
        assert_eq!(lines[0]["request_bytes"], 15);
        assert_eq!(lines[1]["status"], 422);
        assert_eq!(lines[1]["outcome"], "no\\nnew line \\u{9b}2J");
        assert_eq!(lines[0]["id"], lines[1]["id"]);
    }

    #[test]
    fn requests_are_cut_and_files_make_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = Audit::new(folder.path());
        let body = vec![0x1b; 1 << 20];
        let most = 2 * MAX_BYTES;
        for _ in 0..1_000 {
            ask(&audit, &body).expect("it is written");
        }
        let mut names = Vec::new();
        let mut bytes = 0;
        for entry in fs::read_dir(folder.path()).expect("the folder") {
            let entry = entry.expect("an entry");
            bytes += entry.metadata().expect("its length").len();
            names.push(entry.file_name());
            assert!(lines(&entry.path()).len() > 1);
        }
        names.sort();
        assert_eq!(names, [FILE, OLD_FILE]);
        assert!(bytes > MAX_BYTES && bytes <= most, "{bytes}");
    }

    #[test]
    fn who_is_refused_is_written_down_and_pushes_nobody_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = Audit::new(folder.path());
        ask(&audit, b"{}").expect("it is written");
        let stranger = Asked {
            peer: Peer {
                may_change: false,
                ..PEER
            },
            method: "POST",
            path: "/v1/\u{1b}[2J",
            body: &vec![0x1b; 1 << 20],
        };
        for _ in 0..100_000 {
            audit.refused(&stranger, 403);
        }
        let lines = lines(&folder.path().join(FILE));
        assert_eq!(lines[1]["event"], "outcome", "of who may");
        let refused = &lines[2..];
        assert_eq!(refused.len(), pace::BURST as usize);
        for line in refused {
            assert_eq!(line["event"], "refused");
            assert_eq!((&line["uid"], &line["gid"]), (&1.into(), &2.into()));
            assert_eq!(line["path"], "/v1/\\u{1b}[2J");
            assert_eq!(line["request_bytes"], 1 << 20);
            assert_eq!(
                (&line["status"], &line["left_out"]),
                (&403.into(), &0.into())
            );
        }
        assert!(!folder.path().join(OLD_FILE).exists());
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let audit = Audit::new(&folder.path().join("missing"));
        assert!(ask(&audit, b"").is_err());
        // Neither a device nor what a link leads to is written to.
        let elsewhere = folder.path().join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(FILE)).expect("a link");
        assert!(ask(&Audit::new(folder.path()), b"").is_err());
        assert!(!elsewhere.exists());
    }
}
