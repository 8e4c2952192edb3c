//! Packets through the real kernel side: the verdict, and every counter that it changed.

mod blocklist;
mod budgets;
mod case;
mod connections;
mod conversation;
mod encryption;
mod events;
mod large;
mod layers;
mod lifelines;
mod limits;
mod malformed;
mod offences;
#[path = "../rig/mod.rs"]
mod rig;
mod services;
mod sources;
mod talkers;
mod tiers;

#[test]
#[ignore = "boots virtual machines: `cargo xtask test --full`"]
fn older_kernels_judge_alike() -> anyhow::Result<()> {
    lab::machine::repeat_on_older_kernels(&[])
}
