//! `guard detach`: what a stopped or killed agent has left.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::lock::StateLock;
use crate::{
    interface,
    kernel::{Left, Place, forget_estate, remove_remains},
};

/// Takes off the programs that an agent with these folders has left on interfaces, and removes its
/// pins. Answers with the names of the interfaces.
///
/// # Errors
/// An agent runs with these folders.
pub async fn detach(state_dir: &Path, bpffs: &Path) -> Result<Vec<String>> {
    // Where there is none, nobody is to be kept out. It is not made: it would be whose who asks.
    let lock = StateLock::take_left(state_dir)?;
    let Some(place) = Place::find(bpffs)? else {
        return Ok(Vec::new());
    };
    let interfaces = interface::list().await?;
    // Whatever the pins are called: they all go.
    let pinned: Vec<u32> = place.links().iter().filter_map(Left::program_id).collect();
    let kept = interfaces.iter().filter(|interface| {
        let xdp = interface.xdp.as_ref();
        xdp.is_some_and(|xdp| pinned.contains(&xdp.program_id))
    });
    let names: Vec<String> = kept.map(|interface| interface.name.clone()).collect();
    for name in &names {
        remove_remains(name);
    }
    place.clear();
    if lock.is_some() {
        forget_estate(state_dir).with_context(|| match &*names.join(", ") {
            "" => "a file of the agent stays behind".to_owned(),
            names => format!("detached from {names}, but a file of the agent stays behind"),
        })?;
    }
    Ok(names)
}
