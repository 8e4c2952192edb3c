//! The agent's control socket, spoken to without `guard`.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::{Namespace, http, http::Response};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Asks for `path`, and sends `body` as JSON when there is one.
pub fn ask(socket: &Path, method: &str, path: &str, body: Option<&str>) -> Result<Response> {
    let mut stream = connect(socket)?;
    let sent = body.map_or(String::new(), |body| {
        let length = body.len();
        format!("Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
    });
    let end = if body.is_some() { "" } else { "\r\n" };
    stream
        .write_all(format!("{method} {path} HTTP/1.0\r\nHost: guard\r\n{sent}{end}").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    http::parse(&text).with_context(|| format!("{method} {path} answered `{text}`"))
}

/// A connection to the socket, on which nothing takes for ever.
pub fn connect(socket: &Path) -> Result<UnixStream> {
    let stream = UnixStream::connect(socket)
        .with_context(|| format!("cannot connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// A TCP port of a namespace's loopback that leads to the socket, for clients that know no other.
/// To the agent it is this process that asks.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    namespace: Namespace,
    ended: Arc<AtomicBool>,
}

impl Forwarder {
    /// Forwards until it is dropped.
    pub fn start(namespace: &Namespace, socket: PathBuf) -> Result<Self> {
        let listener = namespace.run(|| Ok(TcpListener::bind("127.0.0.1:0")?))?;
        let forwarder = Self {
            address: listener.local_addr()?,
            namespace: namespace.clone(),
            ended: Arc::default(),
        };
        let ended = Arc::clone(&forwarder.ended);
        thread::spawn(move || {
            for client in listener.incoming() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                if let (Ok(client), Ok(server)) = (client, UnixStream::connect(&socket)) {
                    // Whoever breaks off is no concern of the others.
                    let _ = forward(client, server);
                }
            }
        });
        Ok(forwarder)
    }

    /// Where it listens, in its namespace.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.namespace.run(|| Ok(TcpStream::connect(self.address)?));
    }
}

/// Copies both ways, in threads that end with the connection.
fn forward(client: TcpStream, server: UnixStream) -> io::Result<()> {
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server, client);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    Ok(())
}
