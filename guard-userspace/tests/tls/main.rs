//! TLS facts: of real handshakes, of published fingerprints, of crafted and of hostile bytes.

mod craft;
mod handshakes;
mod hostile;
mod ja4;
mod lab;
mod messages;
