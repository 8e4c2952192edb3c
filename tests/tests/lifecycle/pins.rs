//! Pins that somebody removes, replaces or confuses: while the agent runs, and while none does.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use lab::{
    agent::{Agent, Folder},
    command,
    counters::DropCounter,
    link::Interface,
};
use serde_json::Value;

use crate::{
    PATIENCE,
    keep::{KEEP, Siege, assert_detaches, deed_file, denied, detach, kill, map_id, maps},
    reload::{cli, wait_until},
};

/// What is said of maps' pins at a start.
const FALSE_PINS: &str = "pins of an earlier agent's maps are gone, or not what they are called: these maps start afresh";
/// What is said of links' pins at a start.
const FALSE_LINK: &str = "what is pinned there is not the link it is called after: not taken over";

/// What somebody does while no agent runs, and what is said of it.
type Meddling = (fn(&Folder) -> Result<()>, &'static str);

/// Pins one map in the place of another.
fn replace(folder: &Folder, name: &str, by: &str) -> Result<()> {
    let maps = maps(folder)?;
    fs::remove_file(maps.join(name))?;
    MapData::from_pin(maps.join(by))?.pin(maps.join(name))?;
    Ok(())
}

fn swap(folder: &Folder, one: &str, other: &str) -> Result<()> {
    let maps = maps(folder)?;
    swap_files(&maps.join(one), &maps.join(other))
}

fn swap_files(one: &Path, other: &Path) -> Result<()> {
    let aside = one.with_file_name("aside");
    fs::rename(one, &aside)?;
    fs::rename(other, one)?;
    Ok(fs::rename(aside, other)?)
}

/// Pins a link where a map was.
fn no_map_at_all(folder: &Folder) -> Result<()> {
    let known = maps(folder)?.join("KNOWN");
    fs::remove_file(&known)?;
    let link = described(&link(folder, "xdp")?)?;
    pin("link", &link["id"], &known)
}

/// The pin of the link of this hook; there is one interface.
fn link(folder: &Folder, hook: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(folder.bpffs().join("links"))?;
    let mut paths = entries.flatten().map(|entry| entry.path());
    let is_meant = |path: &PathBuf| path.to_string_lossy().contains(&format!("{hook}_"));
    paths.find(is_meant).context("it is not pinned")
}

/// What bpftool says of the link that is pinned there.
fn described(path: &Path) -> Result<Value> {
    let said = command::run(&format!(
        "bpftool --json link show pinned {}",
        path.display()
    ))?;
    Ok(serde_json::from_str(&said)?)
}

/// Pins a thing of this kind, by the kernel's number, with bpftool.
fn pin(kind: &str, id: &Value, path: &Path) -> Result<()> {
    command::run(&format!("bpftool {kind} pin id {id} {}", path.display())).map(drop)
}

/// Pins the link of a stranger's program on an interface.
fn pin_link_of(interface: &Interface, path: &Path) -> Result<()> {
    let program = interface.xdp()?.context("no program")?.program_id;
    let links: Value = serde_json::from_str(&command::run("bpftool --json link list")?)?;
    let mut links = links.as_array().into_iter().flatten();
    let is_meant = |link: &&Value| link["prog_id"] == program && link["type"] == "xdp";
    let link = links.find(is_meant).context("no link")?;
    pin("link", &link["id"], path)
}

#[test]
fn pins_and_deeds_that_do_not_fit_are_not_believed() -> Result<()> {
    let siege = Siege::new()?;
    let mut folder = Folder::new()?;
    let flood = {
        let agent = siege.start(folder, KEEP)?;
        let flood = siege.flood()?;
        folder = kill(agent)?.folder;
        flood
    };
    let meddle: [Meddling; 8] = [
        (|folder| replace(folder, "KNOWN", "BUDGETS"), "KNOWN"),
        // Of the same type and size.
        (
            |folder| swap(folder, "SOURCES", "SOURCE_BYTES"),
            "SOURCES SOURCE_BYTES",
        ),
        (|folder| replace(folder, "OUTCOMES", "EVICTED"), "OUTCOMES"),
        (
            |folder| Ok(fs::remove_file(maps(folder)?.join("KNOWN"))?),
            "KNOWN",
        ),
        (no_map_at_all, "KNOWN"),
        // Another in the place of the one that is named.
        (
            |folder| replace(folder, "COUNTERS", "EVICTED"),
            "starting afresh",
        ),
        (
            |folder| Ok(fs::write(deed_file(folder), "{\"abi\": ")?),
            "estate.json cannot be read",
        ),
        (
            |folder| Ok(fs::remove_file(deed_file(folder))?),
            "protecting",
        ),
    ];
    for (meddle, told) in meddle {
        let known = map_id(&maps(&folder)?.join("KNOWN"))?;
        meddle(&folder)?;
        let agent = siege.start(folder, KEEP)?;
        wait_until(|| Ok(denied(&agent)? > 0))?;
        let is_known = map_id(&maps(agent.folder())?.join("KNOWN"))? == known;
        let stopped = kill(agent)?;
        let log = &stopped.log;
        let false_pins = log.with("message", FALSE_PINS).next();
        match &false_pins {
            Some(line) => assert_eq!(line["pins"], told, "{line}"),
            None => assert!(log.text().contains(told), "no `{told}` in {}", log.text()),
        }
        let names_others = false_pins.is_some() && told != "KNOWN";
        assert_eq!(
            is_known, names_others,
            "{told}: what is in order is gone on with"
        );
        folder = stopped.folder;
    }
    siege.assert_tight(flood)?;
    let kept = fs::read_to_string(folder.state().join("estate.json.broken"))?;
    assert_eq!(kept, "{\"abi\": ", "nothing of it is lost");
    assert_detaches(&siege.stage, &folder)
}

#[test]
fn a_pin_that_somebody_removes_is_made_again() -> Result<()> {
    let siege = Siege::new()?;
    let agent = siege.start(Folder::new()?, KEEP)?;
    let links = agent.folder().bpffs().join("links");
    let pins = || -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&links)?.map(|entry| Ok(entry?.path()));
        let mut pins = entries.collect::<Result<Vec<_>>>()?;
        pins.sort();
        Ok(pins)
    };
    let first = pins()?;
    ensure!(!first.is_empty(), "nothing is pinned");
    let budgets = maps(agent.folder())?.join("BUDGETS");
    let flood = siege.flood()?;

    let lost = || {
        let metrics = agent.metrics()?;
        Ok::<_, anyhow::Error>(metrics.count("guard_pins_lost_total", &[]))
    };
    let meddle: [&dyn Fn() -> Result<()>; 3] = [
        &|| Ok(first.iter().try_for_each(fs::remove_file)?),
        // The folder with them.
        &|| {
            first.iter().try_for_each(fs::remove_file)?;
            Ok(fs::remove_dir(&links)?)
        },
        // Something else in their place.
        &|| {
            for pin in &first {
                fs::remove_file(pin)?;
                MapData::from_pin(&budgets)?.pin(pin)?;
            }
            Ok(())
        },
    ];
    for (meddle, round) in meddle.into_iter().zip(1..) {
        meddle()?;
        wait_until(|| Ok(lost()? == round * first.len() as u64))?;
        assert_eq!(pins()?, first);
    }
    let status = agent.status()?;
    let note = status["interfaces"][0]["note"].to_string();
    assert!(note.contains("made again"), "{note}");
    let said = agent
        .log()
        .with(
            "message",
            "somebody removed pins of what keeps the program there: made again",
        )
        .count();
    assert_eq!(said, 3);

    // Another program takes over by them, and they keep it when nobody else does.
    cli(&agent, &["reload"])?;
    let folder = kill(agent)?.folder;
    assert!(siege.stage.server.xdp()?.is_some());
    siege.assert_taken_over(folder, flood)
}

#[test]
fn a_maps_pin_that_somebody_removes_is_made_again() -> Result<()> {
    const NAMES: [&str; 4] = ["KNOWN", "SOURCES", "SOURCE_BYTES", "EVENTS"];
    let siege = Siege::new()?;
    let agent = siege.start(Folder::new()?, KEEP)?;
    let now = maps(agent.folder())?;
    let ids = |maps: &Path| -> Result<Vec<u32>> {
        NAMES.iter().map(|name| map_id(&maps.join(name))).collect()
    };
    let first = ids(&now)?;
    let lost = || {
        let metrics = agent.metrics()?;
        Ok::<_, anyhow::Error>(metrics.count("guard_map_pins_lost_total", &[]))
    };
    assert_eq!(lost()?, 0);
    let folder = agent.folder();
    let meddle: [(&dyn Fn() -> Result<()>, u64); 4] = [
        (
            &|| {
                Ok(NAMES
                    .iter()
                    .try_for_each(|name| fs::remove_file(now.join(name)))?)
            },
            4,
        ),
        (&|| replace(folder, "KNOWN", "BUDGETS"), 1),
        (&|| swap(folder, "SOURCES", "SOURCE_BYTES"), 2),
        // The folder with them: of the maps that are taken over there are so many.
        (&|| Ok(fs::remove_dir_all(&now)?), 26),
    ];
    let mut all = 0;
    for (meddle, more) in meddle {
        meddle()?;
        all += more;
        wait_until(|| Ok(lost()? >= all))?;
        assert_eq!(lost()?, all);
        assert_eq!(ids(&now)?, first);
    }
    let warnings = agent.status()?["warnings"].to_string();
    assert!(warnings.contains("33 pins of the maps"), "{warnings}");
    let said = |agent: &Agent| {
        let message = "somebody removed pins of the maps: made again";
        agent.log().with("message", message).count()
    };
    assert!((4..=8).contains(&said(&agent)), "{}", agent.log().text());

    // Another program takes over by them, and so does the next agent.
    cli(&agent, &["reload"])?;
    assert_eq!(ids(&maps(agent.folder())?)?, first);
    let folder = kill(agent)?.folder;
    let agent = siege.start(folder, KEEP)?;
    let message = agent.log().with("message", FALSE_PINS).count();
    assert_eq!(message, 0, "{}", agent.log().text());
    assert_eq!(ids(&maps(agent.folder())?)?[0], first[0]);
    let folder = agent.stop()?.folder;
    assert_detaches(&siege.stage, &folder)
}

/// Whoever removes the pin takes the program off: that is before the start.
#[test]
fn a_start_without_its_links_pin_says_so_and_protects_afresh() -> Result<()> {
    /// What somebody does to the pin in this folder, and what is said of it.
    type Tampering = (fn(&Folder, &Path) -> Result<()>, &'static str);
    const GONE: &str = "an earlier agent left its program there, and somebody has taken it off or \
                        removed its pin: the interface was not protected since";
    let meddle: [Tampering; 3] = [
        (|_, pin| Ok(fs::remove_file(pin)?), GONE),
        (
            |folder, pin| {
                fs::remove_file(pin)?;
                Ok(MapData::from_pin(maps(folder)?.join("BUDGETS"))?.pin(pin)?)
            },
            FALSE_LINK,
        ),
        (
            |folder, path| {
                fs::remove_file(path)?;
                let other = described(&link(folder, "egress")?)?;
                pin("prog", &other["prog_id"], path)
            },
            FALSE_LINK,
        ),
    ];
    let siege = Siege::new()?;
    let mut folder = Folder::new()?;
    for (meddle, told) in meddle {
        folder = kill(siege.start(folder, KEEP)?)?.folder;
        let pin = link(&folder, "xdp")?;
        meddle(&folder, &pin)?;
        wait_until(|| Ok(siege.stage.server.xdp()?.is_none()))?;
        let agent = siege.start(folder, KEEP)?;
        let log = agent.log();
        assert_eq!(log.with("message", told).count(), 1, "{}", log.text());
        assert_eq!(described(&pin)?["type"], "xdp", "it is pinned again");
        let flood = siege.flood()?;
        let before = denied(&agent)?;
        wait_until(|| Ok(denied(&agent)? > before + 1_000))?;
        folder = agent.stop()?.folder;
        siege.assert_tight(flood)?;
    }
    assert_detaches(&siege.stage, &folder)
}

#[test]
fn a_strangers_link_among_the_pins_is_neither_replaced_nor_believed() -> Result<()> {
    let siege = Siege::new()?;
    let (client, server) = (&siege.stage.client, &siege.stage.server);
    let mut folder = kill(siege.start(Folder::new()?, KEEP)?)?.folder;

    // One of another interface.
    let path = link(&folder, "xdp")?;
    let stranger = DropCounter::attach(client)?;
    fs::remove_file(&path)?;
    pin_link_of(client, &path)?;
    let theirs = client.xdp()?;
    let agent = siege.start(folder, KEEP)?;
    assert_eq!(agent.log().with("message", FALSE_LINK).count(), 1);
    assert_eq!(client.xdp()?, theirs);
    let own = server.xdp()?.context("no program")?;
    assert_eq!(described(&path)?["prog_id"], own.program_id);
    folder = kill(agent)?.folder;
    drop(stranger);

    // One on this very interface, which the program of guard has left.
    fs::remove_file(&path)?;
    wait_until(|| Ok(server.xdp()?.is_none()))?;
    let stranger = DropCounter::attach(server)?;
    pin_link_of(server, &path)?;
    let theirs = server.xdp()?;
    let said = assert_refuses(&siege, folder)?;
    assert!(
        said.0.contains("count_drop") && said.0.contains("stranger"),
        "{}",
        said.0
    );
    assert_eq!(server.xdp()?, theirs, "it is still there");
    drop(stranger);
    Ok(())
}

/// The flood goes on all the while.
#[test]
fn links_whose_pins_are_confused_go_on_until_somebody_detaches_them() -> Result<()> {
    let siege = Siege::new()?;
    let folder = kill(siege.start(Folder::new()?, KEEP)?)?.folder;
    let flood = siege.flood()?;
    let [xdp, egress] = [link(&folder, "xdp")?, link(&folder, "egress")?];
    let program = siege.stage.server.xdp()?;
    swap_files(&xdp, &egress)?;
    let (said, folder) = assert_refuses(&siege, folder)?;
    assert!(said.contains("`guard detach` takes it off"), "{said}");
    assert_eq!(siege.stage.server.xdp()?, program, "it goes on");

    // Put right again it is taken over; what leaves is seen by a link of its own again.
    swap_files(&xdp, &egress)?;
    fs::remove_file(&egress)?;
    MapData::from_pin(maps(&folder)?.join("BUDGETS"))?.pin(&egress)?;
    let agent = siege.start(folder, KEEP)?;
    assert_eq!(agent.log().with("message", FALSE_LINK).count(), 1);
    assert!(described(&egress)?["prog_id"].is_number(), "a link again");
    let folder = kill(agent)?.folder;
    swap_files(&xdp, &egress)?;
    siege.assert_tight(flood)?;
    let output = detach(&siege.stage, &folder)?;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "detached from eth0\n"
    );
    wait_until(|| Ok(siege.stage.server.xdp()?.is_none()))?;
    assert!(!folder.bpffs().exists(), "{:?}", folder.pins());
    Ok(())
}

/// Asserts that a start on these folders fails; what it says of that.
fn assert_refuses(siege: &Siege, folder: Folder) -> Result<(String, Folder)> {
    let file = folder.join("guard.toml").to_string_lossy().into_owned();
    let flags = ["--iface", "eth0", "--config", &file];
    let refused = Agent::spawn_in(siege.stage.host(), folder, &flags)?.wait(PATIENCE)?;
    assert_eq!(refused.status.code(), Some(1), "{}", refused.log.text());
    Ok((refused.log.text().to_owned(), refused.folder))
}
