//! `guard detach`: what a stopped or killed agent has left.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::claims;
use crate::{
    interface,
    kernel::{Hook, Place, forget_estate, remove_remains},
};

/// Takes off the programs that an agent with these folders has left on interfaces, and removes its
/// pins. Answers with the names of the interfaces.
///
/// # Errors
/// An agent runs with these folders.
pub async fn detach(state_dir: &Path, bpffs: &Path) -> Result<Vec<String>> {
    // Where there is none, nobody is to be kept out. It is not made: it would be whose who asks.
    let lock = claims::lock_left_state(state_dir)?;
    let Some(place) = Place::find(bpffs)? else {
        return Ok(Vec::new());
    };
    let interfaces = interface::list().await?;
    let mut names = Vec::new();
    for left in place.links().iter().filter(|left| left.hook == Hook::Xdp) {
        let linked = place.linked(left.hook, left.interface);
        let interface = interfaces.iter().find(|interface| {
            let program = interface.xdp.as_ref().map(|xdp| xdp.program_id);
            interface.index == left.interface && program == linked
        });
        if let Some(interface) = interface {
            remove_remains(&interface.name);
            names.push(interface.name.clone());
        }
    }
    place.clear();
    if lock.is_some() {
        forget_estate(state_dir).context("a file of the agent stays behind")?;
    }
    Ok(names)
}
