//! The flags of the commands that describe the others.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// Flags of `guard completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsFlags {
    /// The shell they are for
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Flags of `guard man`.
#[derive(Args, Clone, Debug)]
pub struct ManFlags {
    /// Write a page for each command to this folder instead, which must exist
    #[arg(long, value_name = "DIR")]
    pub all: Option<PathBuf>,
}
