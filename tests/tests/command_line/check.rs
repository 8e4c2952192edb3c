//! `guard check`: pure, and of one mind with `guard run`.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use lab::agent;
use serde_json::Value;

use crate::{end_of, guard};

const NOBODY: u32 = 65_534;

const SMALL: &str = r#"
interfaces = ["eth0", "eth1"]
[limits]
packets = "50k/s"
[[deny]]
cidr = "203.0.113.0/24"
reason = "abuse"
"#;

#[test]
fn a_good_configuration_is_summed_up() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("guard.toml");
    fs::write(&file, SMALL)?;
    let good = guard(&["check", "--config", &file.to_string_lossy()])?;
    assert_eq!((good.code, &*good.stderr), (Some(0), ""));
    let expected = format!(
        "{}: ok: 2 interfaces, 1 service, 1 deny, 0 allow\n",
        file.display()
    );
    assert_eq!(good.stdout, expected);
    Ok(())
}

#[test]
fn in_json_the_whole_configuration_is_said_with_its_defaults() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("guard.toml");
    fs::write(&file, SMALL)?;
    let good = guard(&["check", "--config", &file.to_string_lossy(), "-o", "json"])?;
    assert_eq!((good.code, &*good.stderr), (Some(0), ""));
    let config: Value = serde_json::from_str(&good.stdout)?;
    assert_eq!(config["interfaces"], serde_json::json!(["eth0", "eth1"]));
    assert_eq!(config["limits"]["packets"], "50k/s");
    assert_eq!(config["limits"]["connections"], "120k/min");
    assert_eq!(config["limits"]["bytes"], "off");
    assert_eq!(config["services"][0]["name"], "api");
    assert_eq!(config["deny"][0]["cidr"], "203.0.113.0/24");
    assert_eq!(config["deny"][0]["reason"], "abuse");
    Ok(())
}

#[test]
fn a_bad_configuration_ends_with_two_in_either_format() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("guard.toml");
    fs::write(&file, "[limits]\npackets = \"50k\"\n")?;
    for format in ["table", "json"] {
        let bad = guard(&["check", "--config", &file.to_string_lossy(), "-o", format])?;
        assert_eq!((bad.code, &*bad.stdout), (Some(2), ""), "{format}");
        assert!(bad.stderr.contains("guard.toml:2:11"), "{}", bad.stderr);
    }
    Ok(())
}

#[test]
fn the_file_may_come_from_the_environment() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("guard.toml");
    fs::write(&file, SMALL)?;
    let good = end_of(agent::command(&["check"])?.env("GUARD_CONFIG", &file))?;
    assert!(good.stdout.contains("2 interfaces"), "{}", good.stdout);
    let defaults = end_of(agent::command(&["check"])?.env("GUARD_CONFIG", ""))?;
    assert!(
        defaults.stdout.starts_with("defaults: ok"),
        "{}",
        defaults.stdout
    );
    Ok(())
}

#[test]
fn it_takes_no_privilege_and_touches_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    fs::set_permissions(folder.path(), mode(0o755))?;
    let file = folder.path().join("guard.toml");
    fs::write(&file, SMALL)?;
    let binary = File::open(agent::binary()?)?;
    // Its folder may be closed to others: opened by us, it is not looked up there.
    let mut command = Command::new(Path::new("/proc/self/fd").join(binary.as_raw_fd().to_string()));
    agent::without_settings(&mut command);
    command
        .arg("check")
        .arg("--config")
        .arg(&file)
        .current_dir(folder.path());
    if nix::unistd::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let good = end_of(&mut command)?;
    assert_eq!((good.code, &*good.stderr), (Some(0), ""));
    assert_eq!(fs::read_dir(folder.path())?.count(), 1, "only the file");
    Ok(())
}

#[test]
fn the_examples_in_the_documentation_are_valid() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("no parent")?;
    let folder = tempfile::tempdir()?;
    // What the examples name lies beside them.
    fs::write(folder.path().join("drop.netset"), "192.0.2.0/24")?;
    let mut checked = 0;
    for page in ["README.md", "docs/CONFIGURATION.md"] {
        let text = fs::read_to_string(root.join(page))?;
        for (number, example) in examples(&text).enumerate() {
            let file: PathBuf = folder.path().join(format!("{number}.toml"));
            fs::write(&file, example)?;
            let ended = guard(&["check", "--config", &file.to_string_lossy()])?;
            assert_eq!(ended.code, Some(0), "{page}:\n{example}\n{}", ended.stderr);
            checked += 1;
        }
    }
    assert!(checked >= 2, "{checked} examples");
    Ok(())
}

/// What is between "```toml" and "```".
fn examples(page: &str) -> impl Iterator<Item = &str> {
    let after = page.split("```toml\n").skip(1);
    after.filter_map(|text| text.split("```").next())
}
