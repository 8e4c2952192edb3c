//! What guard is given that it cannot use: one clear sentence, the right exit code, nothing left.

#![forbid(unsafe_code)]

mod attempt;
mod configuration;
mod flags;
mod places;
mod strangers;
mod unbuilt;
