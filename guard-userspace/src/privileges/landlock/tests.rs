//! A thread stays restricted until it ends, so each test restricts one of its own.

use std::{
    fs,
    io::ErrorKind::PermissionDenied,
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{super::sys, *};

/// Does `work` with these places in reach. It is told which version of landlock this kernel has.
fn restricted<T: Send>(places: &Places, work: impl FnOnce(u32) -> T + Send) -> T {
    let restricted = || {
        sys::set_no_new_privs().expect("given up");
        work(restrict(places).expect("rules").unwrap_or_default())
    };
    thread::scope(|scope| scope.spawn(restricted).join()).expect("the thread ends")
}

#[test]
fn each_place_is_in_reach_for_what_it_is_there_for() {
    let scratch = tempfile::tempdir().expect("a folder");
    let place = |name: &str| scratch.path().join(name);
    for name in ["read", "change", "clear", "other"] {
        fs::create_dir(place(name)).expect("made");
        fs::write(place(name).join("file"), "text").expect("written");
    }
    let mut places = Places::default();
    places.read.push(place("read"));
    places.change.push(place("change"));
    places.clear.push(place("clear"));
    restricted(&places, |version| {
        if version == 0 {
            return;
        }
        let file = |name: &str| place(name).join("file");
        let read = |name| fs::read(file(name)).map_err(|error| error.kind());
        let write = |name| fs::write(file(name), "new").map_err(|error| error.kind());
        let remove = |name| fs::remove_file(file(name)).map_err(|error| error.kind());
        assert_eq!(read("read"), Ok(b"text".into()));
        assert_eq!(
            (write("read"), remove("read")),
            (Err(PermissionDenied), Err(PermissionDenied))
        );
        assert_eq!(
            (write("change"), read("change")),
            (Ok(()), Ok(b"new".into()))
        );
        fs::rename(file("change"), place("change").join("other")).expect("renamed");
        assert_eq!(
            (read("clear"), remove("clear")),
            (Err(PermissionDenied), Ok(()))
        );
        assert_eq!(
            (read("other"), remove("other")),
            (Err(PermissionDenied), Err(PermissionDenied))
        );
    });
}

#[test]
fn nothing_new_is_listened_on_and_nobody_is_signalled() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("its address");
    let mut other = Command::new("sleep").arg("60").spawn().expect("a process");
    let pid = Pid::from_raw(other.id().cast_signed());
    restricted(&Places::default(), |version| {
        TcpStream::connect(address).expect("calls go out");
        let another = TcpListener::bind("127.0.0.1:0").map_err(|error| error.kind());
        assert_eq!(another.err(), (version >= 4).then_some(PermissionDenied));
        let signalled = kill(pid, Signal::SIGCONT);
        assert_eq!(signalled.err(), (version >= 6).then_some(Errno::EPERM));
    });
    other.kill().expect("ended");
    other.wait().expect("gone");
}
