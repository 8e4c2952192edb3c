//! What was given a time keeps it when somebody sets the clock: the agent's alone, by libfaketime.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{self, Agent, Folder},
    stage::CLIENT,
};
use serde_json::Value;

use crate::{PATIENCE, Site, bans, stop};

/// Where Debian keeps libraries, a folder for each kind of machine.
const LIBRARIES: &str = "/usr/lib";
/// The one for programs with threads.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";
/// What the library leaves in `/dev/shm` goes with the agent: it makes it before it may not any more.
const START: &str = "mount -t tmpfs tmpfs /dev/shm && exec env LD_PRELOAD=\"$0\" \"$@\"";
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// How far what is left of an hour may be off: less than a minute is no clock that was set, and the
/// machine may be slow.
const SLACK: i64 = 120;
const DENIED: &str = "192.0.2.7";
const SHORTLY: &str = "192.0.2.8";

fn library() -> Result<PathBuf> {
    let folders = fs::read_dir(LIBRARIES)?.flatten();
    let mut found = folders.map(|folder| folder.path().join(LIBRARY));
    let found = found.find(|path| path.is_file());
    found.with_context(|| format!("no {LIBRARY} below {LIBRARIES}: install faketime"))
}

/// An agent whose clock can be set.
struct Clock {
    agent: Agent,
    file: PathBuf,
}

impl Clock {
    fn start(site: &Site) -> Result<Self> {
        let folder = Folder::new()?;
        let configuration = folder.join("guard.toml");
        fs::write(&configuration, bans::CONFIGURATION)?;
        // Beside the configuration, where it stays in reach.
        let file = folder.join("clock");
        write(&file, 0)?;
        let mut command = site.stage.host().command("unshare");
        command
            .args(["--mount", "--", "sh", "-c", START])
            .arg(library()?)
            .arg(agent::binary()?)
            .env("FAKETIME_TIMESTAMP_FILE", &file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("NO_FAKE_STAT", "1")
            // What nobody sets goes on as it does.
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
        let flags = ["--config", &configuration.to_string_lossy()];
        let mut agent = Agent::spawn_as(site.stage.host(), folder, command, &flags)?;
        agent.wait_until_ready()?;
        Ok(Self { agent, file })
    }

    /// Sets it to so many seconds ahead of the machine's, and waits until that is noticed the
    /// `times`th time.
    fn set(&self, ahead: i64, times: usize) -> Result<()> {
        write(&self.file, ahead)?;
        let deadline = Instant::now() + PATIENCE;
        let noticed = || self.agent.log().text().matches("the clock was set").count();
        while noticed() < times {
            ensure!(Instant::now() < deadline, "{}", self.agent.log().text());
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn deny(&self, address: &str, lasts: &str) -> Result<()> {
        let added = self.agent.cli(&["deny", "add", address, "--for", lasts])?;
        ensure!(added.status.success(), "{added:?}");
        Ok(())
    }

    /// When the entry for an address ends by the agent's clock, if there is one.
    fn end_of(&self, address: &str) -> Result<Option<i64>> {
        let listed = self.agent.cli(&["deny", "list", "--output", "json"])?;
        let listed: Vec<Value> = serde_json::from_slice(&listed.stdout)?;
        let mut listed = listed.iter();
        let entry = listed.find(|entry| entry["cidr"] == format!("{address}/32"));
        entry
            .map(|entry| entry["expires"].as_i64().context("it ends"))
            .transpose()
    }

    /// The entry and the ban, each for an hour, are there, and not much of that has passed.
    fn assert_an_hour_is_left(&self, ahead: i64) -> Result<()> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let now = i64::try_from(now)? + ahead;
        let banned = bans::bans(&self.agent)?;
        let banned = banned.first().context("nobody is banned any more")?;
        assert_eq!(banned["source"], format!("{CLIENT}/32"));
        let denied = self.end_of(DENIED)?.context("it is not denied any more")?;
        for end in [banned["until"].as_i64().context("a date")?, denied] {
            let left = end - now;
            assert!((left - HOUR).abs() <= SLACK, "{left} s are left");
        }
        Ok(())
    }
}

/// Has the clock be so far ahead. Whoever reads it meanwhile sees a whole file.
fn write(file: &Path, ahead: i64) -> Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, format!("{ahead:+}\n"))?;
    Ok(fs::rename(new, file)?)
}

#[test]
fn bans_and_entries_live_as_long_as_they_were_to_whoever_sets_the_clock() -> Result<()> {
    let site = Site::new()?;
    let clock = Clock::start(&site)?;
    clock.deny(DENIED, "1h")?;
    let greedy = bans::be_greedy(&site)?;
    bans::wait_for_a_ban(&clock.agent)?;
    drop(greedy);
    clock.assert_an_hour_is_left(0)?;

    clock.set(DAY, 1)?;
    clock.assert_an_hour_is_left(DAY)?;
    assert!(!site.https_in_vain(CLIENT)?.is_ok(), "it is banned");

    clock.deny(SHORTLY, "3s")?;
    clock.set(-DAY, 2)?;
    clock.assert_an_hour_is_left(-DAY)?;
    assert!(!site.https_in_vain(CLIENT)?.is_ok(), "it still is");
    let deadline = Instant::now() + PATIENCE;
    while clock.end_of(SHORTLY)?.is_some() {
        ensure!(Instant::now() < deadline, "it lasts for two days more");
        thread::sleep(Duration::from_millis(100));
    }
    clock.assert_an_hour_is_left(-DAY)?;
    stop(clock.agent)
}
