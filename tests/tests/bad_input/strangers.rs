//! What others have already: programs, ports, sockets, folders. Nothing of it is touched.

use std::{net::TcpListener, os::unix::net::UnixListener};

use anyhow::Result;
use lab::{
    agent::{Agent, Folder},
    counters::DropCounter,
    flood::Flood,
    stage::{NOBODY, Stage},
};

use crate::attempt::{Places, START_FAILED, run, run_at};

/// Every way to attach.
const MODES: [&str; 3] = ["auto", "native", "generic"];

#[test]
fn a_native_program_of_somebody_else_stays() -> Result<()> {
    let stage = Stage::new()?;
    let counter = DropCounter::attach(&stage.server)?;
    assert_it_stays(&stage, &counter)
}

#[test]
fn a_generic_program_of_somebody_else_stays() -> Result<()> {
    let stage = Stage::new()?;
    let counter = DropCounter::attach_generic(&stage.server)?;
    assert_it_stays(&stage, &counter)
}

fn assert_it_stays(stage: &Stage, counter: &DropCounter) -> Result<()> {
    let before = stage.server.xdp()?;
    assert!(before.is_some());
    for mode in MODES {
        let folder = Folder::new()?;
        let failed = run(
            stage.host(),
            &folder,
            &["--iface", "eth0", "--xdp-mode", mode],
        )?;
        failed.assert_sentence(START_FAILED, &["eth0", "`count_drop`", "xdp off"]);
        assert_eq!(folder.pins().len(), 0);
        assert!(!folder.socket().exists());
    }
    assert_eq!(stage.server.xdp()?, before);
    let received = counter.received()?;
    let frame = stage.packet(NOBODY.into()).udp(4000, 9).build().pad(60);
    Flood::new(frame, 100).run(&stage.client)?;
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(counter.received()? >= received + 100, "it still counts");
    Ok(())
}

#[test]
fn a_stranger_on_the_second_interface_keeps_guard_off_the_first() -> Result<()> {
    let stage = Stage::new()?;
    let spare = Stage::new()?;
    let (client, host) = (spare.client.namespace(), stage.host());
    let (_, second) = lab::link::Cable::new((client, "lan0"), (host, "lan0")).lay()?;
    let _counter = DropCounter::attach(&second)?;
    let folder = Folder::new()?;
    let failed = run(host, &folder, &["--iface", "eth0", "--iface", "lan0"])?;
    failed.assert_sentence(START_FAILED, &["lan0", "`count_drop`"]);
    assert_eq!(stage.server.xdp()?, None);
    Ok(())
}

#[test]
fn two_agents_on_one_interface_are_one_too_many() -> Result<()> {
    let stage = Stage::new()?;
    let first = Agent::start(stage.host(), &["--iface", "eth0"])?;
    let before = stage.server.xdp()?;
    for mode in MODES {
        let folder = Folder::new()?;
        let failed = run(
            stage.host(),
            &folder,
            &["--iface", "eth0", "--xdp-mode", mode],
        )?;
        failed.assert_sentence(START_FAILED, &["eth0", "another guard agent"]);
    }
    assert_eq!(stage.server.xdp()?, before);
    assert_eq!(first.get("/readyz")?.status, 200);
    Ok(())
}

#[test]
fn two_agents_with_one_state_folder_are_one_too_many() -> Result<()> {
    let (stage, other) = (Stage::new()?, Stage::new()?);
    let first = Agent::start(stage.host(), &["--iface", "eth0"])?;
    let pins = first.folder().pins();
    let failed = run(other.host(), first.folder(), &["--iface", "eth0"])?;
    failed.assert_sentence(START_FAILED, &["another guard agent", "--state-dir"]);
    assert_eq!(first.folder().pins(), pins);
    assert!(first.status().is_ok(), "its socket is still its own");
    assert_eq!(other.server.xdp()?, None);
    Ok(())
}

#[test]
fn two_agents_with_one_socket_are_one_too_many() -> Result<()> {
    let (stage, other) = (Stage::new()?, Stage::new()?);
    let first = Agent::start(stage.host(), &["--iface", "eth0"])?;
    let folder = Folder::new()?;
    let places = Places {
        socket: first.folder().socket(),
        ..Places::of(&folder)
    };
    let failed = run_at(other.host(), &places, &["--iface", "eth0"])?;
    failed.assert_sentence(START_FAILED, &["another agent", "guard.sock", "--socket"]);
    assert!(first.status().is_ok(), "its socket is still its own");
    assert_eq!(other.server.xdp()?, None);
    Ok(())
}

#[test]
fn two_agents_with_one_pins_folder_are_one_too_many() -> Result<()> {
    let (stage, other) = (Stage::new()?, Stage::new()?);
    let first = Agent::start(stage.host(), &["--iface", "eth0"])?;
    let pins = first.folder().pins();
    let folder = Folder::new()?;
    let places = Places {
        bpffs: first.folder().bpffs().to_owned(),
        ..Places::of(&folder)
    };
    let failed = run_at(other.host(), &places, &["--iface", "eth0"])?;
    failed.assert_sentence(START_FAILED, &["another guard agent", "--bpffs"]);
    assert_eq!(first.folder().pins(), pins);
    assert_eq!(other.server.xdp()?, None);
    Ok(())
}

#[test]
fn a_port_in_use_is_named() -> Result<()> {
    let stage = Stage::new()?;
    let listener = stage
        .host()
        .run(|| Ok(TcpListener::bind("127.0.0.1:9797")?))?;
    let folder = Folder::new()?;
    let flags = ["--iface", "eth0", "--listen", "127.0.0.1:9797"];
    let failed = run(stage.host(), &folder, &flags)?;
    failed.assert_sentence(START_FAILED, &["127.0.0.1:9797", "in use", "--listen"]);
    assert_eq!(stage.server.xdp()?, None);
    assert!(!folder.socket().exists());
    drop(listener);
    Ok(())
}

#[test]
fn an_address_that_is_not_ours_is_named() -> Result<()> {
    let stage = Stage::new()?;
    let flags = ["--iface", "eth0", "--listen", "192.0.2.1:9797"];
    let failed = run(stage.host(), &Folder::new()?, &flags)?;
    failed.assert_sentence(START_FAILED, &["192.0.2.1:9797", "--listen"]);
    assert_eq!(stage.server.xdp()?, None);
    Ok(())
}

#[test]
fn a_stale_socket_is_no_obstacle() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    drop(UnixListener::bind(folder.socket())?);
    assert!(folder.socket().exists(), "nobody removes it by closing it");
    let agent = Agent::start_in(stage.host(), folder, &["--iface", "eth0"])?;
    assert!(agent.status().is_ok());
    Ok(())
}

#[test]
fn a_socket_of_somebody_else_stays() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    let listener = UnixListener::bind(folder.socket())?;
    let failed = run(stage.host(), &folder, &["--iface", "eth0"])?;
    failed.assert_sentence(START_FAILED, &["guard.sock", "--socket"]);
    assert!(folder.socket().exists());
    assert_eq!(stage.server.xdp()?, None);
    drop(listener);
    Ok(())
}

#[test]
fn a_file_where_the_socket_belongs_stays() -> Result<()> {
    let stage = Stage::new()?;
    let folder = Folder::new()?;
    std::fs::write(folder.socket(), "precious")?;
    let failed = run(stage.host(), &folder, &["--iface", "eth0"])?;
    failed.assert_sentence(START_FAILED, &["guard.sock", "--socket"]);
    assert_eq!(std::fs::read_to_string(folder.socket())?, "precious");
    Ok(())
}
