//! PostgreSQL, which clients may speak to in clear or over TLS.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use nix::unistd::User;

use super::{Daemon, make_certificate};
use crate::{Namespace, Scratch, command};

/// Where Debian keeps the versions of it.
const VERSIONS: &str = "/usr/lib/postgresql";
/// Who it runs as: it refuses to be root.
const USER: &str = "postgres";
/// Who may only call over TLS; everybody else as they like.
pub const STRICT: &str = "strict";

/// Who may call: nobody is asked for a password.
const ACCESS: &str = "\
hostssl   all strict   all trust
hostnossl all strict   all reject
host      all postgres all trust
";

/// A program of PostgreSQL, of the newest version there is.
pub fn program(name: &str) -> Result<PathBuf> {
    let folders = fs::read_dir(VERSIONS).with_context(|| format!("no {VERSIONS}"))?;
    let programs = folders
        .flatten()
        .map(|folder| folder.path().join("bin").join(name));
    let mut programs: Vec<_> = programs.filter(|program| program.is_file()).collect();
    programs.sort();
    programs
        .pop()
        .with_context(|| format!("no {name} below {VERSIONS}"))
}

/// Starts one with an empty database of its own.
pub fn start(namespace: &Namespace, port: u16) -> Result<Daemon> {
    let folder = Scratch::new()?;
    make_certificate(folder.path())?;
    let data = make_database(folder.path())?;
    let mut command = namespace.command("setpriv");
    // A change of user makes the child forget that it is to die with us: it is told once more.
    as_user(&mut command)?;
    command.args(["setpriv", "--pdeathsig", "KILL", "--"]);
    command.arg(program("postgres")?).arg("-D").arg(&data);
    command.args(["-p", &port.to_string()]);
    let settings = [
        "listen_addresses=*",
        "unix_socket_directories=",
        "max_connections=100",
        "fsync=off",
        "ssl=on",
        "ssl_cert_file=certificate.pem",
        "ssl_key_file=key.pem",
    ];
    for setting in settings {
        command.args(["-c", setting]);
    }
    Daemon::start(namespace, folder, command, port)
}

/// An empty database below `folder`, with what it needs in it.
fn make_database(folder: &Path) -> Result<PathBuf> {
    let user = User::from_name(USER)?.with_context(|| format!("no user {USER}"))?;
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    // To be passed through, not to be read.
    fs::set_permissions(folder, Permissions::from_mode(0o711))?;
    let data = folder.join("data");
    fs::create_dir(&data)?;
    chown(&data, Some(uid), Some(gid))?;
    let mut initdb = Command::new("setpriv");
    as_user(&mut initdb)?;
    initdb.arg(program("initdb")?);
    initdb.args(["--no-sync", "--auth=trust", "--username", USER, "-D"]);
    command::output(initdb.arg(&data))?;
    fs::write(data.join("pg_hba.conf"), ACCESS)?;
    for name in ["certificate.pem", "key.pem"] {
        let copy = data.join(name);
        fs::copy(folder.join(name), &copy)?;
        chown(&copy, Some(uid), Some(gid))?;
        fs::set_permissions(&copy, Permissions::from_mode(0o600))?;
    }
    Ok(data)
}

/// Makes `setpriv` run what follows as the database's user.
fn as_user(setpriv: &mut Command) -> Result<()> {
    let user = User::from_name(USER)?.with_context(|| format!("no user {USER}"))?;
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    setpriv.args(["--reuid", &uid, "--regid", &gid, "--clear-groups", "--"]);
    setpriv.current_dir("/");
    Ok(())
}
