//! Clients that connect and do nothing, or next to nothing.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    agent::{Agent, LISTEN},
    command, control,
    stage::{SERVER, Stage},
};

use crate::{FLAGS, PATIENCE};

/// Clients of `listen` that are slow.
const SLOW: usize = 1_000;
/// Connections that the agent has at a time, at most: of `listen`, and of its socket.
const PLACES: [usize; 2] = [128, 32];
/// A port of the host that is no API's.
const ECHO_PORT: u16 = 4_000;
/// Requests that have to be answered meanwhile.
const ROUNDS: usize = 20;
/// What the clients themselves, who share the machine, may cost the median of others' requests beside
/// five times what it is without them.
const SLACK: Duration = Duration::from_millis(50);

/// Connections to `listen` over which nothing is ever said.
fn idle_clients(stage: &Stage, count: usize) -> Result<Vec<TcpStream>> {
    let connect = || {
        (0..count)
            .map(|_| Ok(TcpStream::connect(LISTEN)?))
            .collect()
    };
    stage.host().run(connect)
}

/// Connections to the control socket over which nothing is ever said.
fn idle_local_clients(agent: &Agent, count: usize) -> Result<Vec<UnixStream>> {
    let socket = agent.folder().socket();
    (0..count).map(|_| control::connect(&socket)).collect()
}

/// Lets this process have as many files open as the clients are.
fn raise_file_limit() -> Result<()> {
    let pid = std::process::id();
    command::run(&format!("prlimit --pid {pid} --nofile=4096:"))?;
    Ok(())
}

fn open_files(agent: &mut Agent) -> Result<usize> {
    let files = format!("/proc/{}/fd", agent.server().pid());
    Ok(fs::read_dir(files)?.count())
}

#[test]
fn a_client_that_never_finishes_does_not_hold_up_the_end() -> Result<()> {
    let stage = Stage::new()?;
    let agent = Agent::start(stage.host(), &FLAGS)?;
    let idle = (idle_clients(&stage, 1)?, idle_local_clients(&agent, 1)?);
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0));
    drop(idle);
    Ok(())
}

#[test]
fn clients_that_do_nothing_neither_take_all_files_nor_all_places() -> Result<()> {
    let stage = Stage::new()?;
    let mut agent = Agent::start(stage.host(), &FLAGS)?;
    let before = open_files(&mut agent)?;
    let idle = (idle_clients(&stage, 200)?, idle_local_clients(&agent, 100)?);
    thread::sleep(Duration::from_millis(500));
    let now = open_files(&mut agent)?;
    assert!(now > before + 100, "many are served: {before}, then {now}");
    let most = before + PLACES.iter().sum::<usize>();
    assert!(now <= most + 2, "not all at once: {before}, then {now}");
    // The oldest make room at once.
    assert_eq!(agent.get("/metrics")?.status, 200);
    agent.status()?;
    drop(idle);
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0));
    Ok(())
}

/// Sends a byte of a request now and then over each connection, and makes new ones of those that
/// were closed, until told to stop. How many were closed comes back.
fn drip(mut clients: Vec<TcpStream>, stop: &AtomicBool) -> usize {
    let mut closed = 0;
    for byte in b"GET /metrics HTTP/1.1\r\na: "
        .iter()
        .chain(std::iter::repeat(&b'b'))
    {
        for client in &mut clients {
            if stop.load(Ordering::Relaxed) {
                return closed;
            }
            if client.write_all(&[*byte]).is_err() {
                closed += 1;
                if let Ok(new) = TcpStream::connect(LISTEN) {
                    *client = new;
                }
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    closed
}

#[test]
fn a_thousand_slow_clients_change_nothing() -> Result<()> {
    raise_file_limit()?;
    let stage = Stage::new()?;
    let mut agent = Agent::start(stage.host(), &FLAGS)?;
    let before = open_files(&mut agent)?;
    let alone = (0..ROUNDS)
        .map(|_| Answered::by(&agent))
        .collect::<Result<_>>()?;
    let clients = idle_clients(&stage, SLOW)?;
    let stop = AtomicBool::new(false);
    let closed = thread::scope(|scope| -> Result<usize> {
        let slow = scope.spawn(|| stage.host().run(|| Ok(drip(clients, &stop))));
        let asked = ask_meanwhile(&stage, &mut agent, before);
        stop.store(true, Ordering::Relaxed);
        let closed = slow.join().expect("they do not panic")?;
        let answered = asked?;
        let alone = Answered::report("alone", alone);
        let meanwhile = Answered::report("meanwhile", answered);
        for (alone, meanwhile) in [
            (alone.scrape, meanwhile.scrape),
            (alone.status, meanwhile.status),
        ] {
            assert!(
                meanwhile < alone * 5 + SLACK,
                "{meanwhile:?} after {alone:?}"
            );
        }
        Ok(closed)
    })?;
    assert!(closed > 100, "they were cut off: {closed}");
    let stopped = agent.stop()?;
    assert_eq!(stopped.status.code(), Some(0));
    assert_eq!(
        stopped.log.with("level", "ERROR").count(),
        0,
        "{}",
        stopped.log.text()
    );
    Ok(())
}

/// The next connection, which is waited for as long as anything is.
fn accepted(listener: &TcpListener) -> Result<TcpStream> {
    listener.set_nonblocking(true)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        ensure!(Instant::now() < deadline, "nobody has connected");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A few bytes there and back on the protected interface.
fn say_and_hear(stage: &Stage, echo: &TcpListener) -> Result<()> {
    thread::scope(|scope| {
        let host = scope.spawn(|| -> Result<()> {
            let mut stream = accepted(echo)?;
            let mut heard = [0; 5];
            stream.read_exact(&mut heard)?;
            Ok(stream.write_all(&heard)?)
        });
        stage.client.namespace().run(|| {
            let mut stream = TcpStream::connect_timeout(&(SERVER, ECHO_PORT).into(), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"hello")?;
            let mut heard = [0; 5];
            stream.read_exact(&mut heard)?;
            assert_eq!(&heard, b"hello");
            Ok(())
        })?;
        host.join().expect("it does not panic")
    })
}

/// How long somebody else waited for his answers.
#[derive(Debug)]
struct Answered {
    scrape: Duration,
    /// Of `guard status`, from its start to its end.
    status: Duration,
}

impl Answered {
    /// Asks the agent, which has to answer.
    fn by(agent: &Agent) -> Result<Self> {
        let start = Instant::now();
        let scraped = agent.get("/metrics")?;
        let scrape = start.elapsed();
        ensure!(scraped.status == 200, "{scraped:?}");
        ensure!(scraped.body.contains("guard_build_info"), "{scraped:?}");
        let start = Instant::now();
        let shown = agent.cli(&["status"])?;
        ensure!(shown.status.success(), "{shown:?}");
        let status = start.elapsed();
        Ok(Self { scrape, status })
    }

    /// Prints the medians, and returns them.
    fn report(when: &str, all: Vec<Self>) -> Self {
        let (scrapes, statuses) = all.into_iter().map(|own| (own.scrape, own.status)).unzip();
        let medians = Self {
            scrape: median(scrapes),
            status: median(statuses),
        };
        println!("{when}, medians of {ROUNDS}: {medians:?}");
        medians
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Scrapes, asks over the socket and sends packets, each of which has to work every time.
fn ask_meanwhile(stage: &Stage, agent: &mut Agent, before: usize) -> Result<Vec<Answered>> {
    let socket = agent.folder().socket();
    let echo = stage
        .host()
        .run(|| Ok(TcpListener::bind((SERVER, ECHO_PORT))?))?;
    let mut answered = Vec::new();
    for round in 0..ROUNDS {
        let answers = Answered::by(agent).with_context(|| format!("round {round}"))?;
        answered.push(answers);
        assert_eq!(agent.get("/readyz")?.status, 200, "round {round}");
        let status = control::ask(&socket, "GET", "/v1/status", None)?;
        assert_eq!(status.status, 200, "round {round}");
        say_and_hear(stage, &echo)?;
        let files = open_files(agent)?;
        let most = before + PLACES.iter().sum::<usize>() + 2;
        assert!(files <= most, "round {round}: {before}, then {files}");
    }
    Ok(answered)
}
