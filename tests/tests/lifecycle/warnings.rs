//! Rules against the host itself or those who administer it: in force as they are, and said so.

use std::{
    fs,
    net::{IpAddr, TcpListener, TcpStream},
};

use anyhow::{Context as _, Result};
use lab::{
    agent::{self, Agent, Folder},
    stage::{CLIENT, CLIENT_V6, INTERFACE, OTHER, SERVER, SERVER_V6, Stage},
};

use crate::reload::cli;

const SSH: u16 = 22;

/// A connection of either family to the port of SSH, and who listens there.
fn connect(stage: &Stage) -> Result<(TcpListener, [TcpStream; 2])> {
    let listener = stage.host().run(|| Ok(TcpListener::bind(("::", SSH))?))?;
    let connect = |server: IpAddr| {
        let client = stage.client.namespace();
        client.run(|| Ok(TcpStream::connect((server, SSH))?))
    };
    let streams = [connect(SERVER.into())?, connect(SERVER_V6.into())?];
    Ok((listener, streams))
}

fn warnings(agent: &Agent) -> Result<Vec<String>> {
    let status = agent.status()?;
    let warnings = status["warnings"].as_array().context("no warnings")?;
    let text = |warning: &serde_json::Value| warning.as_str().unwrap_or_default().to_owned();
    Ok(warnings.iter().map(text).collect())
}

/// Of whom each warning of an SSH connection is.
fn shut_out(agent: &Agent) -> Result<Vec<String>> {
    let warnings = warnings(agent)?.into_iter();
    Ok(warnings.filter(|warning| warning.contains("SSH")).collect())
}

#[test]
fn whoever_has_an_ssh_connection_is_not_shut_out_without_a_word() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let (_listener, [v4, v6]) = connect(&stage)?;
    let (v4, v6) = (v4.local_addr()?.ip(), v6.local_addr()?.ip());
    let file = folder.join("guard.toml");
    let name = file.to_string_lossy().into_owned();
    fs::write(folder.join("list"), format!("192.0.2.1\n{v4}\n"))?;
    let feed = "[[feed]]\nname = \"drop-list\"\nfile = \"list\"\n";
    fs::write(
        &file,
        format!("[[deny]]\ncidr = \"203.0.113.8/29\"\n{feed}"),
    )?;
    let flags = ["--iface", INTERFACE, "--config", &name];
    let agent = Agent::start_in(stage.host(), folder, &flags)?;

    // Of the configuration, at start: in the status and in the log.
    let said = shut_out(&agent)?;
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with(&format!("203.0.113.8/29 (deny) holds {v4},")),
        "{said:?}"
    );
    assert_eq!(
        agent.log().with("message", &said[0]).count(),
        1,
        "{}",
        agent.log().text()
    );
    let human = cli(&agent, &["status"])?;
    assert!(human.contains(&format!("warning: {}", said[0])), "{human}");

    // Of a feed, at a reload: to whoever asked for it.
    fs::write(&file, feed)?;
    let reloaded = agent.cli(&["reload"])?;
    let answer = String::from_utf8(reloaded.stderr)?;
    assert!(reloaded.status.success(), "{answer}");
    let expected = format!("guard: warning: {v4}/32 (feed drop-list) holds {v4},");
    assert!(answer.contains(&expected), "{answer}");

    // Of an entry of the running agent: of that alone, and done.
    let denied = agent.cli(&["deny", "add", &format!("{v6}/124")])?;
    let answer = String::from_utf8(denied.stderr)?;
    assert!(denied.status.success(), "{answer}");
    assert_eq!(answer.lines().count(), 1, "{answer}");
    assert!(answer.contains(&format!("(deny) holds {v6},")), "{answer}");
    assert_eq!(shut_out(&agent)?.len(), 2);
    assert_eq!(cli(&agent, &["deny", "list"])?.lines().count(), 1);

    // Not of those whom something else lets in.
    cli(&agent, &["allow", "add", &v4.to_string(), &v6.to_string()])?;
    assert_eq!(warnings(&agent)?, Vec::<String>::new());
    agent.stop()?;
    Ok(())
}

#[test]
fn the_ssh_connection_that_a_command_comes_by_counts() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &["--iface", INTERFACE])?;
    let add = |cidr: &str| -> Result<String> {
        let mut command = stage.host().command(agent::binary()?);
        agent::without_settings(&mut command);
        command.env("SSH_CONNECTION", format!("{OTHER} 50314 {SERVER} 2222"));
        command
            .args(["deny", "add", cidr, "--socket"])
            .arg(agent.folder().socket());
        let output = command.output()?;
        assert!(output.status.success());
        Ok(String::from_utf8(output.stderr)?)
    };
    assert_eq!(add(&CLIENT.to_string())?, "");
    let said = add(&OTHER.to_string())?;
    assert!(
        said.contains(&format!("{OTHER}/32 (deny) holds {OTHER}")),
        "{said}"
    );
    agent.stop()?;
    Ok(())
}

#[test]
fn what_names_the_host_itself_is_told_once_a_list_and_the_host_goes_on() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    let name = file.to_string_lossy().into_owned();
    fs::write(
        folder.join("list"),
        format!("{SERVER_V6}\n203.0.113.0/30\n2001:db8::/127"),
    )?;
    let text = format!(
        "allow = [{{ cidr = \"{SERVER}\" }}, {{ cidr = \"203.0.113.0/24\" }}]\n\
         deny = [{{ cidr = \"{SERVER_V6}\" }}, {{ cidr = \"2001:db8::/64\" }}]\n\
         [[feed]]\nname = \"drop-list\"\nfile = \"list\"\n"
    );
    fs::write(&file, text)?;
    let flags = ["--iface", INTERFACE, "--config", &name];
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    let said = warnings(&agent)?;
    let starts = [
        "the list allow has an entry that holds an address of this host",
        "the list deny has 2 entries that hold addresses of this host",
        "the feed drop-list has 3 entries that hold addresses of this host",
    ];
    assert_eq!(said.len(), starts.len(), "{said:?}");
    for (said, start) in said.iter().zip(starts) {
        assert!(said.starts_with(start), "{said}");
        assert_eq!(agent.log().with("message", said).count(), 1, "{said}");
    }
    let denied = agent.cli(&["deny", "add", "2001:db8::/96", "192.0.2.0/24"])?;
    let answer = String::from_utf8(denied.stderr)?;
    assert!(
        answer.contains("has an entry that holds an address of this host"),
        "{answer}"
    );
    assert_eq!(warnings(&agent)?.len(), 4);

    // Nobody else has it, whatever is said of the networks around it.
    for own in [IpAddr::from(SERVER), SERVER_V6.into()] {
        let explained = cli(&agent, &["explain", &own.to_string()])?;
        assert!(explained.contains("drop (spoofed)"), "{explained}");
    }
    // And the host reaches itself and others as before.
    assert!(crate::reload::reaches(&stage)?, "whom the list allow holds");
    assert!(!cli(&agent, &["explain", &CLIENT_V6.to_string()])?.contains("pass"));
    agent.stop()?;
    Ok(())
}

#[test]
fn everyone_is_denied_by_the_configuration_only() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &["--iface", INTERFACE])?;
    for everyone in ["0.0.0.0/0", "::/0", "::ffff:0:0/96"] {
        let refused = agent.cli(&["deny", "add", "192.0.2.1", everyone])?;
        let error = String::from_utf8(refused.stderr)?;
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert!(error.contains("`everyone = true`"), "{error}");
        assert_eq!(cli(&agent, &["deny", "list"])?, "", "all or none");
    }
    cli(&agent, &["allow", "add", "0.0.0.0/0"])?;
    agent.stop()?;
    Ok(())
}
