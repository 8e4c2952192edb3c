//! The systemd unit and what belongs to it. systemd need not run here: its own tools judge the files.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};
use lab::{
    Scratch, agent,
    command::{output, run},
};

/// What `systemd-analyze security` may find, in tenths, at most.
const EXPOSURE: u32 = 20;
/// Where the unit has the program.
const INSTALLED: &str = "/usr/bin/guard";

fn packaged(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    root.join("packaging/systemd").join(name)
}

fn unit() -> Result<String> {
    fs::read_to_string(packaged("guard.service")).context("the unit")
}

#[test]
fn the_unit_is_sound() -> Result<()> {
    let scratch = Scratch::new()?;
    // It need not be installed here.
    let text = unit()?.replace(INSTALLED, &agent::binary()?.to_string_lossy());
    let unit = scratch.join("guard.service");
    fs::write(&unit, text)?;
    let mut verify = Command::new("systemd-analyze");
    let verified = verify.args(["verify", "--man=no"]).arg(&unit).output()?;
    let said = String::from_utf8(verified.stderr)?;
    let about_it: Vec<_> = said.lines().filter(|line| line.contains("guard")).collect();
    assert!(verified.status.success() && about_it.is_empty(), "{said}");
    Ok(())
}

#[test]
fn the_unit_exposes_little() -> Result<()> {
    let mut security = Command::new("systemd-analyze");
    security.args(["security", "--offline=true", "--no-pager"]);
    security.arg(format!("--threshold={EXPOSURE}"));
    let said = output(security.arg(packaged("guard.service")))?;
    let level = said.lines().find_map(|line| {
        let (_, level) = line.split_once("Overall exposure level for guard.service:")?;
        level.split_whitespace().next()?.parse::<f64>().ok()
    });
    let level = level.with_context(|| format!("no level in {said}"))?;
    assert!(level <= f64::from(EXPOSURE) / 10.0, "{level}");
    Ok(())
}

#[test]
fn the_unit_gives_three_capabilities_and_the_folders_that_the_defaults_name() -> Result<()> {
    let text = unit()?;
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.with_context(|| format!("no {name}"))
    };
    for name in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        assert_eq!(value(name)?, "CAP_BPF CAP_NET_ADMIN CAP_PERFMON");
    }
    // /var/lib/guard, /run/guard and /etc/guard.
    for name in [
        "StateDirectory",
        "RuntimeDirectory",
        "ConfigurationDirectory",
        "User",
    ] {
        assert_eq!(value(name)?, "guard");
    }
    assert_eq!(value("ReadWritePaths")?, "-/sys/fs/bpf/guard");
    assert_eq!(value("Type")?, "notify");
    Ok(())
}

/// Otherwise the agent would find less under systemd than it was tried with.
#[test]
fn the_unit_permits_every_system_call_that_the_agent_permits_itself() -> Result<()> {
    let mut permitted = BTreeSet::new();
    let text = unit()?;
    for line in text
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
    {
        let taken = line.strip_prefix('~');
        for word in taken.unwrap_or(line).split_whitespace() {
            let calls = calls(word)?;
            if taken.is_some() {
                permitted.retain(|call| !calls.contains(call));
            } else {
                permitted.extend(calls);
            }
        }
    }
    permitted.extend(calls("@default")?);
    let table = packaged("../../guard-userspace/src/privileges/seccomp/table.rs");
    let table = fs::read_to_string(table)?;
    let (table, _) = table.split_once("DEADLY").context("two tables")?;
    let own = table.split("libc::SYS_").skip(1).map(|rest| {
        let end = rest.find(|letter: char| letter != '_' && !letter.is_alphanumeric());
        rest[..end.unwrap_or(rest.len())].to_owned()
    });
    let own: BTreeSet<String> = own.chain(["bpf", "seccomp"].map(str::to_owned)).collect();
    assert!(own.len() > 100, "the table was not read: {own:?}");
    let missing: Vec<_> = own.difference(&permitted).collect();
    assert!(missing.is_empty(), "{missing:?}");
    Ok(())
}

/// The system calls of a word of the filter: itself, or those of a group.
fn calls(word: &str) -> Result<BTreeSet<String>> {
    if !word.starts_with('@') {
        return Ok([word.to_owned()].into());
    }
    let listed = run(&format!("systemd-analyze syscall-filter {word}"))?;
    let mut all = BTreeSet::new();
    for line in listed.lines().skip(1).map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            all.extend(calls(line)?);
        }
    }
    Ok(all)
}

#[test]
fn the_users_files_make_a_folder_for_pins_that_only_the_user_gets_into() -> Result<()> {
    let mut scratch = Scratch::new()?;
    for folder in ["etc", "sys", "sys/fs"] {
        fs::create_dir(scratch.join(folder))?;
    }
    // As systemd mounts it at boot, for root alone.
    let bpffs = scratch.mount_bpffs("sys/fs/bpf")?;
    let root = format!("--root={}", scratch.path().display());
    let sysusers = packaged("guard.sysusers");
    output(Command::new("systemd-sysusers").arg(&root).arg(sysusers))?;
    let users = fs::read_to_string(scratch.join("etc/passwd"))?;
    let user = users.lines().find(|line| line.starts_with("guard:"));
    let user = user.with_context(|| format!("no user in {users}"))?;
    let fields: Vec<&str> = user.split(':').collect();
    let (user, group): (u32, u32) = (fields[2].parse()?, fields[3].parse()?);
    ensure!(user != 0 && fields[6].ends_with("nologin"), "{fields:?}");

    let tmpfiles = packaged("guard.tmpfiles");
    let mut create = Command::new("systemd-tmpfiles");
    output(create.args(["--create", &root]).arg(tmpfiles))?;
    let seen = |path: &Path| {
        let found = fs::metadata(path)?;
        let mode = found.permissions().mode() & 0o7777;
        Ok::<_, anyhow::Error>((mode, found.uid(), found.gid()))
    };
    assert_eq!(seen(&bpffs)?, (0o710, 0, group));
    assert_eq!(seen(&bpffs.join("guard"))?, (0o700, user, group));
    Ok(())
}
