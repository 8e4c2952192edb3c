//! What the agent serves: metrics and health over TCP, everything else over its Unix socket.

mod control;
mod errors;
mod public;
mod serve;

use std::net::IpAddr;

use crate::{
    entries::{Banned, Done, Edit, Explanation, List, Listed, Unban},
    findings::Told,
    status::Status,
};

pub(crate) use self::{control::control, public::public, serve::serve};

/// What the handlers ask of the agent.
pub(crate) trait Source: Send + Sync + 'static {
    /// The agent at this moment.
    fn status(&self) -> anyhow::Result<Status>;
    /// Reads the configuration again and puts it in force.
    fn reload(&self) -> anyhow::Result<Done>;
    /// Changes a list.
    fn edit(&self, edit: Edit) -> anyhow::Result<Done>;
    /// The entries of a list.
    fn entries(&self, list: List) -> Vec<Listed>;
    /// Who is banned.
    fn bans(&self) -> Vec<Banned>;
    /// Ends bans.
    fn unban(&self, unban: &Unban) -> anyhow::Result<()>;
    /// What decides for packets of an address.
    fn explain(&self, address: IpAddr) -> Explanation;
    /// What was found lately, newest last.
    fn events(&self) -> Vec<Told>;
    /// Whether the program is attached wherever it should be.
    fn is_ready(&self) -> bool;
}
