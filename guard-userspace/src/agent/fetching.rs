//! Lists that are fetched: when, and what comes of it.

use std::{
    collections::{BTreeMap, HashMap},
    future::pending,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tracing::{error, info, warn};

use super::{
    book,
    reload::Configured,
    state::{Agent, Rules},
};
use crate::{
    config::{Config, Feed},
    feeds::{self, Copies, Due, Fetched, Order},
    state_file,
    status::FeedStatus,
};

/// What came of fetching the feeds, by their names.
#[derive(Debug, Default)]
pub(super) struct Fetches(BTreeMap<String, Fetch>);

#[derive(Clone, Debug, Default)]
struct Fetch {
    /// When the server last gave the list that is in force, in seconds since 1970.
    fetched: Option<u64>,
    /// Why the last attempt failed.
    error: Option<String>,
}

impl Fetches {
    /// What an earlier agent has fetched.
    pub(super) fn load(config: &Config) -> Self {
        let copies = Copies::of(&config.state_dir);
        let feeds = config.feeds.iter().filter(|feed| feed.download.is_some());
        let fetches = feeds.map(|feed| {
            let about = copies.about(&feed.name);
            let fetch = Fetch {
                fetched: about.map(|about| about.fetched),
                error: None,
            };
            (feed.name.clone(), fetch)
        });
        Self(fetches.collect())
    }

    /// What there is to say of each feed. `taken` is when the configuration was.
    pub(super) fn status(&self, feeds: &[Feed], taken: u64) -> Vec<FeedStatus> {
        let status = feeds.iter().map(|feed| {
            let fetch = self.0.get(&feed.name).cloned().unwrap_or_default();
            let (from, updated) = match &feed.download {
                Some(download) => (download.url.to_string(), fetch.fetched),
                None => (feed.file.display().to_string(), Some(taken)),
            };
            FeedStatus {
                name: feed.name.clone(),
                from,
                entries: feed.listed as u64,
                updated,
                error: fetch.error,
            }
        });
        status.collect()
    }

    /// Notes that it failed. That is said once, as long as it fails for the same reason.
    fn note_failure(&mut self, feed: &str, failure: &anyhow::Error) {
        let error = format!("{failure:#}");
        let fetch = self.0.entry(feed.to_owned()).or_default();
        if fetch.error.as_ref() != Some(&error) {
            warn!(
                feed,
                error, "the list is not fetched; what was in force stays"
            );
        }
        fetch.error = Some(error);
    }

    fn note_success(&mut self, feed: &str, fetched: u64) {
        let fetch = self.0.entry(feed.to_owned()).or_default();
        fetch.fetched = Some(fetched);
        if fetch.error.take().is_some() {
            info!(feed, "the list is fetched again");
        }
    }
}

/// Sees to copies that cannot be used: they are moved aside, and what was in force stays, if there
/// is a feed of that name among `old`.
pub(super) fn mend_copies(config: &mut Config, old: Option<&Config>) {
    for feed in &mut config.feeds {
        let Some(fault) = feed.fault.take() else {
            continue;
        };
        state_file::set_aside(&feed.file, "the list is fetched anew", &fault);
        let old = old.and_then(|old| old.feeds.iter().find(|old| old.name == feed.name));
        if let Some(old) = old {
            feed.listed = old.listed;
            feed.all = Arc::clone(&old.all);
            feed.nets = Arc::clone(&old.nets);
        }
    }
}

/// Refuses lists that have grown suddenly, compared to those in force.
pub(super) fn refuse_sudden_growth(old: &Config, new: &Config) -> Result<()> {
    for feed in &new.feeds {
        let Some(old) = old.feeds.iter().find(|old| old.name == feed.name) else {
            continue;
        };
        if feeds::grows_suddenly(old.listed, feed.listed) {
            bail!(feeds::sudden_growth(&feed.name, old.listed, feed.listed));
        }
    }
    Ok(())
}

/// Fetches the lists of feeds for as long as it is asked to run.
pub(super) async fn keep_fresh(agent: Arc<Agent>) {
    let mut due: HashMap<String, (u64, Due)> = HashMap::new();
    let mut running = JoinSet::new();
    loop {
        let orders = agent.orders();
        due.retain(|name, _| orders.iter().any(|order| order.name == *name));
        for order in &orders {
            let entry = due.entry(order.name.clone());
            let (address, due) = entry.or_insert_with(|| (order.address(), first_due(order)));
            if *address != order.address() && !due.running {
                (*address, *due) = (order.address(), Due::after(Duration::ZERO));
            }
            if !due.running && due.at <= Instant::now() {
                due.running = true;
                let order = order.clone();
                running.spawn(async move { (order.clone(), feeds::fetch(order, book::now).await) });
            }
        }
        let waiting = due.values().filter(|(_, due)| !due.running);
        let next = waiting.map(|(_, due)| due.at).min();
        tokio::select! {
            () = until(next) => {}
            () = agent.feeds_changed.notified() => {}
            () = agent.feeds_wanted.notified() => {
                for (_, due) in due.values_mut() {
                    due.at = Instant::now();
                }
            }
            Some(done) = running.join_next() => match done {
                Ok((order, fetched)) => {
                    let succeeded = agent.take_fetched(&order, fetched);
                    if let Some((_, due)) = due.get_mut(&order.name) {
                        due.done(succeeded, order.refresh);
                    }
                }
                // Whose it was is not known: all of them are looked at anew.
                Err(error) => {
                    error!(%error, "fetching a list ended unexpectedly");
                    due.clear();
                }
            },
        }
    }
}

/// When a feed that was just met is due: when its copy becomes too old.
fn first_due(order: &Order) -> Due {
    let about = order.copies.about(&order.name);
    let about = about.filter(|about| about.address == order.address());
    let age = about.map(|about| Duration::from_secs(book::now().saturating_sub(about.fetched)));
    let left = age.map_or(Duration::ZERO, |age| order.refresh.saturating_sub(age));
    Due::after(left)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

impl Agent {
    /// Every list that is to be fetched.
    fn orders(&self) -> Vec<Order> {
        let inner = self.lock();
        let config = &inner.rules.config;
        let orders = config.feeds.iter().filter_map(|feed| {
            let download = feed.download.clone()?;
            Some(Order {
                name: feed.name.clone(),
                url: download.url,
                refresh: download.refresh,
                everyone: feed.everyone,
                copies: Copies::of(&config.state_dir),
            })
        });
        orders.collect()
    }

    /// Takes what came of fetching a list. Whether it succeeded.
    fn take_fetched(&self, order: &Order, fetched: Result<Fetched>) -> bool {
        let name = &order.name;
        let taken = fetched.and_then(|fetched| match fetched {
            Fetched::Same(about) => Ok(about),
            Fetched::New {
                about,
                draft,
                entries,
            } => {
                self.take_new(order, &draft, entries)?;
                Ok(about)
            }
        });
        let noted = taken.and_then(|about| {
            let fetched = about.fetched;
            order.copies.note(name, &about).map(|()| fetched)
        });
        let mut inner = self.lock();
        match noted {
            Ok(fetched) => inner.fetches.note_success(name, fetched),
            Err(error) => {
                inner.fetches.note_failure(name, &error);
                return false;
            }
        }
        true
    }

    /// Puts a list in force that was fetched, or holds it back.
    fn take_new(&self, order: &Order, draft: &Path, entries: usize) -> Result<()> {
        let name = &order.name;
        self.lock().demand_no_trial()?;
        let listed = self.listed(name).context("the feed was removed")?;
        if feeds::grows_suddenly(listed, entries) {
            std::fs::rename(draft, order.copies.held(name)).context("holding the list back")?;
            bail!(feeds::sudden_growth(name, listed, entries));
        }
        self.swap_list(&order.copies, name, draft)?;
        info!(feed = name, entries, "a list was fetched, and is in force");
        Ok(())
    }

    /// Puts a list in force; what hinders that leaves the old one.
    fn swap_list(&self, copies: &Copies, name: &str, list: &Path) -> Result<()> {
        let swapped = copies.swap_in(name, list).context("replacing the copy");
        let taken = swapped.and_then(|()| self.put_copy_in_force(name));
        let settled = match &taken {
            Ok(()) => copies.settle(name),
            Err(_) => copies.swap_back(name),
        };
        if let Err(error) = settled {
            warn!(feed = name, %error, "the copies of a list");
        }
        taken
    }

    /// Puts the copy of a list in force, and nothing else that may have changed: nobody has asked for
    /// that.
    fn put_copy_in_force(&self, name: &str) -> Result<()> {
        let inner = &mut *self.lock();
        inner.demand_no_trial()?;
        let Rules { config, text, over } = &inner.rules;
        let next = Configured {
            config: config.with_copy_of(name).map_err(|error| anyhow!(error))?,
            ending: over.ending.clone(),
            text: text.clone(),
        };
        if next.config == *config {
            return Ok(());
        }
        let lasts = inner.shall_last();
        self.put_in_force(inner, next, lasts)
            .map_err(|(_, error)| error)?;
        if let Some(earlier) = &mut inner.earlier {
            earlier.follow(name);
        }
        inner.look_for_administrators();
        Ok(())
    }

    fn listed(&self, name: &str) -> Option<usize> {
        let inner = self.lock();
        let mut feeds = inner.rules.config.feeds.iter();
        feeds.find(|feed| feed.name == name).map(|feed| feed.listed)
    }
}

/// Puts the lists that are held back in the place of the copies; they can be put back.
pub(super) fn release_held(config: &Config) -> Result<Vec<String>> {
    let copies = Copies::of(&config.state_dir);
    let mut released = Vec::new();
    for feed in config.feeds.iter().filter(|feed| feed.download.is_some()) {
        let held = copies.held(&feed.name);
        if std::fs::symlink_metadata(&held).is_err() {
            continue;
        }
        if let Err(error) = copies.swap_in(&feed.name, &held) {
            settle_held(config, &released, false);
            return Err(anyhow!(error).context("taking a list that was held back"));
        }
        released.push(feed.name.clone());
    }
    Ok(released)
}

/// Lets go of what was there before lists were released, or puts it back.
pub(super) fn settle_held(config: &Config, released: &[String], taken: bool) {
    let copies = Copies::of(&config.state_dir);
    for feed in released {
        let settled = if taken {
            copies.settle(feed)
        } else {
            copies.hold_back(feed)
        };
        if let Err(error) = settled {
            warn!(feed, %error, "the copies of a list");
        }
    }
}

/// What a reload notes of lists that it has released.
pub(super) fn note_released(fetches: &mut Fetches, released: &[String]) {
    for feed in released {
        fetches.note_success(feed, book::now());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn feed(name: &str, listed: usize) -> Feed {
        Feed {
            name: name.to_owned(),
            file: "/nowhere".into(),
            download: None,
            everyone: false,
            listed,
            fault: None,
            all: Arc::default(),
            nets: Arc::default(),
        }
    }

    fn config(feeds: Vec<Feed>) -> Config {
        let config = Config::parse("guard.toml", "").expect("a configuration");
        Config { feeds, ..config }
    }

    #[test]
    fn growth_is_held_against_the_feed_of_the_same_name() {
        let old = config(vec![feed("a", 5), feed("b", 0)]);
        for (name, listed, refused) in [
            ("a", 100_050, false),
            ("a", 100_051, true),
            ("b", 4_000_000, false),
            ("c", 4_000_000, false),
        ] {
            let new = config(vec![feed(name, listed)]);
            let told = refuse_sudden_growth(&old, &new);
            assert_eq!(told.is_err(), refused, "{name} {listed}: {told:?}");
        }
    }

    #[test]
    fn a_copy_that_is_broken_is_moved_aside_and_the_list_in_force_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.netset");
        let broken = || {
            fs::write(&file, "\0").expect("a copy");
            let mut feed = feed("a", 0);
            feed.file.clone_from(&file);
            feed.fault = Some("this is no text".to_owned());
            config(vec![feed])
        };
        let mut first = broken();
        mend_copies(&mut first, None);
        assert!(!file.exists() && first.feeds[0].fault.is_none());
        let mut old = feed("a", 1);
        old.nets = ["192.0.2.1/32".parse().expect("a network")].into();
        let mut second = broken();
        mend_copies(&mut second, Some(&config(vec![old.clone()])));
        assert_eq!(second.feeds[0].nets, old.nets);
        assert_eq!(second.feeds[0].listed, 1);
    }

    #[test]
    fn what_is_known_of_a_feed_is_told() {
        let mut fetches = Fetches::default();
        let feeds = [feed("a", 7)];
        let told = fetches.status(&feeds, 50);
        assert_eq!((told[0].entries, told[0].updated), (7, Some(50)));
        fetches.note_failure("a", &anyhow!("the server answers 404"));
        let told = fetches.status(&feeds, 50);
        assert_eq!(told[0].error.as_deref(), Some("the server answers 404"));
        fetches.note_success("a", 60);
        assert_eq!(fetches.status(&feeds, 50)[0].error, None);
    }
}
