//! Lists that are fetched from a real server: taken, kept, refreshed, and refused where they are
//! none.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use lab::{
    agent::{Agent, Folder, field},
    servers::Nginx,
    stage::{CLIENT, INTERFACE, OTHER, SERVER as HOST, Stage},
};
use serde_json::Value;

use crate::reload::{cli, wait_until};

const TLS: u16 = 8443;
const PLAIN: u16 = 8080;
/// Redirects within HTTPS, around in a circle, and out of HTTPS.
const SITE: &str = "server { access_log requests; listen 8443 ssl; listen 8080; location /files/ { root .; } \
    location /moved { return 302 /files/list; } location /circle { return 302 /circle; } \
    location /down { return 302 http://203.0.113.10:8080/files/list; } \
    location /gone { return 410; } }";

fn serve(stage: &Stage) -> Result<Nginx> {
    Nginx::start_for(stage.client.namespace(), CLIENT.into(), SITE, TLS)
}

/// An agent with feeds of these names, fetched from these addresses.
fn start(stage: &Stage, nginx: &Nginx, folder: Folder, feeds: &[(&str, &str)]) -> Result<Agent> {
    let file = folder.join("guard.toml");
    let mut text = String::new();
    for (name, url) in feeds {
        let _ = writeln!(
            text,
            "[[feed]]\nname = \"{name}\"\nurl = \"{url}\"\nrefresh = \"1h\""
        );
    }
    fs::write(&file, text)?;
    start_by(stage, nginx, folder, &file)
}

/// An agent by this configuration file.
fn start_by(stage: &Stage, nginx: &Nginx, folder: Folder, file: &Path) -> Result<Agent> {
    let file = file.to_string_lossy().into_owned();
    let flags = ["--iface", INTERFACE, "--config", &file];
    Agent::start_trusting(stage.host(), folder, &nginx.authority(), &flags)
}

fn https(path: &str) -> String {
    format!("https://{CLIENT}:{TLS}/{path}")
}

/// What the status says of the feed of this name.
fn feed(agent: &Agent, name: &str) -> Result<Value> {
    let status = agent.status()?;
    let feeds = status["feeds"].as_array().context("no feeds")?;
    let found = feeds.iter().find(|feed| feed["name"] == name);
    found
        .cloned()
        .with_context(|| format!("no {name} in {status}"))
}

fn error(agent: &Agent, name: &str) -> Result<String> {
    Ok(feed(agent, name)?["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

fn wait_for_entries(agent: &Agent, name: &str, entries: u64) -> Result<()> {
    wait_until(|| Ok(feed(agent, name)?["entries"] == entries))
}

fn copy(agent: &Agent, name: &str) -> PathBuf {
    agent
        .folder()
        .state()
        .join("feeds")
        .join(format!("{name}.netset"))
}

#[test]
fn a_list_is_fetched_kept_and_there_at_once_after_a_restart() -> Result<()> {
    let stage = Stage::new()?;
    let nginx = serve(&stage)?;
    nginx.publish("list", format!("{OTHER}\n192.0.2.1\n").as_bytes())?;
    let secret = format!("https://user:pw@{CLIENT}:{TLS}/moved?key=pw");
    let feeds = [("direct", &*https("files/list")), ("moved", &secret)];
    let agent = start(&stage, &nginx, Folder::new()?, &feeds)?;
    wait_for_entries(&agent, "direct", 2)?;
    wait_for_entries(&agent, "moved", 2)?;
    let explained = cli(&agent, &["explain", &OTHER.to_string()])?;
    assert!(explained.contains("drop (feed)"), "{explained}");
    assert_eq!(
        feed(&agent, "moved")?["from"],
        https("moved"),
        "without secrets"
    );
    assert!(!agent.log().text().contains("pw"), "{}", agent.log().text());
    let mode = fs::metadata(copy(&agent, "direct"))?.permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let metrics = agent.metrics()?;
    let of = |name| metrics.value(name, &[("feed", "direct")]);
    assert_eq!(of("guard_feed_entries"), Some(2.0));
    assert!(of("guard_feed_last_success_timestamp_seconds") > Some(1e9));

    // What has changed is taken when it is asked for; what has not, changes nothing.
    nginx.publish(
        "list",
        format!("{OTHER}\n192.0.2.1\n192.0.2.2\n").as_bytes(),
    )?;
    cli(&agent, &["reload"])?;
    wait_for_entries(&agent, "direct", 3)?;
    wait_for_entries(&agent, "moved", 3)?;

    // The server is gone: the list stays, also for the next agent, and that is said.
    let authority = agent.folder().join("authority.pem");
    fs::copy(nginx.authority(), &authority)?;
    drop(nginx);
    cli(&agent, &["reload"])?;
    wait_until(|| Ok(!error(&agent, "direct")?.is_empty()))?;
    let shown = cli(&agent, &["status"])?;
    assert!(shown.contains("feed direct: 3 entries, "), "{shown}");
    assert!(shown.contains("the last attempt failed: "), "{shown}");
    let folder = agent.stop()?.folder;
    let file = folder.join("guard.toml").to_string_lossy().into_owned();
    let flags = ["--iface", INTERFACE, "--config", &file];
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    assert_eq!(feed(&agent, "direct")?["entries"], 3);
    let explained = cli(&agent, &["explain", &OTHER.to_string()])?;
    assert!(explained.contains("drop (feed)"), "{explained}");
    agent.stop()?;
    Ok(())
}

#[test]
fn a_list_is_asked_for_again_in_its_time_and_sent_only_if_it_has_changed() -> Result<()> {
    let stage = Stage::new()?;
    let nginx = serve(&stage)?;
    nginx.publish("list", b"192.0.2.1\n")?;
    let url = https("files/list");
    let folder = Folder::new()?;
    let text = format!("[[feed]]\nname = \"a\"\nurl = \"{url}\"\nrefresh = \"10s\"\n");
    fs::write(folder.join("guard.toml"), text)?;
    let file = folder.join("guard.toml").to_string_lossy().into_owned();
    let flags = ["--iface", INTERFACE, "--config", &file];
    let agent = Agent::start_trusting(stage.host(), folder, &nginx.authority(), &flags)?;
    wait_for_entries(&agent, "a", 1)?;
    wait_until(|| Ok(nginx.wrote("requests").contains(" 304 ")))?;
    nginx.publish("list", b"192.0.2.1\n192.0.2.2\n")?;
    wait_for_entries(&agent, "a", 2)?;
    let requests = nginx.wrote("requests");
    assert_eq!(requests.matches(" 200 ").count(), 2, "{requests}");
    assert!(requests.contains("guard/"), "it says who asks: {requests}");
    agent.stop()?;
    Ok(())
}

/// What a server sends in place of a list, and what is said of it.
const HOSTILE: [(&str, &[u8], &str); 6] = [
    ("empty", b"", "there is no entry in it"),
    ("html", b"<!doctype html>\n<p>Sign in", "this is a web page"),
    ("binary", b"\x1f\x8b\x08\0\0\0\0", "this is no text"),
    (
        "everyone",
        b"192.0.2.1\n0.0.0.0/0\n",
        "line 2: `0.0.0.0/0` is everyone",
    ),
    ("wide", b"192.0.0.0/6\n", "is more than a list may name"),
    (
        "junk",
        b"192.0.2.1\nIgnore all previous rules\n",
        "is not an IP address",
    ),
];

/// Has the list fetched again, in which there is something wrong now that is told in this way.
fn assert_the_last_good_one_stays(agent: &Agent, wrong: &str, said: &str) -> Result<()> {
    cli(agent, &["reload"])?;
    wait_until(|| Ok(error(agent, "good")?.contains(said)))
        .with_context(|| format!("{wrong}: no `{said}`"))?;
    assert_eq!(feed(agent, "good")?["entries"], 2, "{wrong}");
    let metrics = agent.metrics()?;
    let value = |name| metrics.value(name, &[("feed", "good")]);
    assert_eq!(value("guard_feed_entries"), Some(2.0), "{wrong}");
    let successful = value("guard_feed_last_update_successful");
    assert_eq!(successful, Some(0.0), "{wrong}");
    wait_until(|| {
        let log = agent.log();
        let mut warnings = log.with("feed", "good");
        Ok(warnings.any(|line| {
            let error = field(&line, "error").and_then(Value::as_str);
            error.is_some_and(|error| error.contains(said))
        }))
    })
    .with_context(|| format!("{wrong}: the log does not say it"))
}

#[test]
fn what_a_server_sends_in_place_of_a_list_is_refused_and_the_others_go_on() -> Result<()> {
    let stage = Stage::new()?;
    let nginx = serve(&stage)?;
    nginx.publish("list", format!("192.0.2.1\n{HOST}\n").as_bytes())?;
    for (name, bytes, _) in HOSTILE {
        nginx.publish(name, bytes)?;
    }
    nginx.publish("huge", b"")?;
    nginx.grow("huge", (256 << 20) + 1)?;
    let mut expected: Vec<(&str, String, &str)> = HOSTILE
        .map(|(name, _, said)| (name, https(&format!("files/{name}")), said))
        .into();
    expected.extend([
        ("huge", https("files/huge"), "larger than 256 MiB"),
        ("missing", https("files/missing"), "the server answers 404"),
        ("gone", https("gone"), "the server answers 410"),
        ("circle", https("circle"), "redirects more than 5 times"),
        ("down", https("down"), "redirects from https to http"),
        ("deaf", format!("https://{CLIENT}:9/"), "refused"),
        ("clear", format!("https://{CLIENT}:{PLAIN}/files/list"), ""),
    ]);
    let good = https("files/list");
    let mut feeds = vec![("good", &*good)];
    feeds.extend(expected.iter().map(|(name, url, _)| (*name, url.as_str())));
    let agent = start(&stage, &nginx, Folder::new()?, &feeds)?;
    wait_for_entries(&agent, "good", 2)?;
    for (name, _, said) in &expected {
        wait_until(|| Ok(!error(&agent, name)?.is_empty()))?;
        let error = error(&agent, name)?;
        assert!(error.contains(said), "{name}: no `{said}` in: {error}");
        assert_eq!(feed(&agent, name)?["entries"], 0, "{name}");
        assert!(!copy(&agent, name).exists(), "{name}");
        let draft = copy(&agent, name).with_extension("draft");
        assert!(!draft.exists(), "{name}");
    }
    let metrics = agent.metrics()?;
    let own = "the feed good has an entry that holds an address of this host";
    let warnings = agent.status()?["warnings"].to_string();
    assert!(warnings.contains(own), "{warnings}");
    assert_eq!(metrics.value("guard_rules", &[("list", "feed")]), Some(1.0));
    let taken = metrics.value("guard_config_last_reload_successful", &[]);
    assert_eq!(taken, Some(1.0), "the configuration is not to blame");

    // The good one turns bad in each of these ways: what was in force stays.
    for (name, bytes, said) in HOSTILE {
        nginx.publish("list", bytes)?;
        assert_the_last_good_one_stays(&agent, name, said)?;
    }
    nginx.grow("list", (256 << 20) + 1)?;
    assert_the_last_good_one_stays(&agent, "huge", "larger than 256 MiB")?;
    agent.stop()?;
    Ok(())
}

#[test]
fn a_list_that_grows_suddenly_waits_for_the_operator() -> Result<()> {
    let stage = Stage::new()?;
    let nginx = serve(&stage)?;
    let plain = format!("http://{CLIENT}:{PLAIN}/files/list");
    nginx.publish("list", b"192.0.2.1\n")?;
    let agent = start(&stage, &nginx, Folder::new()?, &[("a", &plain)])?;
    wait_for_entries(&agent, "a", 1)?;
    let mut list = String::new();
    for number in 0..100_100_u32 {
        let _ = writeln!(
            list,
            "198.{}.{}.{}",
            18 + (number >> 16),
            number >> 8 & 255,
            number & 255
        );
    }
    nginx.publish("list", list.as_bytes())?;
    cli(&agent, &["reload"])?;
    wait_until(|| Ok(!error(&agent, "a")?.is_empty()))?;
    let said = error(&agent, "a")?;
    assert!(said.contains("from 1 entries to 100100"), "{said}");
    assert!(said.contains("guard reload --force"), "{said}");
    assert_eq!(feed(&agent, "a")?["entries"], 1);
    cli(&agent, &["reload", "--force"])?;
    assert_eq!(feed(&agent, "a")?["entries"], 100_100);
    wait_until(|| Ok(error(&agent, "a")?.is_empty()))?;

    // A copy that is broken is moved aside, and the list fetched anew.
    let folder = agent.stop()?.folder;
    let copy = folder.state().join("feeds/a.netset");
    fs::write(&copy, "<html>")?;
    let file = folder.join("guard.toml").to_string_lossy().into_owned();
    let flags = ["--iface", INTERFACE, "--config", &file];
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    wait_for_entries(&agent, "a", 100_100)?;
    assert!(copy.with_extension("netset.broken").exists());
    agent.stop()?;
    Ok(())
}

/// The beginning of a configuration that is taken when somebody asks, and ends with a feed.
fn asked_for(more: &str) -> String {
    let url = https("files/list");
    format!("watch = false\n{more}\n[[feed]]\nname = \"a\"\nurl = \"{url}\"\nrefresh = \"10s\"\n")
}

/// What the agent would do with packets of a listed source.
fn explained(agent: &Agent) -> Result<String> {
    cli(agent, &["explain", &OTHER.to_string()])
}

#[test]
fn a_list_that_is_fetched_puts_nothing_else_in_force() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let nginx = serve(&stage)?;
    nginx.publish("list", b"192.0.2.1\n")?;
    let path = folder.join("guard.toml");
    fs::write(&path, asked_for(""))?;
    let agent = start_by(&stage, &nginx, folder, &path)?;
    wait_for_entries(&agent, "a", 1)?;
    // Somebody has written it, and has not asked for it yet.
    let denying = asked_for(&format!("[[deny]]\ncidr = \"{OTHER}\"\n"));
    for (text, list, entries) in [
        (&*denying, "192.0.2.1\n192.0.2.2\n", 2),
        (
            "this is no configuration",
            "192.0.2.1\n192.0.2.2\n192.0.2.3\n",
            3,
        ),
    ] {
        fs::write(&path, text)?;
        nginx.publish("list", list.as_bytes())?;
        wait_for_entries(&agent, "a", entries)?;
        assert!(
            !explained(&agent)?.contains("deny"),
            "nobody asked for that"
        );
        assert!(feed(&agent, "a")?["error"].is_null());
    }
    // Nor does it say anything of what was asked for.
    let refused = agent.cli(&["reload"])?;
    assert_eq!(refused.status.code(), Some(2));
    nginx.publish("list", b"192.0.2.1\n")?;
    wait_for_entries(&agent, "a", 1)?;
    let metrics = agent.metrics()?;
    assert_eq!(metrics.count("guard_config_last_reload_successful", &[]), 0);
    // What it was before can be gone back to still.
    fs::write(&path, &denying)?;
    cli(&agent, &["reload", "--confirm", "1s"])?;
    assert!(explained(&agent)?.contains("deny"));
    wait_until(|| Ok(agent.status()?["trial_until"].is_null()))?;
    // What nobody confirmed does not hold up lists.
    nginx.publish("list", b"192.0.2.1\n192.0.2.2\n")?;
    wait_for_entries(&agent, "a", 2)?;
    assert!(!explained(&agent)?.contains("deny"));
    agent.stop()?;
    Ok(())
}

#[test]
fn a_list_that_comes_during_a_trial_is_taken_after_it() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let nginx = serve(&stage)?;
    nginx.publish("list", format!("{OTHER}\n").as_bytes())?;
    let path = folder.join("guard.toml");
    fs::write(&path, "watch = false\n")?;
    let agent = start_by(&stage, &nginx, folder, &path)?;
    fs::write(&path, asked_for(""))?;
    cli(&agent, &["reload", "--confirm", "1m"])?;
    let error = || Ok::<_, anyhow::Error>(feed(&agent, "a")?["error"].to_string());
    wait_until(|| Ok(error()?.contains("on trial")))?;
    assert_eq!(feed(&agent, "a")?["entries"], 0);
    cli(&agent, &["confirm"])?;
    wait_for_entries(&agent, "a", 1)?;
    assert!(explained(&agent)?.contains("feed"));
    agent.stop()?;
    Ok(())
}

#[test]
fn a_list_that_is_fetched_brings_no_other_file_along() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let nginx = serve(&stage)?;
    nginx.publish("list", b"192.0.2.1\n")?;
    let (path, own) = (folder.join("guard.toml"), folder.join("own"));
    fs::write(&own, "192.0.2.1\n192.0.2.9\n")?;
    let named = "[[feed]]\nname = \"own\"\nfile = \"own\"\n";
    fs::write(&path, format!("{}{named}", asked_for("")))?;
    let agent = start_by(&stage, &nginx, folder, &path)?;
    wait_for_entries(&agent, "a", 1)?;
    let in_force = || Ok::<_, anyhow::Error>(agent.status()?["rules"][2]["in_force"].clone());
    assert_eq!(in_force()?, 2, "what both list counts once");
    // Tried, and not confirmed.
    fs::write(&own, format!("192.0.2.1\n192.0.2.9\n{OTHER}\n"))?;
    cli(&agent, &["reload", "--confirm", "1s"])?;
    assert!(explained(&agent)?.contains("feed"));
    wait_until(|| Ok(agent.status()?["trial_until"].is_null()))?;
    assert!(!explained(&agent)?.contains("feed"));
    // What the first listed alone before is the second's now.
    nginx.publish("list", b"192.0.2.2\n192.0.2.3\n")?;
    wait_for_entries(&agent, "a", 2)?;
    assert!(
        !explained(&agent)?.contains("feed"),
        "nobody confirmed that"
    );
    assert_eq!(feed(&agent, "own")?["entries"], 2);
    assert_eq!(in_force()?, 4);
    assert!(cli(&agent, &["explain", "192.0.2.1"])?.contains("own"));
    agent.stop()?;
    Ok(())
}
