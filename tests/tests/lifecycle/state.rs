//! The state folder when it is full, closed or broken: said, and nothing is lost.

use std::{fs, io::Write as _, path::Path};

use anyhow::{Context as _, Result};
use lab::{
    agent::{Agent, Folder},
    command,
    stage::{CLIENT, INTERFACE, Stage},
};

use crate::reload::{cli, reaches};

const FLAGS: [&str; 2] = ["--iface", INTERFACE];

/// Writes until there is no room for a byte more.
pub(crate) fn fill(folder: &Path) -> Result<()> {
    let mut file = fs::File::create(folder.join("filler"))?;
    for size in [4096, 1] {
        while file.write_all(&vec![b'.'; size]).is_ok() {}
    }
    Ok(())
}

#[test]
fn what_cannot_be_written_down_is_refused_and_not_in_force() -> Result<()> {
    let stage = Stage::new()?;
    let mut folder = Folder::new()?;
    folder.limit_state(256)?;
    let agent = Agent::start_in(stage.host(), folder, &FLAGS)?;
    let kept_in = agent.folder().state();
    let mounted = kept_in.display().to_string();
    let client = CLIENT.to_string();
    cli(&agent, &["deny", "add", "192.0.2.1"])?;
    let kept = fs::read(kept_in.join("entries.json"))?;
    let listed = cli(&agent, &["deny", "list"])?;

    let refuses = |sayings: [&str; 3]| -> Result<()> {
        for words in [["deny", "add", &client], ["deny", "remove", "192.0.2.1"]] {
            let refused = agent.cli(&words)?;
            let error = String::from_utf8(refused.stderr)?;
            assert_eq!(refused.status.code(), Some(1), "{error}");
            for said in sayings {
                assert!(error.contains(said), "no `{said}` in: {error}");
            }
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        assert_eq!(cli(&agent, &["deny", "list"])?, listed);
        assert!(!kept_in.join("entries.json.new").exists());
        assert!(reaches(&stage)?, "it is not in force");
        Ok(())
    };
    fill(&kept_in)?;
    refuses(["nothing has changed", "entries.json", "No space left"])?;
    fs::remove_file(kept_in.join("filler"))?;
    // Over it, since the agent has a file in it open to write.
    command::run(&format!("mount -t tmpfs -o ro none {mounted}"))?;
    // Who changes what cannot be written down either.
    let outcome = refuses(["is not made", "audit.log", "Read-only file system"]);
    command::run(&format!("umount {mounted}"))?;
    outcome?;
    assert_eq!(fs::read(kept_in.join("entries.json"))?, kept);
    cli(&agent, &["deny", "add", &client])?;
    assert!(!reaches(&stage)?);
    agent.stop()?;
    Ok(())
}

#[test]
fn broken_state_files_are_moved_aside_and_protection_goes_on() -> Result<()> {
    const FILES: [&str; 6] = [
        "entries.json",
        "bans.json",
        "credentials.key",
        "estate.json",
        "alerts-queue.jsonl",
        "alerts-active.json",
    ];
    const BROKEN: &[u8] = b"[{\"list\": \"de\0ny\"\n";
    // Nobody listens there.
    const ALERT: &str = "[[alert]]\nwebhook = \"http://127.0.0.1:9/\"\nformat = \"json\"\n";
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    fs::create_dir_all(folder.state())?;
    for file in FILES {
        fs::write(folder.state().join(file), BROKEN)?;
    }
    let config = folder.join("guard.toml");
    fs::write(&config, ALERT)?;
    let flags = ["--iface", INTERFACE, "--config", &config.to_string_lossy()];
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    let kept_in = agent.folder().state();
    for file in FILES {
        let aside = kept_in.join(format!("{file}.broken"));
        let kept = fs::read(aside).with_context(|| format!("{file} is not kept"))?;
        assert_eq!(kept, BROKEN, "{file}");
    }
    let status = agent.status()?;
    let warnings = status["warnings"].to_string();
    let log = agent.log().text().to_owned();
    for file in &FILES {
        let told = format!("{file} cannot be read");
        assert!(warnings.contains(&told), "no `{told}` in {warnings}");
        assert!(log.contains(&told), "no `{told}` in {log}");
    }
    cli(&agent, &["deny", "add", &CLIENT.to_string()])?;
    assert!(!reaches(&stage)?);
    let folder = agent.stop()?.folder;
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    assert!(!reaches(&stage)?, "what was added since is kept");
    assert_eq!(agent.status()?["warnings"], serde_json::json!([]));
    agent.stop()?;
    Ok(())
}
