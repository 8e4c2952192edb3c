//! One decision a file. Their order stands in `pipeline.rs`.

pub(crate) mod land;
pub(crate) mod limits;
pub(crate) mod offences;
pub(crate) mod plaintext;
pub(crate) mod rules;
pub(crate) mod services;
