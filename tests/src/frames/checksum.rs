//! The Internet checksum (RFC 1071).

/// The checksum of all parts one after the other; each but the last has an even length.
pub(super) fn of(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum = words.fold(0_u64, |sum, word| {
        let low = word.get(1).copied().unwrap_or(0);
        sum + u64::from(u16::from_be_bytes([word[0], low]))
    });
    !fold(sum)
}

/// Adds the carries back in.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_rfc_1071() {
        // Section 3's example: the sum is ddf2.
        let data = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(of(&[&data]), !0xddf2);
        assert_eq!(of(&[&data[..4], &data[4..]]), !0xddf2);
    }

    #[test]
    fn pads_an_odd_end() {
        assert_eq!(of(&[&[0x12]]), !0x1200);
    }
}
