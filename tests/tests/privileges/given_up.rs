//! What every thread of the agent has given up.

use anyhow::Result;
use lab::{
    agent::{Agent, Folder},
    stage::{CLIENT, INTERFACE, Stage},
};

use crate::{FLAGS, KEPT, capabilities, cli, threads};

#[test]
fn every_thread_keeps_three_capabilities_or_none() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    std::fs::write(&file, "[limits]\nban = { after = \"1s\" }\n")?;
    let config = file.to_string_lossy().into_owned();
    let flags = ["--iface", INTERFACE, "--config", &config];
    let mut agent = Agent::start_in(stage.host(), folder, &flags)?;
    // Whatever threads it has for that, are there then.
    cli(&agent, &["deny", "add", &CLIENT.to_string()])?;
    cli(&agent, &["reload"])?;
    agent.metrics()?;

    let threads = threads(agent.server())?;
    assert!(threads.len() >= 2, "the log has a thread: {threads:?}");
    for (name, thread) in &threads {
        for field in ["CapPrm", "CapEff", "CapBnd"] {
            let more = capabilities(thread, field)? & !KEPT;
            assert_eq!(more, 0, "{name} has more in {field}: {thread:?}");
        }
        for field in ["CapInh", "CapAmb"] {
            assert_eq!(capabilities(thread, field)?, 0, "{name}, {field}");
        }
        assert_eq!(thread["NoNewPrivs"], "1", "{name}");
        assert_eq!(thread["Seccomp"], "2", "{name}: a filter");
    }
    let main = format!("guard {}", agent.server().pid());
    assert_eq!(capabilities(&threads[&main], "CapEff")?, KEPT);
    let log = threads.keys().find(|name| name.starts_with("guard-log"));
    let log = &threads[log.expect("the log's thread")];
    assert_eq!(capabilities(log, "CapPrm")?, 0, "the log needs none");
    agent.stop()?;
    Ok(())
}

#[test]
fn the_status_tells_what_was_given_up() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let told = &agent.status()?["privileges"];
    let kept = serde_json::json!(["bpf", "net_admin", "perfmon"]);
    assert_eq!(told["capabilities"], kept, "{told}");
    assert_eq!(
        (&told["no_new_privs"], &told["seccomp"]),
        (&true.into(), &true.into())
    );
    let (landlock, lacking) = match told["landlock"].as_u64() {
        Some(version) => (format!(", landlock v{version}"), 0),
        None => (String::new(), 1),
    };
    assert_eq!(
        told["lacking"].as_array().map(Vec::len),
        Some(lacking),
        "{told}"
    );
    let line = format!("privileges: bpf, net_admin, perfmon; no_new_privs{landlock}, seccomp\n");
    let table = cli(&agent, &["status"])?;
    assert!(table.contains(&line), "no `{line}` in {table}");
    let log = agent.stop()?.log;
    let said = log.lines().filter(|line| {
        let text = line["message"].as_str().unwrap_or_default();
        text.starts_with("privileges given up; kept: bpf, net_admin, perfmon;")
    });
    assert_eq!(said.count(), 1, "{}", log.text());
    Ok(())
}
