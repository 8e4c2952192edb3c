//! What each command does, and how it ends.

pub(crate) mod ask;
mod follow;
mod import;
pub(crate) mod local;
pub(crate) mod output;
pub(crate) mod pages;
pub(crate) mod top;

/// What a command ends with: see the contract's table of commands.
pub(crate) const START_FAILED: u8 = 1;
pub(crate) const BAD_CONFIGURATION: u8 = 2;
pub(crate) const AGENT_FAILED: u8 = 1;
pub(crate) const NO_AGENT: u8 = 3;
