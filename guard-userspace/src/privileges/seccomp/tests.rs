//! A filter stays until its thread ends, so each test restricts a thread of its own, or a process.

use std::{
    env, io,
    net::{TcpListener, TcpStream},
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::Command,
    thread,
};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        socket::{AddressFamily, SockFlag, SockType, socket},
    },
    unistd::Pid,
};

use super::*;

/// Set in a process that is to end.
const DOOMED: &str = "GUARD_TEST_DOOMED";

fn restricted<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let restricted = || {
        sys::set_no_new_privs().expect("given up");
        restrict().expect("filters");
        work()
    };
    thread::scope(|scope| scope.spawn(restricted).join()).expect("the thread ends")
}

#[test]
fn what_a_server_does_stays_permitted() {
    restricted(|| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a"), "b").expect("a file");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let address = listener.local_addr().expect("its address");
        TcpStream::connect(address).expect("a connection");
        let name = thread::Builder::new().name("another".to_owned());
        let other = name.spawn(|| thread::current().name().map(str::to_owned));
        let other = other.expect("a thread").join().expect("it ends");
        assert_eq!(other.as_deref(), Some("another"));
    });
}

#[test]
fn what_a_server_has_no_use_for_is_refused_and_goes_on() {
    let own = Pid::this();
    restricted(|| {
        let refused = Command::new("true").status().map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(io::ErrorKind::PermissionDenied));
        assert_eq!(kill(own, Signal::SIGCONT), Err(Errno::EPERM));
        let raw = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::empty(),
            None,
        );
        assert_eq!(raw.err(), Some(Errno::EPERM));
        let memory = memmap2::MmapMut::map_anon(4096).expect("memory");
        let executed = memory.make_exec().map_err(|error| error.kind());
        assert_eq!(executed.err(), Some(io::ErrorKind::PermissionDenied));
    });
}

#[test]
fn whoever_executes_a_program_ends_the_process() {
    if env::var_os(DOOMED).is_some() {
        let error = restricted(|| Command::new("true").exec());
        panic!("went on with {error}");
    }
    let name = "privileges::seccomp::tests::whoever_executes_a_program_ends_the_process";
    let mut child = Command::new(env::current_exe().expect("this program"));
    let ended = child.args(["--exact", name]).env(DOOMED, "1").output();
    let ended = ended.expect("it ran").status;
    assert_eq!(ended.signal(), Some(Signal::SIGSYS as i32), "{ended}");
}

#[test]
fn no_system_call_is_both_permitted_and_deadly() {
    let permitted = permitted().expect("rules");
    for call in table::DEADLY {
        assert!(!permitted.contains_key(call), "{call}");
    }
}

#[test]
fn the_filters_fit_both_processors() {
    let rules = permitted().expect("rules");
    for target in [TargetArch::x86_64, TargetArch::aarch64] {
        let filter = SeccompFilter::new(
            rules.clone(),
            SeccompAction::Errno(1),
            SeccompAction::Allow,
            target,
        );
        let filter = filter.and_then(BpfProgram::try_from).expect("a filter");
        assert!(filter.len() < 4096, "{}", filter.len());
    }
}
