//! An older build of guard, from this repository's history: the last one of another ABI version.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::command;

/// Where the version stands, and how.
const VERSION: (&str, &str) = ("guard-common/src/wire.rs", "ABI_VERSION: u32 = ");

/// Builds it, unless it is there, and answers with its path.
pub fn build() -> Result<PathBuf> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the tests lie in the repository")?;
    let commit = last_of_another_version(repository)?;
    let source = repository.join("target/older").join(&commit);
    let binary = source.join("target/debug/guard");
    if !binary.exists() {
        check_out(repository, &commit, &source)?;
        // Other than those of the tests themselves.
        let own = env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO"));
        let mut cargo = Command::new("cargo");
        for (name, _) in own {
            cargo.env_remove(name);
        }
        cargo.args([
            "build",
            "--locked",
            "--package",
            "guard-userspace",
            "--bins",
        ]);
        command::output(cargo.current_dir(&source))?;
    }
    Ok(binary)
}

fn last_of_another_version(repository: &Path) -> Result<String> {
    let (file, words) = VERSION;
    let mut git = Command::new("git");
    git.arg("-C").arg(repository);
    git.args([
        "log",
        "-1",
        "--format=%P",
        &format!("-G{words}"),
        "--",
        file,
    ]);
    let commit = command::output(&mut git)?.trim().to_owned();
    ensure!(
        !commit.is_empty(),
        "no older version in the history of {}: this takes a clone that is not shallow",
        repository.display()
    );
    Ok(commit)
}

fn check_out(repository: &Path, commit: &str, source: &Path) -> Result<()> {
    // What is left of a build that failed.
    let _ = fs::remove_dir_all(source);
    fs::create_dir_all(source.join("target"))?;
    symlink(repository.join("target/tools"), source.join("target/tools"))?;
    let mut archive = Command::new("git")
        .arg("-C")
        .arg(repository)
        .args(["archive", commit])
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run git")?;
    let packed = archive.stdout.take().context("what git packs")?;
    let unpacked = Command::new("tar")
        .arg("x")
        .stdin(packed)
        .current_dir(source)
        .status()?;
    ensure!(
        archive.wait()?.success() && unpacked.success(),
        "cannot check out {commit}"
    );
    Ok(())
}
