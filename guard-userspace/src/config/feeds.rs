//! `[[feed]]`: lists that somebody else makes, as files.

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;

use super::list;
use super::problem::Problem;
use super::schema::{FEED, Located, Section, Span, Walk};
use super::units::{self, Invalid};
use super::{Entry, Feed, MAX_FEED_BYTES, MAX_FEEDS, unbuilt};
use crate::kernel::{MAX_ADDRESSES, MAX_PREFIXES};
use crate::privileges;

/// What one `[[feed]]` says.
pub(super) struct RawFeed {
    name: Option<Located<String>>,
    file: Option<Located<PathBuf>>,
    everyone: bool,
}

/// Reads every `[[feed]]` and checks them against each other.
pub(super) fn read(walk: &mut Walk, top: &Section<'_, '_>) -> Vec<RawFeed> {
    let sections = walk.tables(top, "feed", &FEED);
    if let Some(extra) = sections.get(MAX_FEEDS) {
        let message = format!("{} feeds are more than guard reads", sections.len());
        let help = format!("configure at most {MAX_FEEDS}");
        walk.refuse(extra.span.clone(), message, help);
    }
    let feeds = sections.iter().take(MAX_FEEDS);
    let feeds: Vec<RawFeed> = feeds.map(|section| RawFeed::read(walk, section)).collect();
    refuse_shared_names(walk, &feeds);
    feeds
}

impl RawFeed {
    fn read(walk: &mut Walk, section: &Section<'_, '_>) -> Self {
        unbuilt::refuse_feed(walk, section);
        let has = |key| section.table.contains_key(key);
        for (is_missing, key, fix) in [
            (!has("name"), "name", "name = \"drop-list\""),
            // A `url` has been refused.
            (
                !has("file") && !has("url"),
                "file",
                "file = \"drop.netset\"",
            ),
        ] {
            if is_missing {
                let message = format!("this [[feed]] has no `{key}`");
                walk.refuse(section.span.clone(), message, format!("add `{fix}`"));
            }
        }
        Self {
            name: walk.text(section, "name", "drop-list", units::feed_name),
            file: walk.text(section, "file", "drop.netset", units::path),
            everyone: walk
                .flag(section, "everyone")
                .is_some_and(|(everyone, _)| everyone),
        }
    }

    /// The feed with what is in its file, which is looked for from `folder`; nothing when something
    /// is wrong with it.
    fn load(self, folder: &Path, problems: &mut Vec<Problem>) -> Option<Feed> {
        let ((name, _), (file, span)) = (self.name?, self.file?);
        let file = folder.join(file);
        let read =
            read_file(&file).map_err(|invalid| vec![Problem::invalid(span.clone(), invalid)]);
        let nets = read.and_then(|text| {
            let wrong = list::parse(&text, self.everyone);
            wrong.map_err(|wrong| {
                wrong
                    .into_iter()
                    .map(|wrong| problem(&file, &span, wrong))
                    .collect()
            })
        });
        match nets {
            Ok(nets) => Some(Feed {
                name,
                file,
                nets: nets.into(),
            }),
            Err(wrong) => {
                problems.extend(wrong);
                None
            }
        }
    }
}

fn problem(file: &Path, span: &Span, wrong: list::Wrong) -> Problem {
    let line = wrong.line.map_or(String::new(), |line| format!(":{line}"));
    let message = format!("{}{line}: {}", file.display(), wrong.invalid.message);
    Problem::at(span.clone(), message, wrong.invalid.help)
}

/// Reads what the feeds name. What an earlier one lists is left out of the later ones.
pub(super) fn load(raw: Vec<RawFeed>, folder: &Path, problems: &mut Vec<Problem>) -> Vec<Feed> {
    let mut feeds: Vec<Feed> = Vec::with_capacity(raw.len());
    for raw in raw {
        let Some(mut feed) = raw.load(folder, problems) else {
            continue;
        };
        if !feeds.is_empty() {
            let mut nets = feed.nets.to_vec();
            for earlier in &feeds {
                leave_out(&mut nets, &earlier.nets);
            }
            feed.nets = nets.into();
        }
        feeds.push(feed);
    }
    feeds
}

/// Takes out what `others` has too. Both are in ascending order.
fn leave_out(nets: &mut Vec<IpNet>, others: &Arc<[IpNet]>) {
    let mut others = others.iter().peekable();
    nets.retain(|net| {
        while others.next_if(|other| *other < net).is_some() {}
        others.peek() != Some(&net)
    });
}

/// Sees to it that the kernel side has room for all of the lists.
pub(super) fn refuse_too_many(
    (feeds, allow, deny): (&[Feed], &[Entry], &[Entry]),
    problems: &mut Vec<Problem>,
) {
    let entries = || allow.iter().chain(deny).map(|entry| entry.cidr);
    let all = || {
        feeds
            .iter()
            .flat_map(|feed| feed.nets.iter().copied())
            .chain(entries())
    };
    let is_address = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
    for v4 in [true, false] {
        for (addresses, kind, most) in [
            (true, "single addresses", MAX_ADDRESSES),
            (false, "prefixes", MAX_PREFIXES),
        ] {
            let is_such =
                |net: &IpNet| matches!(net, IpNet::V4(_)) == v4 && is_address(net) == addresses;
            let such = || all().filter(is_such);
            if such().count() <= most {
                continue;
            }
            // Each counts once, whoever lists it.
            let count = such().collect::<HashSet<_>>().len();
            if count > most {
                let family = if v4 { "IPv4" } else { "IPv6" };
                problems.push(Problem::overall(
                    format!("the lists name {count} {kind} of {family}, and guard holds {most}"),
                    "take shorter lists: none of this configuration is taken",
                ));
            }
        }
    }
}

/// Reads a file, which must be a regular one: any other might never end.
fn read_file(path: &Path) -> Result<Vec<u8>, Invalid> {
    let shown = path.display();
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Invalid::new(
            format!("there is no file {shown}"),
            "put the list there, or name another; a relative path starts at the configuration file",
        ),
        io::ErrorKind::PermissionDenied if privileges::is_out_of_reach(path) => Invalid::new(
            format!("{shown} lies outside of the folders that guard may read since it was started"),
            "restart guard to have it read from there too (landlock cannot be widened), or put the \
             file where the others are",
        ),
        io::ErrorKind::PermissionDenied => Invalid::new(
            format!("{shown} may not be read"),
            "give this user permission to read it",
        ),
        _ => Invalid::new(
            format!("{shown} cannot be read: {error}"),
            "name a readable file",
        ),
    };
    let mut options = OpenOptions::new();
    // Opening a pipe would wait for somebody to write.
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Invalid::new(
            format!("{shown} is no regular file"),
            "name the file that holds the list",
        ));
    }
    let mut bytes = Vec::new();
    if metadata.len() <= MAX_FEED_BYTES {
        // It may grow meanwhile.
        let mut file = file.take(MAX_FEED_BYTES + 1);
        file.read_to_end(&mut bytes).map_err(unreadable)?;
    }
    if metadata.len().max(bytes.len() as u64) > MAX_FEED_BYTES {
        return Err(Invalid::new(
            format!("{shown} is larger than {} MiB", MAX_FEED_BYTES >> 20),
            "take a shorter list",
        ));
    }
    Ok(bytes)
}

fn refuse_shared_names(walk: &mut Walk, feeds: &[RawFeed]) {
    let mut names = HashSet::new();
    for (name, span) in feeds.iter().filter_map(|feed| feed.name.as_ref()) {
        if !names.insert(name) {
            let message = format!("there is another feed `{name}`");
            walk.refuse(span.clone(), message, "give each feed a name of its own");
        }
    }
}
