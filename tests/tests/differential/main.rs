//! The kernel side against something else that has to come to the same end, packet by packet: the
//! parser on the host, and a model of everything.

mod draw;
mod malformed;
mod model;
mod noise;
mod pair;
mod parser;
mod report;
#[path = "../rig/mod.rs"]
mod rig;
mod setup;
mod streams;
mod traffic;
