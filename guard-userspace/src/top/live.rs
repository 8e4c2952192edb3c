//! The live view: looks at the agent, keys, and the screen.

use std::{env, io, path::PathBuf, time::Duration};

use ratatui::crossterm::event::Event;
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{MissedTickBehavior, interval_at},
};

use super::{
    controls::Controls,
    picture::Picture,
    screen::{self, Screen},
    snapshot::Snapshot,
    view::View,
};
use crate::{cli::TopFlags, client::ClientError};

/// Why there is no live view.
#[derive(Debug, Error)]
pub enum TopError {
    /// Nobody to draw for.
    #[error(
        "standard output is no terminal that can be drawn on: `guard top --once` prints one picture"
    )]
    NoTerminal,
    /// No agent, at the start.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The terminal fails.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
}

/// Shows what the agent does until somebody quits. An agent that goes away later is waited for.
pub async fn live(flags: &TopFlags) -> Result<(), TopError> {
    if !Screen::is_there() {
        return Err(TopError::NoTerminal);
    }
    let mut watched = Watched::new(Snapshot::take(&flags.agent.socket).await?);
    let mut looks = looks(flags.agent.socket.clone(), flags.interval);
    let mut ends = [
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ];
    let [terminate, interrupt, hangup] = &mut ends;
    let mut controls = Controls::default();
    let colours = screen::has_colours(|name| env::var(name).ok());
    let mut screen = Screen::take()?;
    let mut input = screen::input();
    loop {
        screen.draw(|frame| watched.view(colours).draw(frame, &mut controls))?;
        tokio::select! {
            event = input.recv() => match event {
                Some(Event::Key(key)) if controls.press(key) => return Ok(()),
                Some(_) => {}
                None => return Ok(()),
            },
            Some(look) = looks.recv() => watched.take(look, controls.paused),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
        }
    }
}

/// What was seen last.
struct Watched {
    last: Snapshot,
    picture: Picture,
    failure: Option<String>,
}

impl Watched {
    fn new(first: Snapshot) -> Self {
        Self {
            picture: Picture::between(None, &first),
            last: first,
            failure: None,
        }
    }

    fn take(&mut self, look: Result<Snapshot, ClientError>, paused: bool) {
        match look {
            Ok(new) => {
                if !paused {
                    self.picture = Picture::between(Some(&self.last), &new);
                }
                self.last = new;
                self.failure = None;
            }
            Err(error) => self.failure = Some(brief(&error)),
        }
    }

    fn view(&self, colours: bool) -> View<'_> {
        View {
            picture: &self.picture,
            failure: self.failure.as_deref(),
            colours,
        }
    }
}

/// In one line, without the advice for who starts anew.
fn brief(error: &ClientError) -> String {
    match error {
        ClientError::NoAgent { socket, cause } => {
            format!("no agent answers on {} ({cause})", socket.display())
        }
        _ => super::text::plain(&error.to_string()),
    }
}

/// Looks at the agent again and again, beside the keys: it may take its time.
fn looks(socket: PathBuf, every: Duration) -> mpsc::Receiver<Result<Snapshot, ClientError>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut rounds = interval_at(tokio::time::Instant::now() + every, every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            if sender.send(Snapshot::take(&socket).await).await.is_err() {
                return;
            }
        }
    });
    receiver
}
