//! What guard tells those who watch it: metrics that promtool has nothing to say against, labels that
//! no sender chooses, and rules and a dashboard whose every query a real Prometheus answers.

#![forbid(unsafe_code)]

mod causes;
mod dashboard;
mod exposition;
mod families;
mod hostile;
mod queries;
mod rules;
mod senders;
mod site;

use std::path::{Path, PathBuf};

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
