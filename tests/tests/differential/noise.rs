//! Frames written out for whoever has to look at them.

use std::fmt::Write as _;

pub(crate) use lab::noise::Noise;

/// The bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
