//! What the kernel program and the user side of `guard` share.
//!
//! Everything here is pure: parsing, arithmetic and the types that cross the line. It runs in the
//! kernel as it runs under the tests on the host.
#![no_std]
#![deny(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod addresses;
pub mod connection;
pub mod departure;
pub mod facts;
pub mod known;
pub mod lifeline;
pub mod limit;
pub mod offence;
pub mod packet;
#[cfg(feature = "user")]
mod pod;
pub mod protocol;
pub mod ranges;
pub mod reason;
pub mod source;
pub mod talkers;
mod ticks;
pub mod wire;
