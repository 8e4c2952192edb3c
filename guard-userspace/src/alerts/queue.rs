//! Messages that wait to be sent: a bounded number of them, in memory and in a file.

use std::{
    collections::{BTreeSet, VecDeque},
    path::Path,
};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{journal::Journal, message::Message};

/// Its file in the state folder.
pub(super) const FILE: &str = "alerts-queue.jsonl";
/// Messages that wait, at most.
pub(super) const CAPACITY: usize = 1_000;
/// Their bytes, at most.
pub(super) const CAPACITY_BYTES: usize = 4 << 20;

/// What tells a receiver from others, in the file too: a hash, since addresses may hold secrets.
pub(super) type ReceiverId = String;

/// The queue. The oldest message makes room for a new one.
#[derive(Debug)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    journal: Journal,
    next: u64,
    dropped: Dropped,
}

/// Messages that were never delivered, by why.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dropped {
    /// They made room for others.
    pub(super) full: u64,
    /// A receiver took them for wrong.
    pub(super) refused: u64,
    /// Nobody is to have them any more.
    pub(super) unclaimed: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    waiting: BTreeSet<ReceiverId>,
    /// The line of the file that it is.
    line: Box<str>,
}

/// A line of the file.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    /// A message came.
    Add {
        number: u64,
        waiting: BTreeSet<ReceiverId>,
        message: Message,
    },
    /// A receiver has it.
    Done { number: u64, receiver: ReceiverId },
    /// It made room for others.
    Drop { number: u64 },
}

impl Queue {
    /// What an earlier agent left.
    pub(super) fn load(folder: &Path) -> Self {
        let mut entries = VecDeque::new();
        let journal = Journal::open(folder.join(FILE), |text| {
            let line = serde_json::from_str(text);
            line.map(|line| replay(&mut entries, line, text)).is_ok()
        });
        let bytes = entries.iter().map(|entry| entry.line.len()).sum();
        let last = entries.iter().map(|entry| entry.number).max();
        let mut queue = Self {
            entries,
            bytes,
            journal,
            next: last.map_or(0, |last| last.wrapping_add(1)),
            dropped: Dropped::default(),
        };
        queue.make_room(0, 0);
        queue.mend();
        queue
    }

    /// Adds a message that these receivers are to have.
    pub(super) fn push(&mut self, waiting: BTreeSet<ReceiverId>, message: Message) {
        if waiting.is_empty() {
            return;
        }
        let number = self.next;
        let line = Line::Add {
            number,
            waiting: waiting.clone(),
            message,
        };
        let line = written(&line);
        if line.len() > CAPACITY_BYTES {
            self.dropped.full += 1;
            return;
        }
        self.next += 1;
        self.make_room(1, line.len());
        self.bytes += line.len();
        self.entries.push_back(Entry {
            number,
            waiting,
            line: line.clone(),
        });
        self.note(&line);
    }

    /// The oldest message that waits for a receiver.
    pub(super) fn next(&self, receiver: &str) -> Option<(u64, Message)> {
        let mut waiting = self
            .entries
            .iter()
            .filter(|entry| entry.waiting.contains(receiver));
        let entry = waiting.next()?;
        // It was written by us, or read as such.
        match serde_json::from_str(&entry.line).ok()? {
            Line::Add { message, .. } => Some((entry.number, message)),
            Line::Done { .. } | Line::Drop { .. } => None,
        }
    }

    /// A receiver has a message.
    pub(super) fn done(&mut self, number: u64, receiver: &str) {
        if self.settle(number, receiver) {
            self.note(&written(&Line::Done {
                number,
                receiver: receiver.to_owned(),
            }));
        }
    }

    /// A receiver takes a message for wrong, and would each time.
    pub(super) fn refused(&mut self, number: u64, receiver: &str) {
        self.dropped.refused += 1;
        self.done(number, receiver);
    }

    /// From now on there are these receivers. What waits for others goes to those that were not there
    /// before, if there are any.
    pub(super) fn serve(&mut self, old: &BTreeSet<ReceiverId>, new: &BTreeSet<ReceiverId>) {
        let heirs: BTreeSet<ReceiverId> = new.difference(old).cloned().collect();
        let mut unclaimed = 0;
        let mut is_changed = false;
        for entry in &mut self.entries {
            let known = entry.waiting.intersection(new).cloned();
            let mut waiting: BTreeSet<ReceiverId> = known.collect();
            if waiting.len() == entry.waiting.len() {
                continue;
            }
            waiting.extend(heirs.iter().cloned());
            unclaimed += u64::from(waiting.is_empty());
            entry.readdress(waiting);
            is_changed = true;
        }
        if !is_changed {
            return;
        }
        self.entries.retain(|entry| !entry.waiting.is_empty());
        self.bytes = self.entries.iter().map(|entry| entry.line.len()).sum();
        self.dropped.unclaimed += unclaimed;
        if unclaimed > 0 {
            warn!(
                messages = unclaimed,
                "alerts that waited for a receiver that is not configured any more are dropped"
            );
        }
        self.journal.forget();
        self.mend();
    }

    /// Writes down what could not be written before.
    pub(super) fn mend(&mut self) {
        let lines = self.entries.iter().map(|entry| &*entry.line);
        self.journal.mend(lines);
    }

    /// Messages that wait for a receiver.
    pub(super) fn waiting(&self, receiver: &str) -> u64 {
        let entries = self.entries.iter();
        entries
            .filter(|entry| entry.waiting.contains(receiver))
            .count() as u64
    }

    /// Messages that wait for anybody.
    pub(super) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    /// Messages that were never delivered.
    pub(super) fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// What there is to tell of the file that was there.
    pub(super) fn warning(&self) -> Option<&str> {
        self.journal.warning.as_deref()
    }

    /// Whether the file says what waits.
    pub(super) fn is_written(&self) -> bool {
        self.journal.is_written()
    }

    fn make_room(&mut self, messages: usize, bytes: usize) {
        let mut dropped = 0_u64;
        while self.entries.len() + messages > CAPACITY || self.bytes + bytes > CAPACITY_BYTES {
            let Some(oldest) = self.entries.pop_front() else {
                break;
            };
            self.bytes -= oldest.line.len();
            let number = oldest.number;
            self.note(&written(&Line::Drop { number }));
            dropped += 1;
        }
        if dropped > 0 && self.dropped.full == 0 {
            warn!("alerts wait that nobody takes: from now on the oldest make room for new ones");
        }
        self.dropped.full += dropped;
    }

    fn settle(&mut self, number: u64, receiver: &str) -> bool {
        let is_it = |entry: &Entry| entry.number == number;
        let Some(position) = self.entries.iter().position(is_it) else {
            return false;
        };
        let Some(entry) = self.entries.get_mut(position) else {
            return false;
        };
        let mut waiting = entry.waiting.clone();
        let was_waiting = waiting.remove(receiver);
        self.bytes -= entry.line.len();
        if waiting.is_empty() {
            self.entries.remove(position);
        } else {
            entry.readdress(waiting);
            self.bytes += entry.line.len();
        }
        was_waiting
    }

    fn note(&mut self, line: &str) {
        let all = self.entries.iter().map(|entry| &*entry.line);
        self.journal.add(line, all);
    }
}

impl Entry {
    fn readdress(&mut self, waiting: BTreeSet<ReceiverId>) {
        if let Ok(Line::Add {
            number, message, ..
        }) = serde_json::from_str(&self.line)
        {
            self.line = written(&Line::Add {
                number,
                waiting: waiting.clone(),
                message,
            });
        }
        self.waiting = waiting;
    }
}

/// Does what a line of the file says.
fn replay(entries: &mut VecDeque<Entry>, line: Line, text: &str) {
    match line {
        Line::Add {
            number, waiting, ..
        } => entries.push_back(Entry {
            number,
            waiting,
            line: text.into(),
        }),
        Line::Done { number, receiver } => {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.number == number) {
                entry.waiting.remove(&receiver);
            }
            entries.retain(|entry| !entry.waiting.is_empty());
        }
        Line::Drop { number } => entries.retain(|entry| entry.number != number),
    }
}

fn written(line: &Line) -> Box<str> {
    // Maps with text for keys, which JSON has.
    serde_json::to_string(line).unwrap_or_default().into()
}

#[cfg(test)]
mod tests;
