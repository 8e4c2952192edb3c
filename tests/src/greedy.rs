//! Connections of one source that send all they can, as one does that is to be banned.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{net::TcpSocket, runtime, time::timeout};

use crate::stage::Stage;

const CONNECTIONS: usize = 16;
/// A lost SYN is sent again after 1, 3, 7 and 15 seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one waits for room, or for bytes, before it looks whether it is over.
const TURN: Duration = Duration::from_millis(50);

/// Such connections; they end when dropped.
#[derive(Debug)]
pub struct Greedy {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Greedy {
    /// Connects from `source`, an address of the client's, to `sink`, where nobody listens yet, and
    /// sends.
    pub fn start(stage: &Stage, source: IpAddr, sink: SocketAddr) -> Result<Self> {
        let listen = || TcpListener::bind(sink).context("the sink");
        let listener = stage.host().run(listen)?;
        let clients = stage.client.namespace();
        // All of them before any sends: once one has, no further ones come through.
        let pairs = (0..CONNECTIONS)
            .map(|_| {
                let sender = clients.run(|| connect(source, sink))?;
                Ok((sender, listener.accept()?.0))
            })
            .collect::<Result<Vec<_>>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (sender, receiver) in pairs {
            let (sending, reading) = (Arc::clone(&stop), Arc::clone(&stop));
            threads.push(thread::spawn(move || send(sender, &sending)));
            threads.push(thread::spawn(move || read(receiver, &reading)));
        }
        Ok(Self { stop, threads })
    }
}

impl Drop for Greedy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The standard library chooses the source itself.
fn connect(source: IpAddr, sink: SocketAddr) -> Result<TcpStream> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let connecting = async {
        let socket = match source {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind(SocketAddr::new(source, 0))?;
        let connected = timeout(PATIENCE, socket.connect(sink)).await??;
        let stream = connected.into_std()?;
        stream.set_nonblocking(false)?;
        Ok(stream)
    };
    let connected: Result<TcpStream> = runtime.block_on(connecting);
    connected.with_context(|| format!("connecting {source} to the sink"))
}

fn send(mut stream: TcpStream, stop: &AtomicBool) {
    let _ = stream.set_write_timeout(Some(TURN));
    let _ = stream.set_nodelay(true);
    while !stop.load(Ordering::Relaxed) {
        // Small segments, so that there are many; a full buffer is no failure.
        let _ = stream.write(&[b'x'; 100]);
    }
}

fn read(mut stream: TcpStream, stop: &AtomicBool) {
    let _ = stream.set_read_timeout(Some(TURN));
    let mut buffer = vec![0; 1 << 16];
    while !stop.load(Ordering::Relaxed) {
        let _ = stream.read(&mut buffer);
    }
}
