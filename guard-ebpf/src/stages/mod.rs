//! One decision a file. Their order stands in `pipeline.rs`.

pub(crate) mod encryption;
pub(crate) mod land;
pub(crate) mod lifelines;
pub(crate) mod limits;
pub(crate) mod offences;
pub(crate) mod rules;
pub(crate) mod services;
