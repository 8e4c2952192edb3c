//! What the host lives by: a real SSH session and a resolver's answers, whatever is refused, and
//! what comes in their name.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, SocketAddr, TcpStream, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Namespace,
    agent::{self, Agent, Folder},
    flood::Flood,
    frames::{Frame, tcp},
    servers::ssh::{Open, Session},
    stage::{CLIENT, INTERFACE, OTHER, SERVER, Stage},
};
use serde_json::Value;

use crate::{IN_VAIN, PATIENCE, packets, stop, wait_for_packets};

const SSH: u16 = 22;
const DNS: u16 = 53;

/// A stage with an SSH server, and somebody who has logged in.
struct Office {
    stage: Stage,
    sshd: Open,
    session: Session,
}

impl Office {
    fn new() -> Result<Self> {
        let stage = Stage::new()?;
        let sshd = Open::start(stage.host(), SSH)?;
        let session = sshd.log_in(stage.client.namespace(), SERVER.into())?;
        Ok(Self {
            stage,
            sshd,
            session,
        })
    }

    fn guard(&self, flags: &[&str]) -> Result<Agent> {
        let flags = [&["--iface", INTERFACE], flags].concat();
        Agent::start(self.stage.host(), &flags)
    }

    /// Whether somebody at the client's address gets a new connection.
    fn lets_in(&self) -> Result<bool> {
        let server = SocketAddr::new(SERVER.into(), SSH);
        let client = self.stage.client.namespace();
        client.run(|| Ok(TcpStream::connect_timeout(&server, IN_VAIN).is_ok()))
    }

    fn assert_goes_on(&mut self, what: &str) {
        for turn in 0..3 {
            let said = format!("{what}, {turn}");
            assert!(self.session.echoes(&said, PATIENCE), "{said}");
        }
    }

    /// Segments of the session but for their sequence number.
    fn forged(&self, sequence: u32) -> Result<Frame> {
        let packet = self.stage.packet(CLIENT.into());
        let segment = packet.tcp(self.session.port()?, SSH);
        let segment = segment.flags(tcp::ACK | tcp::PSH).sequence(sequence, 1);
        Ok(segment.payload("rm -rf /").build())
    }
}

fn connections(agent: &Agent) -> Result<Vec<Value>> {
    let status = agent.status()?;
    let connections = status["protect_self"]["connections"].as_array().cloned();
    connections.context("no connections")
}

#[test]
fn an_ssh_session_goes_on_under_a_deny_of_its_own_address() -> Result<()> {
    let mut office = Office::new()?;
    // Denied from the first packet on.
    let agent = office.guard(&["--deny", &CLIENT.to_string()])?;
    office.assert_goes_on("denied");
    assert!(packets(&agent, "pass", "protect_self")? > 0);
    assert!(!office.lets_in()?, "nobody new comes in");
    assert!(wait_for_packets(&agent, "drop", "deny", 1)? > 0);

    let shown = connections(&agent)?;
    let client = format!("{CLIENT}:{}", office.session.port()?);
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(shown[0]["client"], client);
    let human = agent.cli(&["status"])?;
    let human = String::from_utf8_lossy(&human.stdout).into_owned();
    let line = format!("  the SSH connection of {client} to {SERVER}:{SSH}\n");
    assert!(human.contains(&line), "{human}");
    let warning = format!("{CLIENT}/32 (deny) holds {CLIENT}, which has an SSH connection");
    assert!(
        human.contains(&warning) && human.contains("that goes on"),
        "{human}"
    );

    // A new program goes on with what the old one knew.
    let reloaded = agent.cli(&["reload"])?;
    ensure!(reloaded.status.success(), "{reloaded:?}");
    office.assert_goes_on("reloaded");
    stop(agent)
}

#[test]
fn an_ssh_session_goes_on_under_a_limit_and_a_flood_from_its_own_address() -> Result<()> {
    let mut office = Office::new()?;
    let agent = office.guard(&["--limit-packets", "1/s"])?;
    office.assert_goes_on("limited");
    // From every port, the session's own among them; and from that alone, with sequence numbers
    // of which at most one fits.
    let every_port = office.stage.packet(CLIENT.into());
    let every_port = every_port.tcp(1, SSH).flags(tcp::ACK).build();
    for (frame, ports) in [
        (every_port, 1 << 16),
        (office.forged(1 << 30)?, 1),
        (office.forged(3 << 30)?, 1),
    ] {
        let flood = Flood {
            ports,
            rate_pps: Some(20_000),
            ..Flood::new(frame, 40_000)
        };
        let flood = flood.start(&office.stage.client)?;
        office.assert_goes_on("flooded");
        flood.wait()?;
    }
    let dropped = wait_for_packets(&agent, "drop", "limit_packets", 75_000)?;
    assert!(dropped >= 75_000, "{dropped} of 120,000 forged ones");
    office.assert_goes_on("after the flood");
    stop(agent)
}

#[test]
fn what_comes_in_the_name_of_a_session_opens_nothing() -> Result<()> {
    let mut office = Office::new()?;
    let agent = office.guard(&["--deny", &CLIENT.to_string()])?;
    office.assert_goes_on("denied");
    let mut spared = Vec::new();
    for sequence in [1 << 30, 3 << 30] {
        let before = packets(&agent, "pass", "protect_self")?;
        Flood::new(office.forged(sequence)?, 1000).run(&office.stage.client)?;
        spared.push(packets(&agent, "pass", "protect_self")? - before);
    }
    // The session's own number may be near one of them.
    assert!(spared.contains(&0), "{spared:?}");
    assert!(wait_for_packets(&agent, "drop", "deny", 1000)? >= 1000);
    office.assert_goes_on("after that");
    stop(agent)
}

#[test]
fn a_session_is_an_administrators_when_a_command_comes_by_it() -> Result<()> {
    let stage = Stage::new()?;
    let sshd = Open::start(stage.host(), SSH)?;
    let agent = Agent::start(stage.host(), &["--iface", INTERFACE])?;
    // Both come later than the agent.
    let client = stage.client.namespace();
    let mut caller = sshd.log_in(client, SERVER.into())?;
    let mut other = sshd.log_in(client, SERVER.into())?;
    let mut command = stage.host().command(agent::binary()?);
    agent::without_settings(&mut command);
    command.env("SSH_CONNECTION", &caller.connection);
    command.args(["deny", "add", &CLIENT.to_string(), "--socket"]);
    let denied = command.arg(agent.folder().socket()).output()?;
    ensure!(denied.status.success(), "{denied:?}");
    let said = String::from_utf8(denied.stderr)?;
    assert!(said.contains("that goes on, but no new one"), "{said}");
    assert!(caller.echoes("denied", PATIENCE));
    assert_eq!(connections(&agent)?.len(), 1);
    assert!(!other.echoes("denied", IN_VAIN), "nobody vouches for it");
    stop(agent)
}

#[test]
fn without_protect_self_a_session_ends_with_a_deny() -> Result<()> {
    let mut office = Office::new()?;
    let folder = Folder::new()?;
    let file = folder.join("guard.toml");
    let text = format!(
        "interfaces = [\"{INTERFACE}\"]\nprotect_self = false\n[[deny]]\ncidr = \"{CLIENT}\"\n"
    );
    fs::write(&file, text)?;
    let flags = ["--config", &file.to_string_lossy()];
    let agent = Agent::start_in(office.stage.host(), folder, &flags)?;
    assert!(!office.session.echoes("denied", IN_VAIN));
    assert_eq!(packets(&agent, "pass", "protect_self")?, 0);
    assert_eq!(agent.status()?["protect_self"]["enabled"], false);
    let human = agent.cli(&["status"])?;
    let human = String::from_utf8_lossy(&human.stdout).into_owned();
    assert!(human.contains("protect_self: off\n"), "{human}");
    assert!(human.contains("to keep it, `guard allow add"), "{human}");
    assert!(!office.lets_in()?);
    drop(office.sshd);
    stop(agent)
}

/// A resolver that answers every question with itself, until it is dropped with its namespace.
struct Resolver(UdpSocket);

impl Resolver {
    fn start(namespace: &Namespace) -> Result<Self> {
        let bind = || UdpSocket::bind((OTHER, DNS)).context("the resolver");
        let socket = namespace.run(bind)?;
        let answering = socket.try_clone()?;
        // Ends with the test's process; who asks is in a namespace of its own.
        thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((len, from)) = answering.recv_from(&mut question) {
                let _ = answering.send_to(&question[..len], from);
            }
        });
        Ok(Self(socket))
    }
}

/// A socket of the host.
fn socket(stage: &Stage) -> Result<UdpSocket> {
    let socket = stage.host().run(|| Ok(UdpSocket::bind((SERVER, 0))?))?;
    socket.set_read_timeout(Some(IN_VAIN))?;
    Ok(socket)
}

/// Whether something comes from the resolver.
fn hears(socket: &UdpSocket) -> Result<bool> {
    match socket.recv_from(&mut [0; 512]) {
        Ok((_, from)) => Ok(from.ip() == IpAddr::V4(OTHER)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Whether a question to the resolver is answered.
fn resolves(stage: &Stage) -> Result<bool> {
    let socket = socket(stage)?;
    socket.send_to(b"question", (OTHER, DNS))?;
    hears(&socket)
}

#[test]
fn the_answers_of_a_resolver_arrive_although_it_is_denied_and_nothing_else_of_it() -> Result<()> {
    let (stage, folder) = (Stage::new()?, Folder::new()?);
    let resolver = Resolver::start(stage.client.namespace())?;
    let file = folder.join("resolv.conf");
    fs::write(&file, format!("nameserver {OTHER}\n"))?;
    let flags = ["--iface", INTERFACE, "--deny", &OTHER.to_string()];
    let agent = Agent::start_resolving_by(stage.host(), &file, folder, &flags)?;
    let resolvers = |agent: &Agent| -> Result<Value> {
        Ok(agent.status()?["protect_self"]["resolvers"].clone())
    };
    assert_eq!(resolvers(&agent)?, serde_json::json!([OTHER.to_string()]));
    assert!(resolves(&stage)?);
    assert_eq!(packets(&agent, "pass", "protect_self")?, 1);

    // Nobody has asked.
    let silent = socket(&stage)?;
    resolver.0.send_to(b"answer", silent.local_addr()?)?;
    assert!(!hears(&silent)?, "unasked");
    assert_eq!(packets(&agent, "drop", "deny")?, 1);
    // Somebody has, but by another port; and at every port somebody says that he is the resolver.
    let asks = socket(&stage)?;
    asks.send_to(b"question", (OTHER, DNS))?;
    assert!(hears(&asks)?);
    let forged = stage
        .packet(OTHER.into())
        .udp(DNS - 1, asks.local_addr()?.port());
    Flood::new(forged.build(), 1000).run(&stage.client)?;
    let every_port = stage
        .packet(OTHER.into())
        .udp(1, silent.local_addr()?.port());
    let flood = Flood {
        ports: 1 << 16,
        ..Flood::new(every_port.build(), 1 << 16)
    };
    flood.run(&stage.client)?;
    assert!(!hears(&silent)?, "forged");
    assert_eq!(packets(&agent, "pass", "protect_self")?, 2);

    // Whom it is to ask may change.
    fs::write(&file, "nameserver 192.0.2.53\n")?;
    let deadline = Instant::now() + PATIENCE;
    while resolvers(&agent)? != serde_json::json!(["192.0.2.53"]) {
        ensure!(Instant::now() < deadline, "{}", agent.log().text());
        thread::sleep(Duration::from_millis(200));
    }
    assert!(!resolves(&stage)?);
    stop(agent)
}
