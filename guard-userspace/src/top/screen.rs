//! The terminal, taken over and given back.

use std::{
    io::{self, IsTerminal as _, Stdout, stdout},
    panic, thread,
};

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        event::{self, Event},
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
};
use tokio::sync::mpsc;

/// The terminal while `guard top` has it. Dropping it gives it back as it was.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Whether standard output is a terminal that can be drawn on.
    pub(super) fn is_there() -> bool {
        stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
    }

    /// Takes the terminal. A panic gives it back first, so that its message can be read.
    pub(super) fn take() -> io::Result<Self> {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
        enable_raw_mode()?;
        let screen = execute!(stdout(), EnterAlternateScreen)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        match screen {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                give_back();
                Err(error)
            }
        }
    }

    /// Draws a frame.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// As far as it can be done: whoever closed the terminal needs nothing back.
fn give_back() {
    let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// Keys and changes of size, read by a thread of its own, which ends with the process. The channel
/// closes when the terminal is gone.
pub(super) fn input() -> mpsc::UnboundedReceiver<Event> {
    let (sender, receiver) = mpsc::unbounded_channel();
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Whether colours may be used: the terminal has them, and `NO_COLOR` (<https://no-color.org>) does
/// not say otherwise.
pub(super) fn has_colours(variable: impl Fn(&str) -> Option<String>) -> bool {
    const WITHOUT: [&str; 5] = ["dumb", "vt100", "vt102", "vt220", "ansi-m"];
    let is_unwanted = variable("NO_COLOR").is_some_and(|value| !value.is_empty());
    let term = variable("TERM").unwrap_or_default();
    let is_mono = term.is_empty() || WITHOUT.contains(&&*term) || term.ends_with("-mono");
    !is_unwanted && !is_mono
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_where_the_terminal_has_them_and_nobody_objects() {
        let has = |term: &str, no_color: Option<&str>| {
            has_colours(|name| match name {
                "TERM" => Some(term.to_owned()),
                "NO_COLOR" => no_color.map(str::to_owned),
                _ => None,
            })
        };
        assert!(has("xterm-256color", None));
        assert!(has("linux", Some("")));
        assert!(!has("xterm-256color", Some("1")));
        assert!(!has("vt100", None));
        assert!(!has("xterm-mono", None));
        assert!(!has("", None));
    }
}
