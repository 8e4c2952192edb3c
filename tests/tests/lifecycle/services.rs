//! Services come and go, as many as a configuration may have.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use guard::config::MAX_SERVICES;
use lab::{
    agent::{Agent, Folder},
    stage::{CLIENT, INTERFACE, SERVER, Stage},
};

use crate::{
    keep::assert_detaches,
    reload::{cli, wait_until},
};

/// The port before that of the first service.
const BEFORE: usize = 10_000;
/// For an answer.
const SOON: Duration = Duration::from_secs(5);
/// After this long without an answer there is none.
const SILENCE: Duration = Duration::from_millis(500);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: s\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// So many services. The last one is for the client; the one before, if any, for others only.
fn configuration(services: usize) -> String {
    let mut text = String::from("on_stop = \"keep\"\n");
    for number in 1..=services {
        let port = BEFORE + number;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[[service]]\nname = \"s{number}\"\nports = [{port}]");
        if number == services {
            let _ = writeln!(text, "allow = [\"{CLIENT}\"]");
        } else if number + 1 == services {
            let _ = writeln!(text, "allow = [\"198.51.100.0/24\"]");
        }
    }
    text
}

fn connect(stage: &Stage, number: usize, patience: Duration) -> Result<TcpStream> {
    let port = u16::try_from(BEFORE + number)?;
    stage.client.namespace().run(|| {
        let stream = TcpStream::connect_timeout(&(SERVER, port).into(), patience)?;
        stream.set_read_timeout(Some(SOON))?;
        Ok(stream)
    })
}

fn listen(stage: &Stage, number: usize) -> Result<TcpListener> {
    let port = u16::try_from(BEFORE + number)?;
    stage.host().run(|| Ok(TcpListener::bind((SERVER, port))?))
}

/// Has the client ask a service something in clear.
fn ask(stage: &Stage, number: usize) -> Result<()> {
    let listener = listen(stage, number)?;
    let mut client = connect(stage, number, SOON)?;
    let (mut server, _) = listener.accept()?;
    server.set_read_timeout(Some(SOON))?;
    client.write_all(REQUEST)?;
    server.read_exact(&mut [0; REQUEST.len()])?;
    server.write_all(ANSWER)?;
    client.read_exact(&mut [0; ANSWER.len()])?;
    Ok(())
}

/// Connections of a service that were served in clear, as the metrics have it.
fn served(agent: &Agent, number: usize) -> Result<u64> {
    let name = format!("s{number}");
    let labels = [("service", &*name), ("verdict", "plaintext_served")];
    Ok(agent.metrics()?.count("guard_connections_total", &labels))
}

/// Asserts that exactly so many services are there, the last of them as it is configured.
fn assert_in_force(stage: &Stage, agent: &Agent, services: usize) -> Result<()> {
    let status = agent.status()?;
    let shown = status["services"].as_array().context("services")?;
    assert_eq!(shown.len(), services);
    let last = format!("s{services}");
    assert_eq!(shown[services - 1]["name"], *last);
    assert!(cli(agent, &["status"])?.contains(&format!("service {last} ")));
    cli(agent, &["top", "--once"])?;

    let before = served(agent, services)?;
    ask(stage, services)?;
    wait_until(|| Ok(served(agent, services)? == before + 1))?;
    if services > 1 {
        let _listener = listen(stage, services - 1)?;
        let refused = connect(stage, services - 1, SILENCE);
        ensure!(refused.is_err(), "s{} admits the client", services - 1);
    }
    Ok(())
}

#[test]
fn services_come_and_go_up_to_the_most_there_may_be() -> Result<()> {
    let (stage, mut folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    let name = file.to_string_lossy().into_owned();
    let flags = ["--iface", INTERFACE, "--config", &name];
    for (services, first) in [(1, 1), (64, 1), (65, 1), (MAX_SERVICES, 1), (65, 1), (1, 2)] {
        fs::write(&file, configuration(services))?;
        let agent = Agent::start_in(stage.host(), folder, &flags)?;
        assert_in_force(&stage, &agent, services)?;
        assert_eq!(served(&agent, 1)?, first, "counts go on");
        if services == 65 {
            cli(&agent, &["reload"])?;
            assert_in_force(&stage, &agent, services)?;
        }
        folder = agent.stop()?.folder;
    }
    fs::write(&file, configuration(65))?;
    let agent = Agent::start_in(stage.host(), folder, &flags)?;
    assert_eq!(served(&agent, 65)?, 4, "also those of who was away");
    let folder = agent.stop()?.folder;
    assert_detaches(&stage, &folder)
}

/// Services of these numbers, in this order.
fn in_order(numbers: &[usize]) -> String {
    let service = |number: &usize| {
        let port = BEFORE + number;
        format!("[[service]]\nname = \"s{number}\"\nports = [{port}]\n")
    };
    let services: String = numbers.iter().map(service).collect();
    format!("on_stop = \"keep\"\n{services}")
}

#[test]
fn a_reload_takes_other_services_and_counts_go_on_by_their_names() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let file = folder.join("guard.toml");
    let name = file.to_string_lossy().into_owned();
    fs::write(&file, format!("{}watch = false\n", in_order(&[])))?;
    let agent = Agent::start_in(
        stage.host(),
        folder,
        &["--iface", INTERFACE, "--config", &name],
    )?;
    let mut asked = [0; 4];
    for order in [&[1, 2][..], &[3, 2], &[2, 1, 3], &[3], &[1, 3, 2]] {
        let watch = format!("watch = false\n{}", in_order(order));
        fs::write(&file, watch)?;
        cli(&agent, &["reload"])?;
        let status = agent.status()?;
        let shown = status["services"].as_array().context("services")?;
        let names: Vec<String> = order.iter().map(|number| format!("s{number}")).collect();
        assert!(shown.iter().map(|service| &service["name"]).eq(&names));
        for number in order {
            assert_eq!(served(&agent, *number)?, asked[*number], "{order:?}");
            ask(&stage, *number)?;
            asked[*number] += 1;
            wait_until(|| Ok(served(&agent, *number)? == asked[*number]))?;
        }
    }
    // The last of each, by their names.
    let events = cli(&agent, &["events"])?;
    for number in 1..=3 {
        let of_service = format!("s{number}");
        let port = format!(":{}", BEFORE + number);
        let told = events.lines().filter(|line| line.contains(&of_service));
        assert!(told.clone().count() > 0, "{events}");
        assert!(told.clone().all(|line| line.contains(&port)), "{events}");
    }
    let folder = agent.stop()?.folder;
    assert_detaches(&stage, &folder)
}
