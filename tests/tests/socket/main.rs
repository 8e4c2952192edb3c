//! The control socket of a running agent: who may use it, what it answers, what is written down.

#![forbid(unsafe_code)]

mod explain;
mod follow;
mod import;
mod openapi;
mod peers;
mod shown;

use std::{process::Output, time::Duration};

use lab::stage::INTERFACE;

/// For whatever is to end.
const PATIENCE: Duration = Duration::from_mins(1);
const FLAGS: [&str; 2] = ["--iface", INTERFACE];

/// What a command wrote to standard error, which is the last thing it should do.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
