//! The kernel side against something else that has to come to the same end, packet by packet.

mod malformed;
mod noise;
mod parser;
#[path = "../rig/mod.rs"]
mod rig;
