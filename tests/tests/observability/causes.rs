//! How it comes about on a host what an alert tells of, where traffic alone does not do it.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    net::TcpStream,
    os::{
        fd::OwnedFd,
        unix::{fs::OpenOptionsExt as _, net::UnixStream},
    },
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{self, Agent, Folder},
    command, control,
    servers::openssl,
    stage::{CLIENT, SERVER},
};
use nix::{fcntl::OFlag, sys::stat::Mode, unistd::mkfifo};
use serde_json::Value;
use tokio::net::TcpSocket;

use crate::site::{CALLED_PORT, SILENT_PORT, Site, wait_until};

/// What makes OpenSSL speak versions that nobody should.
const OLD: [&str; 3] = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];

/// Has the host call a server that speaks TLS 1.1.
pub(crate) fn old_tls(site: &Site, agent: &Agent) -> Result<()> {
    let server = openssl::start_with(site.clients(), CALLED_PORT, &OLD)?;
    wait_until("a finding", || {
        let mut client = site.stage.host().command("openssl");
        let address = format!("{CLIENT}:{CALLED_PORT}");
        client.args(["s_client", "-connect", &address]);
        client.args(OLD).stdin(Stdio::null());
        client.output().context("openssl")?;
        Ok(agent.metrics()?.sum("guard_tls_findings_total", &[]) > 0.0)
    })?;
    drop(server);
    Ok(())
}

/// Connections over which nothing is said.
pub(crate) struct Silent {
    _listener: OwnedFd,
    _clients: Vec<TcpStream>,
}

impl Silent {
    /// There are 8,192 places for four of them each: of so many some find theirs taken.
    const COUNT: usize = 12_000;

    /// Opens them. Nobody has to accept them.
    pub(crate) fn open(site: &Site) -> Result<Self> {
        let pid = std::process::id();
        command::run(&format!("prlimit --pid {pid} --nofile=16384"))?;
        let host = site.stage.host();
        host.set("core/somaxconn", &Self::COUNT.to_string())?;
        let listener = host.run(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .build()?;
            let _entered = runtime.enter();
            let socket = TcpSocket::new_v4()?;
            socket.bind((SERVER, SILENT_PORT).into())?;
            // The standard library's would hold 128.
            let listener = socket.listen(Self::COUNT as u32)?;
            Ok(listener.into_std()?.into())
        })?;
        let clients = site.clients().run(|| {
            let connect = |_| Ok(TcpStream::connect((SERVER, SILENT_PORT))?);
            (0..Self::COUNT).map(connect).collect()
        })?;
        Ok(Self {
            _listener: listener,
            _clients: clients,
        })
    }
}

/// Has the agent hold much memory while `meanwhile` runs: requests that do not come whole.
pub(crate) fn with_much_memory(
    agent: &Agent,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let (socket, done) = (agent.folder().socket(), AtomicBool::new(false));
    thread::scope(|scope| {
        let sender = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                let held: Vec<_> = (0..REQUESTS)
                    .map(|_| half_a_request(&socket))
                    .collect::<Result<_>>()?;
                thread::sleep(Duration::from_secs(2));
                drop(held);
            }
            Ok(())
        });
        let result = meanwhile();
        done.store(true, Ordering::Relaxed);
        sender.join().expect("it does not panic")?;
        result
    })
}

/// As many as there are places, but for some that others need.
const REQUESTS: usize = 24;

/// A request as long as one may be, but for its end.
fn half_a_request(socket: &Path) -> Result<UnixStream> {
    const MOST: usize = 16 << 20;
    let mut stream = control::connect(socket)?;
    let head = format!(
        "POST /v1/entries HTTP/1.1\r\nhost: guard\r\ncontent-type: application/json\r\n\
         content-length: {MOST}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    // On a slow machine its time may be over before all of it is sent.
    let _ = stream.write_all(&vec![b' '; MOST - 1]);
    Ok(stream)
}

/// Takes the program off, as somebody with `bpftool` may.
pub(crate) fn take_the_program_off(site: &Site) -> Result<()> {
    let program = site.stage.server.xdp()?.context("no program")?.program_id;
    let links: Value = serde_json::from_str(&command::run("bpftool --json link list")?)?;
    let links = links.as_array().context("no links")?;
    let own = links
        .iter()
        .find(|link| link["prog_id"] == program && link["type"] == "xdp");
    let id = &own.context("no link of the program")?["id"];
    command::run(&format!("bpftool link detach id {id}"))?;
    Ok(())
}

/// An agent in dry-run that logs all there is to a pipe that nobody reads.
pub(crate) fn start_unread(site: &Site, folder: Folder) -> Result<(Agent, File)> {
    let pipe = folder.join("pipe");
    mkfifo(&pipe, Mode::S_IRWXU)?;
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true);
    let end = options.custom_flags(OFlag::O_NONBLOCK.bits()).open(&pipe)?;
    let mut command = site.stage.host().command("sh");
    command.args(["-c", "GUARD_LOG=trace exec \"$@\" 2> \"$0\""]);
    command.arg(&pipe).arg(agent::binary()?);
    let file = folder.join("guard.toml").to_string_lossy().into_owned();
    let flags = ["--config", &file, "--dry-run"];
    let mut agent = Agent::spawn_as(site.stage.host(), folder, command, &flags)?;
    agent.wait_until_ready()?;
    Ok((agent, end))
}

/// Has it say so much that there is no room for it.
pub(crate) fn overflow_the_log(agent: &Agent) -> Result<()> {
    for _ in 0..1_000 {
        let metrics = agent.metrics()?;
        if metrics.sum("guard_log_lines_dropped_total", &[]) > 0.0 {
            return Ok(());
        }
        ensure!(agent.get("/readyz")?.status == 200);
        agent.status()?;
    }
    anyhow::bail!("all of its log is kept")
}
