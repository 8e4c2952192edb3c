//! Whatever a sender can choose, chosen to become a label: quotes, braces, line ends, escapes, and
//! names of metrics, in requests, in handshakes of both sides, and in raw frames.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use lab::{
    curl::Curl,
    flood::Flood,
    noise::Noise,
    stage::{CLIENT, SERVER},
};

use crate::site::{CALLED_PORT, PLAIN_PORT, Site, TLS_PORT};

/// In every text that a sender chooses here, and in nothing else.
pub(crate) const MARK: &str = "zq9mark";
/// How long a connection is waited for that may be dropped.
const SHORT: Duration = Duration::from_millis(500);

/// Texts that would break out of a label, or look like an own family.
const NASTY: &[&str] = &[
    "\"",
    "\\",
    "\n",
    "\r\n",
    "{",
    "}",
    ",",
    "=",
    "\"} 1\nevil_total{a=\"",
    "\n# TYPE evil counter\nevil 1\n",
    "\u{1b}[31m",
    "\u{1b}]0;evil\u{7}",
    "\0",
    "\u{202e}",
    "guard_packets_total",
    "%22%7D",
    "../../etc/passwd",
    "'; DROP TABLE",
];

/// A text with the mark in it and some of those around it.
fn nasty(noise: &mut Noise) -> String {
    let mut text = format!("{MARK}{:x}", noise.word());
    for _ in 0..noise.below(4) {
        text.insert_str(0, noise.one_of(NASTY));
        text.push_str(noise.one_of(NASTY));
    }
    text
}

/// A request of which every part is a stranger's, credentials among them.
fn request(noise: &mut Noise) -> Vec<u8> {
    let method = match noise.below(3) {
        0 => nasty(noise),
        _ => noise.one_of(&["GET", "POST", "PATCH", "TRACE"]).to_owned(),
    };
    let mut text = format!("{method} /{}?{}=1 HTTP/1.1\r\n", nasty(noise), nasty(noise));
    let name = nasty(noise);
    for (header, value) in [
        ("Host", nasty(noise)),
        (
            "Authorization",
            format!("{} {}", nasty(noise), nasty(noise)),
        ),
        ("Authorization", format!("Bearer {}", nasty(noise))),
        ("X-Api-Key", nasty(noise)),
        ("Cookie", format!("{}={}", nasty(noise), nasty(noise))),
        (name.as_str(), nasty(noise)),
    ] {
        text.extend([header, ": ", &value, "\r\n"]);
    }
    text.into_bytes().into_iter().chain(*b"\r\n").collect()
}

/// Sends requests in clear to the port that takes them and to the one that does not.
pub(crate) fn requests(site: &Site, noise: &mut Noise, count: usize) -> Result<()> {
    for _ in 0..count {
        let port = noise.one_of(&[PLAIN_PORT, PLAIN_PORT, TLS_PORT]);
        let request = request(noise);
        say(site, port, &request)?;
    }
    Ok(())
}

/// Sends these bytes to a port of the server and reads what it answers.
fn say(site: &Site, port: u16, bytes: &[u8]) -> Result<()> {
    site.clients().run(|| {
        let server = SocketAddr::from((SERVER, port));
        let mut stream = TcpStream::connect_timeout(&server, SHORT * 10)?;
        stream.set_read_timeout(Some(SHORT))?;
        // The server may have hung up on it.
        let _ = stream.write_all(bytes);
        let _ = stream.read(&mut [0; 4096]);
        Ok(())
    })
}

/// Shakes hands under names that nobody has, with versions and suites that few have.
pub(crate) fn handshakes(site: &Site, noise: &mut Noise, count: usize) -> Result<()> {
    for _ in 0..count {
        let name = format!("{MARK}{:x}.example", noise.word());
        let mut openssl = site.clients().command("openssl");
        openssl.args(["s_client", "-connect", &format!("{SERVER}:{TLS_PORT}")]);
        openssl.args(["-servername", &name, "-alpn", MARK, "-quiet"]);
        openssl.args(noise.one_of(&[
            &["-tls1_2"][..],
            &["-tls1_3"],
            &["-tls1_1", "-cipher", "ALL@SECLEVEL=0"],
            &["-tls1", "-cipher", "ALL@SECLEVEL=0"],
        ]));
        openssl.stdin(std::process::Stdio::null());
        // Some are refused, which is an answer too.
        openssl.output().context("openssl")?;
    }
    Ok(())
}

/// Has the host call a server that chooses its version and its suite at random.
pub(crate) fn calls(site: &Site, noise: &mut Noise, count: usize) -> Result<()> {
    let address = SocketAddr::from((CLIENT, CALLED_PORT));
    let listener = site
        .clients()
        .run(|| TcpListener::bind(address).context("the called server"))?;
    let hellos: Vec<_> = (0..count).map(|_| server_hello(noise)).collect();
    let server = thread::spawn(move || -> Result<()> {
        for hello in hellos {
            let (mut stream, _) = listener.accept()?;
            stream.set_read_timeout(Some(SHORT))?;
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&hello);
        }
        Ok(())
    });
    for _ in 0..count {
        let curl = Curl::new(site.stage.host()).timeout(SHORT * 2);
        let called = curl.https(CLIENT.into(), CALLED_PORT, "/")?;
        assert!(!called.is_ok(), "no server at all: {called:?}");
    }
    server.join().expect("the called server does not panic")
}

/// A ServerHello (RFC 5246 section 7.4.1.3) of any version and suite, then noise.
fn server_hello(noise: &mut Noise) -> Vec<u8> {
    let version = match noise.below(4) {
        0 => noise.word() as u16,
        _ => noise.one_of(&[0x0300, 0x0301, 0x0302, 0x0303, 0x0304]),
    };
    let suite = noise.word() as u16;
    let mut body = version.to_be_bytes().to_vec();
    body.extend((0..32).map(|_| noise.word() as u8));
    body.push(0);
    body.extend(suite.to_be_bytes());
    body.push(0);
    let mut record = vec![22, 3, 3];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([2, 0, 0, body.len() as u8]);
    record.extend(body);
    record
}

/// Frames with any addresses, protocols, ports, flags and payloads, of which each second one is
/// broken somewhere; then a flood of a million sources.
pub(crate) fn frames(site: &Site, noise: &mut Noise, count: usize) -> Result<()> {
    for _ in 0..count {
        let v6 = noise.one_in(2);
        let source: IpAddr = if v6 {
            let address = u128::from(noise.word()) << 64 | u128::from(noise.word());
            Ipv6Addr::from_bits(address).into()
        } else {
            Ipv4Addr::from_bits(noise.word() as u32).into()
        };
        let (from, to) = (noise.word() as u16, noise.word() as u16);
        let packet = site.stage.packet(source);
        let packet = match noise.below(4) {
            0 => packet.udp(from, to),
            1 => packet.icmp(from as u8, to as u8),
            2 => packet.tcp(from, TLS_PORT).flags(noise.word() as u8),
            _ => packet.tcp(from, to).flags(noise.word() as u8),
        };
        let mut frame = packet.payload(nasty(noise)).build();
        if noise.one_in(2) {
            frame = frame.patch_network(noise.below(20), &[noise.word() as u8]);
        }
        // What no longer is IP cannot be flooded; whatever it is, one of it is sent.
        let flood = Flood::new(frame, 1);
        let _ = flood.run(&site.stage.client);
    }
    let flood = Flood {
        sources: 1 << 20,
        ports: 1 << 16,
        ..Flood::new(
            site.stage
                .packet(Ipv4Addr::new(10, 0, 0, 0).into())
                .udp(1, 9)
                .build(),
            1 << 20,
        )
    };
    flood.run(&site.stage.client)?;
    Ok(())
}
