//! What must hold of every input of guard's parsers, whoever made it: a fuzzer (`cargo xtask fuzz`),
//! its kept corpus (`tests/corpus.rs`), real captures (`tests/tests/captures`).
//!
//! Each check panics where it does not hold.

#![forbid(unsafe_code)]

pub mod agreement;
pub mod capture;
pub mod config;
pub mod departure;
pub mod entries;
pub mod event;
pub mod extensions;
pub mod frame;
pub mod list;
pub mod pieces;
pub mod protocol;
pub mod redaction;
pub mod resolvers;
pub mod ssh;
pub mod units;

/// A check under the name of its fuzz target and its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// Every check.
pub const TARGETS: [Target; 14] = [
    ("capture", capture::check),
    ("config", config::check),
    ("departure", departure::check),
    ("entries", entries::check),
    ("event", event::check),
    ("extensions", extensions::check),
    ("frame", frame::check),
    ("list", list::check),
    ("pieces", pieces::check),
    ("protocol", protocol::check),
    ("redaction", redaction::check),
    ("resolvers", resolvers::check),
    ("ssh", ssh::check),
    ("units", units::check),
];

/// `text` may go to a terminal as one line.
fn assert_one_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
