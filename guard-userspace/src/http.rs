//! What the agent serves: metrics and health over TCP, everything else over its Unix socket.

mod audit;
mod body;
mod change;
mod control;
mod errors;
mod follow;
mod peer;
mod public;
mod serve;

use std::net::IpAddr;

use crate::{
    control::{Bypass, Reload},
    entries::{Banned, Done, Edit, List, Listed, Unban},
    explanation::Explanation,
    findings::{Follower, Told},
    status::Status,
    talkers::TopTalkers,
};

pub(crate) use self::{
    audit::Audit,
    change::Gate,
    control::control,
    peer::Access,
    public::public,
    serve::{serve_control, serve_public},
};

/// What the handlers ask of the agent.
pub(crate) trait Source: Send + Sync + 'static {
    /// The agent at this moment.
    fn status(&self) -> anyhow::Result<Status>;
    /// Reads the configuration again and puts it in force.
    fn reload(&self, reload: Reload) -> anyhow::Result<Done>;
    /// Keeps what is on trial.
    fn confirm(&self) -> anyhow::Result<Done>;
    /// Lets everything pass for a while, or enforces again.
    fn bypass(&self, bypass: Bypass) -> anyhow::Result<Done>;
    /// Changes a list.
    fn edit(&self, edit: Edit) -> anyhow::Result<Done>;
    /// The entries of a list.
    fn entries(&self, list: List) -> Vec<Listed>;
    /// Who is banned.
    fn bans(&self) -> Vec<Banned>;
    /// Ends bans.
    fn unban(&self, unban: &Unban) -> anyhow::Result<()>;
    /// What decides for packets of an address, to a port of this host if one is named.
    fn explain(&self, address: IpAddr, port: Option<u16>) -> Explanation;
    /// What was found lately, newest last.
    fn events(&self) -> Vec<Told>;
    /// What was found lately, and what will be; nothing when as many follow as may.
    fn follow(&self) -> Option<Follower>;
    /// Who sends most.
    fn talkers(&self) -> TopTalkers;
    /// Whether the program is attached wherever it should be.
    fn is_ready(&self) -> bool;
}
