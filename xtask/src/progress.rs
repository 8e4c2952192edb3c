//! Runs a long, talkative command behind one line that shows it is alive.

use std::{
    fs::{self, File},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{toolchain, workspace};

const POLL: Duration = Duration::from_millis(200);
/// How often a log that is no terminal gets a line.
const LOG_EVERY: Duration = Duration::from_secs(15);
/// What a failed command's last words are limited to.
const SHOWN_LINES: usize = 15;
/// How much of its output a terminal line repeats.
const SHOWN_CHARS: usize = 60;

/// Runs `command`, called `what` on the screen, with its output in a file.
///
/// When it fails, the error repeats the end of that output.
pub(crate) fn run(what: &str, command: &mut Command) -> Result<()> {
    let log = log_file(what)?;
    let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let errors = output.try_clone().context("cannot share the log file")?;
    let child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .spawn()
        .with_context(|| format!("cannot start `{}`", workspace::shown(command)))?;
    let start = Instant::now();
    let status = watch(what, child, &log)?;
    ensure!(
        status.success(),
        "`{}` failed ({status}); its last words were:\n{}\n(all of them are in {})",
        workspace::shown(command),
        last_lines(&log, SHOWN_LINES).join("\n"),
        log.display()
    );
    say!("  {what}: done in {} s", start.elapsed().as_secs());
    Ok(())
}

fn log_file(what: &str) -> Result<PathBuf> {
    let dir = toolchain::tools_dir(workspace::root()).join("log");
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    Ok(dir.join(what.replace(' ', "-")).with_extension("log"))
}

fn watch(what: &str, mut child: Child, log: &Path) -> Result<ExitStatus> {
    let terminal = io::stdout().is_terminal();
    let start = Instant::now();
    let mut told = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a command")? {
            if terminal {
                let _ = write!(io::stdout(), "\r\x1b[2K");
            }
            return Ok(status);
        }
        let elapsed = start.elapsed();
        if terminal {
            let line = last_lines(log, 1).concat();
            let line: String = line.chars().take(SHOWN_CHARS).collect();
            let seconds = elapsed.as_secs();
            // A progress line that cannot be shown is no reason to stop.
            let _ = write!(io::stdout(), "\r\x1b[2K  {what}: {seconds} s  {line}");
            let _ = io::stdout().flush();
        } else if elapsed >= told + LOG_EVERY {
            told = elapsed;
            say!("  {what}: {} s", elapsed.as_secs());
        }
        thread::sleep(POLL);
    }
}

fn last_lines(log: &Path, count: usize) -> Vec<String> {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.split(['\n', '\r']).map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let first = lines.len().saturating_sub(count);
    lines[first..].iter().map(ToString::to_string).collect()
}
