//! Who may use the socket, and what is written down of it.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result};
use lab::{
    agent::{Agent, Folder},
    stage::Stage,
};
use serde_json::Value;

use crate::{FLAGS, said};

/// A group and users that nobody has.
const GROUP: &str = "54321";
const MEMBER: u32 = 54_322;
const STRANGER: u32 = 54_323;
/// What curl ends with when it cannot connect.
const NO_CONNECTION: i32 = 7;

/// What a user is answered who asks by curl.
fn curl(socket: &Path, uid: u32, groups: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &uid.to_string(), "--regid", &uid.to_string()])
        .args([groups, "--", "curl", "--silent", "--show-error"])
        .args(["--max-time", "30", "--write-out", "\n%{http_code}"])
        .arg("--unix-socket")
        .arg(socket)
        .args(arguments);
    command.output().context("cannot run curl as somebody else")
}

fn status_of(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().last().unwrap_or_default().to_owned()
}

fn audit_lines(folder: &Folder) -> Result<Vec<Value>> {
    let text = fs::read_to_string(folder.state().join("audit.log"))?;
    let lines = text.lines().map(serde_json::from_str);
    Ok(lines.collect::<Result<_, _>>()?)
}

/// Lets everybody reach the socket's file, which a test's folder does not.
fn open_way(folder: &Folder) -> Result<()> {
    fs::set_permissions(folder.join(""), fs::Permissions::from_mode(0o711))?;
    Ok(())
}

const READ: [&str; 1] = ["http://guard/v1/bans"];
const CHANGE: [&str; 3] = ["http://guard/v1/unban", "--json", "{\"all\":true}"];

#[test]
fn members_of_the_socket_group_may_use_it_and_others_may_not() -> Result<()> {
    let stage = Stage::new()?;
    let flags = [&FLAGS[..], &["--socket-group", GROUP]].concat();
    let agent = Agent::start(stage.host(), &flags)?;
    open_way(agent.folder())?;
    let socket = agent.folder().socket();
    let file = fs::metadata(&socket)?;
    assert_eq!(file.permissions().mode() & 0o777, 0o660);
    assert_eq!(file.gid().to_string(), GROUP);

    let in_group = format!("--groups={GROUP}");
    for request in [&READ[..], &CHANGE] {
        let answered = curl(&socket, MEMBER, &in_group, request)?;
        assert_eq!(status_of(&answered), "200", "{}", said(&answered));
        let kept_out = curl(&socket, STRANGER, "--clear-groups", request)?;
        assert_eq!(kept_out.status.code(), Some(NO_CONNECTION));
    }
    let lines = audit_lines(agent.folder())?;
    assert_eq!(lines.len(), 2, "one change: {lines:?}");
    assert_eq!(
        (&lines[0]["uid"], &lines[0]["gid"]),
        (&MEMBER.into(), &MEMBER.into())
    );
    agent.stop()?;
    Ok(())
}

#[test]
fn who_gets_to_the_socket_by_its_mode_alone_reads_and_changes_nothing() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    open_way(agent.folder())?;
    let socket = agent.folder().socket();
    let kept_out = curl(&socket, STRANGER, "--clear-groups", &READ)?;
    assert_eq!(kept_out.status.code(), Some(NO_CONNECTION));
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    let read = curl(&socket, STRANGER, "--clear-groups", &READ)?;
    assert_eq!(status_of(&read), "200", "{}", said(&read));
    let refused = curl(&socket, STRANGER, "--clear-groups", &CHANGE)?;
    assert_eq!(status_of(&refused), "403");
    let text = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(text.contains("{\"error\":\"changes are for root"), "{text}");
    assert_refused(&audit_lines(agent.folder())?);
    let log = agent.stop()?.log;
    let told: Vec<_> = log.with("outcome", "forbidden").collect();
    assert_eq!(told.len(), 1, "{}", log.text());
    assert_eq!(told[0]["uid"], STRANGER);
    Ok(())
}

/// One line, with who asked for what.
fn assert_refused(lines: &[Value]) {
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = &lines[0];
    assert_eq!(line["event"], "refused", "{line}");
    assert_eq!(
        (&line["uid"], &line["gid"]),
        (&STRANGER.into(), &STRANGER.into())
    );
    assert!(line["pid"].is_u64(), "{line}");
    assert_eq!(
        (&line["method"], &line["path"]),
        (&"POST".into(), &"/v1/unban".into())
    );
    assert_eq!(line["request"], CHANGE[2], "{line}");
    assert_eq!(
        (&line["status"], &line["left_out"]),
        (&403.into(), &0.into())
    );
}

/// How many such requests a stranger makes who wants to be the only one in the log.
const MANY: usize = 500;

#[test]
fn a_stranger_who_asks_all_the_time_leaves_the_audit_log_to_others() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    open_way(agent.folder())?;
    let socket = agent.folder().socket();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666))?;
    assert_eq!(
        agent.cli(&["deny", "add", "192.0.2.7"])?.status.code(),
        Some(0)
    );
    // One process, with a connection for each.
    let address = format!("http://guard/v1/unban?[1-{MANY}]");
    let asked = curl(
        &socket,
        STRANGER,
        "--clear-groups",
        &[&address, CHANGE[1], CHANGE[2]],
    )?;
    assert_eq!(
        String::from_utf8_lossy(&asked.stdout)
            .matches("\n403")
            .count(),
        MANY
    );
    let lines = audit_lines(agent.folder())?;
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).count();
    assert_eq!((of("request"), of("outcome")), (1, 1));
    let refused = of("refused");
    // Ten at once, and one more a minute, of which there may be some on a slow machine.
    assert!((10..20).contains(&refused), "{refused} lines");
    let log = agent.stop()?.log;
    assert_eq!(log.with("outcome", "forbidden").count(), refused);
    Ok(())
}

#[test]
fn a_group_that_is_not_there_is_named() -> Result<()> {
    let words = ["run", "--iface", "lo", "--socket-group", "no-such-group"];
    let output = lab::agent::command(&words)?.output()?;
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    assert!(
        said.contains("no group `no-such-group`") && said.contains("groupadd"),
        "{said}"
    );
    Ok(())
}

#[test]
fn each_change_is_written_down_with_who_and_what() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let words = [
        "deny",
        "add",
        "192.0.2.0/24",
        "--reason",
        "scanner",
        "--for",
        "10m",
    ];
    assert_eq!(agent.cli(&words)?.status.code(), Some(0));
    let refused = agent.cli(&["allow", "remove", "198.51.100.7"])?;
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
    assert_eq!(agent.cli(&["reload"])?.status.code(), Some(0));
    agent.status()?;

    let file = agent.folder().state().join("audit.log");
    assert_eq!(fs::metadata(file)?.permissions().mode() & 0o777, 0o600);
    let lines = audit_lines(agent.folder())?;
    let outline: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["id"].as_u64(),
                line["event"].as_str(),
                line["status"].as_u64(),
            )
        })
        .collect();
    let change = |id, status| {
        [
            (Some(id), Some("request"), None),
            (Some(id), Some("outcome"), Some(status)),
        ]
    };
    assert_eq!(
        outline,
        [change(1, 200), change(2, 422), change(3, 200)].concat()
    );
    let request = lines[0]["request"].as_str().context("a request")?;
    let request: Value = serde_json::from_str(request)?;
    assert_eq!(request["add"][0], "192.0.2.0/24");
    assert_eq!(
        (&request["reason"], &request["seconds"]),
        (&"scanner".into(), &600.into())
    );
    assert_eq!(
        (&lines[0]["uid"], &lines[0]["method"]),
        (&0.into(), &"POST".into())
    );
    let outcome = lines[3]["outcome"].as_str().context("an outcome")?;
    assert!(outcome.contains("198.51.100.7"), "{outcome}");

    let log = agent.stop()?.log;
    let told: Vec<_> = log.with("event", "audit").collect();
    let paths: Vec<_> = told.iter().map(|line| line["path"].as_str()).collect();
    let (entries, reload) = (Some("/v1/entries"), Some("/v1/reload"));
    assert_eq!(paths, [entries, entries, reload], "{}", log.text());
    Ok(())
}

#[test]
fn a_state_folder_that_is_full_stops_changes_and_not_protection() -> Result<()> {
    let stage = Stage::new()?;
    let mut folder = Folder::new()?;
    folder.limit_state(256)?;
    let agent = Agent::start_in(stage.host(), folder, &FLAGS)?;
    assert_eq!(
        agent.cli(&["deny", "add", "192.0.2.7"])?.status.code(),
        Some(0)
    );
    let filler = agent.folder().state().join("filler");
    assert!(fs::write(&filler, vec![0; 64 << 20]).is_err(), "it is full");
    // What is left of the last page may take a line.
    let mut refused = agent.cli(&["deny", "add", "192.0.2.8"])?;
    for _ in 0..50 {
        if !refused.status.success() {
            break;
        }
        refused = agent.cli(&["deny", "add", "192.0.2.8"])?;
    }
    assert_eq!(refused.status.code(), Some(1));
    let why = said(&refused);
    assert!(
        why.contains("state") && why.contains("o space left"),
        "{why}"
    );
    assert_eq!(agent.get("/readyz")?.status, 200);
    let explained = agent.cli(&["explain", "192.0.2.7"])?;
    let explained = String::from_utf8(explained.stdout)?;
    assert!(
        explained.starts_with("192.0.2.7: drop (deny)"),
        "{explained}"
    );
    fs::remove_file(filler)?;
    assert_eq!(
        agent.cli(&["deny", "add", "192.0.2.8"])?.status.code(),
        Some(0)
    );
    // Each line is whole, those around the full disk too.
    assert!(audit_lines(agent.folder())?.len() >= 4);
    agent.stop()?;
    Ok(())
}
