//! Packets through the real kernel side: the verdict, and every counter that it changed.

mod blocklist;
mod budgets;
mod case;
mod events;
mod large;
mod limits;
mod malformed;
mod offences;
mod plaintext;
#[path = "../rig/mod.rs"]
mod rig;
mod sources;
mod tiers;
