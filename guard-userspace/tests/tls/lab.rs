//! Real handshakes: `openssl` at both ends of a relay that keeps the bytes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// The longest that one step may take.
const PATIENCE: Duration = Duration::from_secs(20);
const AUTHORITY: &str = "
[ca]
default_ca = lab
[lab]
database = index.txt
new_certs_dir = .
serial = serial
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
";

/// The bytes of both directions of one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture {
    pub(crate) client: Vec<u8>,
    pub(crate) server: Vec<u8>,
}

/// A folder with a server's key and certificates: `valid.pem`, and `expired.pem` of the year 2020.
pub(crate) struct Lab {
    folder: TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let lab = Self {
            folder: TempDir::new().expect("a folder"),
        };
        fs::write(lab.folder.path().join("ca.cnf"), AUTHORITY).expect("a written file");
        fs::write(lab.folder.path().join("index.txt"), "").expect("a written file");
        lab.run(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem \
             -out request.pem -subj /CN=guard.test",
        );
        lab.certify("expired.pem", "20200101000000Z", "20210101000000Z");
        lab.certify("valid.pem", "20200101000000Z", "20990101000000Z");
        lab
    }

    /// The bytes of a handshake between an `openssl s_server` and an `openssl s_client` with those
    /// arguments.
    pub(crate) fn handshake(&self, server: &str, client: &str) -> Capture {
        self.connect(&self.server(server), client, &[])
    }

    /// A server to connect to more than once.
    pub(crate) fn server(&self, arguments: &str) -> Server {
        Server::start(self.folder.path(), arguments)
    }

    /// The bytes of one more handshake with a server. The client stays until the files `awaited` are
    /// there.
    pub(crate) fn connect(&self, server: &Server, client: &str, awaited: &[&str]) -> Capture {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let target = server.port;
        let relay = thread::spawn(move || relay(&listener, target));
        let mut command = openssl(self.folder.path(), "s_client", client);
        command.args(["-connect", &format!("127.0.0.1:{port}")]);
        command.stdout(Stdio::null()).stdin(Stdio::piped());
        let mut child = command.spawn().expect("an openssl client");
        let deadline = Instant::now() + PATIENCE;
        while !self.has(awaited) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        drop(child.stdin.take());
        end(&mut child, deadline);
        relay.join().expect("a relay that ends")
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let mut file = fs::File::create(self.folder.path().join(name)).expect("a new file");
        file.write_all(content).expect("a written file");
    }

    fn has(&self, files: &[&str]) -> bool {
        let is_there = |name: &&str| {
            let found = fs::metadata(self.folder.path().join(name));
            found.is_ok_and(|file| file.len() > 0)
        };
        files.iter().all(is_there)
    }

    fn certify(&self, name: &str, from: &str, to: &str) {
        self.run(&format!(
            "ca -batch -selfsign -config ca.cnf -create_serial -in request.pem -keyfile key.pem \
             -notext -out {name} -startdate {from} -enddate {to}"
        ));
    }

    fn run(&self, arguments: &str) {
        let (verb, arguments) = arguments.split_once(' ').expect("arguments");
        let mut command = openssl(self.folder.path(), verb, arguments);
        let status = command.stdout(Stdio::null()).status().expect("openssl");
        assert!(status.success(), "openssl {verb}");
    }
}

/// A running `openssl s_server`, killed when dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    /// Kept open, so that the server can go on printing.
    _printed: BufReader<ChildStdout>,
}

impl Server {
    fn start(folder: &Path, arguments: &str) -> Self {
        let mut command = openssl(folder, "s_server", arguments);
        command.args(["-accept", "127.0.0.1:0", "-key", "key.pem"]);
        command.stdout(Stdio::piped()).stdin(Stdio::piped());
        let mut child = command.spawn().expect("an openssl server");
        let mut printed = BufReader::new(child.stdout.take().expect("a piped output"));
        let port = loop {
            let mut line = String::new();
            let read = printed.read_line(&mut line).expect("a line");
            assert_ne!(read, 0, "the server ended: {arguments}");
            if let Some(port) = line.trim().strip_prefix("ACCEPT 127.0.0.1:") {
                break port.parse().expect("a port");
            }
        };
        Self {
            child,
            port,
            _printed: printed,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn openssl(folder: &Path, verb: &str, arguments: &str) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(folder).stderr(Stdio::null()).arg(verb);
    command.args(arguments.split_whitespace());
    command
}

fn end(child: &mut Child, deadline: Instant) {
    while Instant::now() < deadline {
        if child.try_wait().expect("a child").is_some() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("a killed child");
    child.wait().expect("an ended child");
}

fn relay(listener: &TcpListener, target: u16) -> Capture {
    let (client, _) = listener.accept().expect("a client");
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).expect("a server");
    for stream in [&client, &server] {
        let patience = Some(PATIENCE);
        stream.set_read_timeout(patience).expect("a read timeout");
    }
    thread::scope(|scope| {
        let back = scope.spawn(|| copy(&server, &client));
        let client = copy(&client, &server);
        let server = back.join().expect("a copied direction");
        Capture { client, server }
    })
}

/// Copies one direction to its end, and returns its bytes.
fn copy(mut from: &TcpStream, mut to: &TcpStream) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..read]);
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other end may be gone already.
    let _ = to.shutdown(Shutdown::Write);
    kept
}
