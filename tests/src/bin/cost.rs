//! Prints what a packet costs guard, in nanoseconds net of an empty XDP program.
#![forbid(unsafe_code)]

use anyhow::{Result, anyhow};
use guard::{
    config::Config,
    kernel::{Kernel, Plan, measure_tick},
};
use lab::{
    cost::{Cost, Meter},
    frames::{Frame, Packet},
};

/// Packets a round.
const REPEAT: u32 = 1_000_000;
const SOURCE: &str = "192.0.2.7";
const HOST: &str = "198.51.100.1";
/// A port of the default service.
const PORT: u16 = 443;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// Limits that nothing here reaches.
const ROOM: &str = "[limits]\npackets = \"1G/s\"\nconnections = \"1G/s\"";

struct Row {
    name: &'static str,
    config: &'static str,
    frame: Frame,
    new_sources: bool,
}

fn main() -> Result<()> {
    let tick = measure_tick()?;
    let mut meter = Meter::new()?;
    println!(
        "{:<44} {:>9} {:>8} {:>8} {:>10}",
        "PACKET", "MEDIAN ns", "LEAST", "MOST", "VERIFIED"
    );
    for row in rows() {
        let config = format!("interfaces = [\"lo\"]\n{}", row.config);
        let config = Config::parse(row.name, &config).map_err(|errors| anyhow!("{errors}"))?;
        let mut kernel = Kernel::load(&Plan::new(&config, tick, [1, 2]), None)?;
        let program = kernel.program()?;
        let verified = program.info()?.verified_instruction_count().unwrap_or(0);
        let Cost {
            least,
            median,
            most,
        } = if row.new_sources {
            meter.new_sources(program, &row.frame, REPEAT)?
        } else {
            meter.same_source(program, &row.frame, REPEAT)?
        };
        println!(
            "{:<44} {median:>9.1} {least:>8.1} {most:>8.1} {verified:>10}",
            row.name
        );
    }
    println!("medians of 7 rounds of {REPEAT}, the empty program in turn; thread CPU time");
    Ok(())
}

fn rows() -> Vec<Row> {
    let udp = || {
        Packet::ipv4(SOURCE, HOST)
            .udp(4000, 9)
            .payload([0; 18])
            .build()
    };
    let data = |bytes: &[u8]| {
        Packet::ipv4(SOURCE, HOST)
            .tcp(4000, PORT)
            .flags(ACK)
            .payload(bytes)
            .build()
    };
    let syn = || {
        Packet::ipv4(SOURCE, HOST)
            .tcp(4000, PORT)
            .flags(SYN)
            .build()
    };
    let ciphertext = data(&[0x17; 1200]);
    let request = data(b"GET /orders HTTP/1.1\r\nHost: api\r\n\r\n");
    let row = |name, config, frame| Row {
        name,
        config,
        frame,
        new_sources: false,
    };
    let spoofed = |name, config, frame| Row {
        name,
        config,
        frame,
        new_sources: true,
    };
    vec![
        row("denied source", "[[deny]]\ncidr = \"192.0.2.7/32\"", udp()),
        row(
            "source over its limit",
            "[limits]\npackets = \"1/h\"",
            udp(),
        ),
        row("benign UDP", ROOM, udp()),
        row(
            "benign UDP, no limits",
            "[limits]\npackets = \"off\"\nconnections = \"off\"",
            udp(),
        ),
        row("benign TCP data to a service port", ROOM, ciphertext),
        row("benign TCP SYN to a service port", ROOM, syn()),
        row("plaintext request to a service port", ROOM, request),
        spoofed("UDP, every packet from a new source", ROOM, udp()),
        spoofed("SYN to a service, every one from a new source", ROOM, syn()),
    ]
}
