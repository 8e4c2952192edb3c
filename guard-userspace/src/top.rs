//! `guard top`: what the agent does, live in the terminal, or once as text.
//!
//! Two looks at the agent make a [`Picture`] with rates, a picture makes panes of text, and those are
//! drawn, or printed. Only [`live`] has to do with a terminal.

mod controls;
#[cfg(test)]
mod fixtures;
mod layout;
mod live;
mod once;
mod panes;
mod picture;
mod screen;
mod snapshot;
mod text;
mod view;

pub use self::{
    live::{TopError, live},
    once::{once, render},
    picture::Picture,
    snapshot::Snapshot,
};
