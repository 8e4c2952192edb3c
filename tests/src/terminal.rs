//! A program in a terminal of its own: what is on its screen, and keys pressed.

use std::{
    io::{Read as _, Write},
    num::NonZeroU16,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use vt100::Parser;

/// Between two looks at the screen.
const POLL: Duration = Duration::from_millis(20);

/// A terminal with a program in it, which is killed when this is dropped.
pub struct Terminal {
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    screen: Arc<Mutex<Parser>>,
    program: Box<dyn Child + Send + Sync>,
    /// How the line was set before the program started.
    modes: String,
}

impl Terminal {
    /// Starts `program` with these words in a terminal of so many columns and rows.
    pub fn start(program: &Path, words: &[&str], (columns, rows): (u16, u16)) -> Result<Self> {
        let size = PtySize {
            rows,
            cols: columns,
            ..PtySize::default()
        };
        let pair = native_pty_system().openpty(size)?;
        let modes = modes(&*pair.master);
        let mut command = CommandBuilder::new(program);
        command.args(words);
        command.env("TERM", "xterm-256color");
        command.env_remove("NO_COLOR");
        command.env_remove("GUARD_SOCKET");
        let program = pair.slave.spawn_command(command)?;
        let screen = Arc::new(Mutex::new(Parser::new(some(rows)?, some(columns)?, 0)));
        let mut output = pair.master.try_clone_reader()?;
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // An error is that nobody has the terminal any more.
            while let Ok(read @ 1..) = output.read(&mut bytes) {
                lock(&shown).process(&bytes[..read]);
            }
        });
        Ok(Self {
            keys: pair.master.take_writer()?,
            master: pair.master,
            screen,
            program,
            modes,
        })
    }

    /// What is on the screen, line by line.
    pub fn text(&self) -> String {
        lock(&self.screen).screen().contents()
    }

    /// Whether the program has taken the screen for itself.
    pub fn is_taken(&self) -> bool {
        let parser = lock(&self.screen);
        parser.screen().alternate_screen() || parser.screen().hide_cursor()
    }

    /// Whether lines are read, echoed and interrupted as before the program started.
    pub fn is_as_before(&self) -> bool {
        modes(&*self.master) == self.modes
    }

    /// Types these bytes.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes())?;
        Ok(self.keys.flush()?)
    }

    /// Makes it so large.
    pub fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        let (lines, places) = (some(rows)?, some(columns)?);
        lock(&self.screen).screen_mut().set_size(lines, places);
        self.master.resize(PtySize {
            rows,
            cols: columns,
            ..PtySize::default()
        })
    }

    /// Sends the program a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.program.process_id().context("the program has ended")?;
        Ok(kill(Pid::from_raw(pid.cast_signed()), signal)?)
    }

    /// Waits until the screen is as it should be, and returns what is on it.
    pub fn wait_until(
        &mut self,
        timeout: Duration,
        mut is_done: impl FnMut(&str) -> bool,
    ) -> Result<String> {
        let deadline = Instant::now() + timeout;
        loop {
            let text = self.text();
            if is_done(&text) {
                return Ok(text);
            }
            if let Some(status) = self.program.try_wait()? {
                bail!("the program ended ({status}):\n{text}");
            }
            if Instant::now() > deadline {
                bail!("not on the screen after {timeout:?}:\n{text}");
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until the program has ended by itself.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.program.try_wait()? {
                // What it wrote last is read by another thread.
                thread::sleep(10 * POLL);
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("it goes on after {timeout:?}:\n{}", self.text());
            }
            thread::sleep(POLL);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn some(size: u16) -> Result<NonZeroU16> {
    NonZeroU16::new(size).context("a terminal of no size")
}

/// How the terminal treats lines and keys.
fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios())
}

fn lock(screen: &Mutex<Parser>) -> MutexGuard<'_, Parser> {
    screen.lock().unwrap_or_else(PoisonError::into_inner)
}
