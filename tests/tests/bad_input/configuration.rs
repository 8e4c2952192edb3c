//! Configuration files that are wrong: every problem at once, each with its place and the fix.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use anyhow::Result;
use lab::{agent, agent::Folder, stage::Stage};

use crate::attempt::{BAD_CONFIGURATION, Ended, NOBODY, end_of, run, unprivileged};

const WRONG: &str = r#"interfaces = ["eth0"]
xdp_mode = "natve"
dry-run = true

[limits]
packets = "20k"
burst = "2h"

[[service]]
name = "Orders"
ports = [8443, "9010-9000"]

[[deny]]
cidr = "203.0.113.1/24"
"#;

/// What must be said of [`WRONG`].
const COMPLAINTS: [&str; 7] = [
    "guard.toml:2:",
    "guard.toml:3:1",
    "guard.toml:6:",
    "guard.toml:7:",
    "guard.toml:10:",
    "guard.toml:11:",
    "guard.toml:14:8",
];

fn check(file: &Path) -> Result<Ended> {
    end_of(&mut agent::command(&[
        "check",
        "--config",
        &file.to_string_lossy(),
    ])?)
}

#[test]
fn every_problem_is_told_at_once_with_its_place_and_the_fix() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, WRONG)?;
    let fixes = ["native", "dry_run", "9000-9010", "203.0.113.0/24"];
    let words = [&COMPLAINTS[..], &fixes].concat();
    check(&file)?.assert(BAD_CONFIGURATION, &words);
    let failed = run(
        stage.host(),
        &folder,
        &["--config", &file.to_string_lossy()],
    )?;
    failed.assert(BAD_CONFIGURATION, &words);
    assert_eq!(stage.server.xdp()?, None);
    assert!(
        !folder.state().exists(),
        "nothing is made before it is read"
    );
    Ok(())
}

#[test]
fn what_is_no_toml_is_told_with_its_place() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("guard.toml");
    for (text, place) in [
        ("interfaces = [\"eth0\"\n[limits]\n", "guard.toml:"),
        ("dry_run = yes\n", "guard.toml:1:11"),
        ("\n\n= 3\n", "guard.toml:3:1"),
        ("interfaces = \"eth0\n", "guard.toml:1:"),
    ] {
        fs::write(&file, text)?;
        check(&file)?.assert(BAD_CONFIGURATION, &[place]);
    }
    Ok(())
}

#[test]
fn a_file_that_cannot_be_read_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let missing = folder.path().join("missing.toml");
    check(&missing)?.assert(BAD_CONFIGURATION, &["missing.toml", "there is no file"]);
    check(folder.path())?.assert(BAD_CONFIGURATION, &["directory"]);
    let binary = folder.path().join("binary.toml");
    fs::write(&binary, b"interfaces = [\"\xff\xfe\"]\n")?;
    check(&binary)?.assert(BAD_CONFIGURATION, &["binary.toml", "UTF-8"]);
    Ok(())
}

#[test]
fn a_file_closed_to_us_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    let file = folder.path().join("secret.toml");
    fs::write(&file, "")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000))?;
    let words = ["check", "--config", &*file.to_string_lossy()];
    let failed = unprivileged(&words)?;
    failed.assert(BAD_CONFIGURATION, &["secret.toml", "may not be read"]);
    Ok(())
}

#[test]
fn a_file_that_others_may_write_is_refused_by_check_and_by_run() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, "interfaces = [\"eth0\"]\n")?;
    let flags = ["--config", &*file.to_string_lossy()];
    for (mode, words) in [
        (0o666, ["may be written by everybody", "chmod go-w"]),
        (0o664, ["may be written by its whole group", "chmod go-w"]),
    ] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode))?;
        check(&file)?.assert(BAD_CONFIGURATION, &words);
        run(stage.host(), &folder, &flags)?.assert(BAD_CONFIGURATION, &words);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    std::os::unix::fs::chown(&file, Some(NOBODY), None)?;
    let words = ["belongs to another user, 65534", "chown root"];
    run(stage.host(), &folder, &flags)?.assert(BAD_CONFIGURATION, &words);
    assert_eq!(stage.server.xdp()?, None);
    Ok(())
}

#[test]
fn a_configuration_may_come_by_a_pipe() -> Result<()> {
    let mut command = std::process::Command::new("sh");
    command.args([
        "-c",
        "echo 'dry_run = 1' | \"$0\" check --config /dev/stdin",
    ]);
    command.arg(agent::binary()?);
    end_of(&mut command)?.assert(BAD_CONFIGURATION, &["/dev/stdin:1:11", "true or false"]);
    Ok(())
}

#[test]
fn what_documents_an_api_is_checked_where_it_is_named() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("guard.toml");
    let service = "[[service]]\nname = \"a\"\nports = [80]\nopenapi = \"api.yaml\"\n";
    fs::write(&file, service)?;
    for (document, words) in [
        ("<!doctype html>\n<p>Not found", "this is no YAML document"),
        ("openapi: 3.0.0\npaths: {}", "documents no operation"),
        (
            "openapi: 4.0.0\npaths: {/a: {get: {}}}",
            "neither OpenAPI 3 nor",
        ),
    ] {
        fs::write(folder.path().join("api.yaml"), document)?;
        let words = ["guard.toml:4:11", "api.yaml: ", words];
        check(&file)?.assert(BAD_CONFIGURATION, &words);
    }
    Ok(())
}

#[test]
fn an_interface_named_twice_in_the_file_is_told() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    fs::write(&file, "interfaces = [\"eth0\", \"eth0\"]\n")?;
    let failed = run(
        stage.host(),
        &folder,
        &["--config", &file.to_string_lossy()],
    )?;
    failed.assert(BAD_CONFIGURATION, &["guard.toml:1:", "`eth0`", "twice"]);
    Ok(())
}
