//! `[[feed]]`: lists that somebody else makes, as files or fetched.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::problem::Problem;
use super::schema::{FEED, Located, Section, Span, Walk};
use super::units;
use super::{Config, Download, Entry, Feed, FeedUrl, MAX_FEEDS};
use super::{files, list};
use crate::kernel::{MAX_ADDRESSES, MAX_PREFIXES};

/// How old a fetched list may become unless its feed says otherwise.
const REFRESH: Duration = Duration::from_hours(1);

/// What one `[[feed]]` says.
pub(super) struct RawFeed {
    name: Option<Located<String>>,
    file: Option<Located<PathBuf>>,
    url: Option<Located<FeedUrl>>,
    refresh: Option<Duration>,
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
        let has = |key| section.table.contains_key(key);
        for (is_missing, lacks, fix) in [
            (!has("name"), "no `name`", "`name = \"drop-list\"`"),
            (
                !has("file") && !has("url"),
                "neither a `file` nor a `url`",
                "`file = \"drop.netset\"`, or `url = \"https://…\"`",
            ),
        ] {
            if is_missing {
                let message = format!("this [[feed]] has {lacks}");
                walk.refuse(section.span.clone(), message, format!("add {fix}"));
            }
        }
        if let Some((url, _)) = section.table.get_key_value("url").filter(|_| has("file")) {
            let message = "this [[feed]] has a `file` and a `url`";
            walk.refuse(url.span(), message, "keep one of them, or make two feeds");
        }
        Self {
            name: walk.text(section, "name", "drop-list", units::feed_name),
            file: walk.text(section, "file", "drop.netset", units::path),
            url: walk.text(section, "url", "https://lists.example/drop", FeedUrl::parse),
            refresh: walk
                .text(section, "refresh", "1h", units::refresh)
                .map(|(refresh, _)| refresh),
            everyone: walk
                .flag(section, "everyone")
                .is_some_and(|(everyone, _)| everyone),
        }
    }

    /// The file that it names, looked for from `folder`.
    pub(super) fn named(&self, folder: &Path) -> Option<PathBuf> {
        let (file, _) = self.file.as_ref()?;
        Some(folder.join(file))
    }

    /// The feed with what it lists; nothing when something is wrong with it.
    fn load(self, places: &Places<'_>, problems: &mut Vec<Problem>) -> Option<Feed> {
        let (name, _) = self.name?;
        let (file, url) = (self.file, self.url);
        let mut feed = Feed {
            name,
            file: PathBuf::new(),
            download: None,
            everyone: self.everyone,
            listed: 0,
            fault: None,
            all: Arc::default(),
            nets: Arc::default(),
        };
        match (file, url) {
            (Some((file, span)), None) => {
                feed.file = places.folder.join(file);
                let nets = read_list(&feed, &span, problems)?;
                feed.fill(nets);
            }
            (None, Some((url, _))) => {
                let refresh = self.refresh.unwrap_or(REFRESH);
                feed.download = Some(Download { url, refresh });
                if let Some(copies) = places.copies {
                    feed.file = copies.join(copy_name(&feed.name));
                    feed.load_copy();
                }
            }
            // It was refused.
            _ => return None,
        }
        Some(feed)
    }
}

/// Where the lists are that feeds name.
pub(super) struct Places<'a> {
    /// Where a relative path starts.
    pub(super) folder: &'a Path,
    /// Where what was fetched is kept; nothing where that does not matter.
    pub(super) copies: Option<&'a Path>,
}

/// What the copy of a list that is fetched is called.
pub(crate) fn copy_name(feed: &str) -> String {
    format!("{feed}.netset")
}

/// What the file of a feed lists, and who else may write it.
fn read_list(feed: &Feed, span: &Span, problems: &mut Vec<Problem>) -> Option<Vec<IpNet>> {
    let wrong = match files::read(&feed.file, &files::LIST) {
        Ok((text, unsafe_)) => {
            problems.extend(unsafe_.map(|wrong| Problem::invalid(span.clone(), wrong)));
            match list::parse(&text, feed.everyone) {
                Ok(nets) => return Some(nets),
                Err(wrong) => wrong
                    .into_iter()
                    .map(|wrong| problem(&feed.file, span, wrong))
                    .collect(),
            }
        }
        Err(invalid) => vec![Problem::invalid(span.clone(), invalid)],
    };
    problems.extend(wrong);
    None
}

impl Feed {
    fn fill(&mut self, nets: Vec<IpNet>) {
        self.listed = nets.len();
        self.all = nets.into();
        self.nets = Arc::clone(&self.all);
    }

    /// Takes what was fetched, if it was. What has become of the copy is no fault of the
    /// configuration.
    fn load_copy(&mut self) {
        if fs::symlink_metadata(&self.file).is_err() {
            return;
        }
        let read = files::read(&self.file, &files::LIST).map_err(|wrong| wrong.to_string());
        let nets = read.and_then(|(text, _)| {
            list::parse(&text, self.everyone).map_err(|wrong| list::sentence(&wrong))
        });
        match nets {
            Ok(nets) => self.fill(nets),
            Err(fault) => self.fault = Some(fault),
        }
    }
}

fn problem(file: &Path, span: &Span, wrong: list::Wrong) -> Problem {
    let line = wrong.line.map_or(String::new(), |line| format!(":{line}"));
    let message = format!("{}{line}: {}", file.display(), wrong.invalid.message);
    Problem::at(span.clone(), message, wrong.invalid.help)
}

/// Reads what the feeds name.
pub(super) fn load(
    raw: Vec<RawFeed>,
    places: &Places<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Feed> {
    let mut feeds: Vec<Feed> = Vec::with_capacity(raw.len());
    for raw in raw {
        feeds.extend(raw.load(places, problems));
    }
    share_out(&mut feeds);
    feeds
}

/// Leaves out of each feed what an earlier one lists.
fn share_out(feeds: &mut [Feed]) {
    for position in 0..feeds.len() {
        let (earlier, feed) = feeds.split_at_mut(position);
        let Some(feed) = feed.first_mut() else { return };
        let mut nets = feed.all.to_vec();
        for earlier in earlier {
            leave_out(&mut nets, &earlier.nets);
        }
        feed.nets = if nets.len() == feed.all.len() {
            Arc::clone(&feed.all)
        } else {
            nets.into()
        };
    }
}

/// What [`Config::with_copy_of`] says.
pub(super) fn with_copy_of(config: &Config, name: &str) -> Result<Config, String> {
    let mut config = config.clone();
    let is_it = |feed: &&mut Feed| feed.name == name && feed.download.is_some();
    let feed = config.feeds.iter_mut().find(is_it);
    let feed = feed.ok_or("the feed was removed")?;
    feed.load_copy();
    if let Some(fault) = feed.fault.take() {
        return Err(fault);
    }
    share_out(&mut config.feeds);
    let mut problems = Vec::new();
    refuse_too_many((&config.feeds, &config.allow, &config.deny), &mut problems);
    match problems.first() {
        Some(problem) => Err(problem.message.clone()),
        None => Ok(config),
    }
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

fn refuse_shared_names(walk: &mut Walk, feeds: &[RawFeed]) {
    let mut names = HashSet::new();
    for (name, span) in feeds.iter().filter_map(|feed| feed.name.as_ref()) {
        if !names.insert(name) {
            let message = format!("there is another feed `{name}`");
            walk.refuse(span.clone(), message, "give each feed a name of its own");
        }
    }
}
