//! A server on a thread that does what it is told to.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What it does with a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Behaviour {
    /// 200.
    Ok,
    /// This status line, without its version, and what follows it.
    Answers(&'static str),
    /// Reads it, and says nothing.
    Silent,
    /// Says nothing, and goes.
    Closes,
    /// Says what is no HTTP.
    Garbage,
    /// Sends without an end: headers, or a body.
    Endless { head: bool },
}

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) head: String,
    pub(super) body: String,
}

/// A running server. Its thread ends with the tests.
pub(super) struct Server {
    pub(super) port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub(super) fn start(behaviour: Behaviour) -> Self {
        Self::start_on(0, behaviour)
    }

    pub(super) fn start_on(port: u16, behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (noted, counted) = (Arc::clone(&asked), Arc::clone(&connections));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let noted = Arc::clone(&noted);
                thread::spawn(move || serve(stream, behaviour, &noted));
            }
        });
        Self {
            port,
            asked,
            connections,
        }
    }

    /// The requests so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    /// Connections so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// The messages so far.
    pub(super) fn ids(&self) -> Vec<String> {
        let asked = self.asked();
        let id = |asked: &Asked| {
            let body: serde_json::Value = serde_json::from_str(&asked.body).ok()?;
            Some(body["id"].as_str()?.to_owned())
        };
        asked.iter().filter_map(id).collect()
    }
}

fn serve(stream: TcpStream, behaviour: Behaviour, noted: &Mutex<Vec<Asked>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let asked = read(&mut reader)?;
    noted.lock().expect("no panic").push(asked);
    answer(stream, behaviour)
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let body = String::from_utf8(body).ok()?;
    Some(Asked { head, body })
}

fn answer(mut stream: TcpStream, behaviour: Behaviour) -> Option<()> {
    match behaviour {
        Behaviour::Ok => stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .ok(),
        Behaviour::Answers(text) => {
            let end = if text.contains("\r\n\r\n") {
                ""
            } else {
                "\r\n\r\n"
            };
            stream
                .write_all(format!("HTTP/1.1 {text}{end}").as_bytes())
                .ok()
        }
        Behaviour::Silent => {
            thread::sleep(Duration::from_mins(2));
            None
        }
        Behaviour::Closes => None,
        Behaviour::Garbage => stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").ok(),
        Behaviour::Endless { head } => {
            let start: &[u8] = if head {
                b"HTTP/1.1 200 OK\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\n\r\n"
            };
            stream.write_all(start).ok()?;
            let line =
                b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n";
            // Until the other side has had enough.
            while stream.write_all(line).is_ok() {}
            None
        }
    }
}
