//! Frames of several buffers, of which only the first can be read directly.

use guard_common::{
    departure::{Departure, EphemeralPorts, Talk},
    packet::{Address, Frame, Payload, Unsound, Walk, extensions, parse},
};

const EPHEMERAL: EphemeralPorts = EphemeralPorts {
    first: 32_768,
    last: 60_999,
};

/// A frame of which only the first `linear` bytes can be read directly.
struct Pieces<'a> {
    bytes: &'a [u8],
    linear: usize,
}

impl Frame for Pieces<'_> {
    fn linear_len(&self) -> usize {
        self.linear
    }

    fn total_len(&self) -> usize {
        self.bytes.len()
    }

    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.bytes[..self.linear].get(offset..)?.first_chunk()
    }

    /// As the kernel calls it: through one word.
    fn beyond_extensions(&self, at: Payload) -> Result<Payload, Unsound> {
        Walk::pack(extensions(self, at)).unpack(at)
    }
}

/// The first byte says how much of the frame behind it can be read directly.
pub fn check(input: &[u8]) {
    let Some((linear, bytes)) = input.split_first() else {
        return;
    };
    let linear = usize::from(*linear).min(bytes.len());
    let (whole, pieces) = (parse(bytes), parse(&Pieces { bytes, linear }));
    assert!(
        pieces == whole || pieces == Err(Unsound::OutOfReach),
        "{linear} bytes: {pieces:?}, not {whole:?}"
    );
    let all = Pieces {
        bytes,
        linear: bytes.len(),
    };
    assert_eq!(parse(&all), whole, "through one word");
    let departs = talk(&Pieces { bytes, linear });
    assert!(departs.is_none() || departs == talk(bytes));
}

/// Whom a host talks with when it is this frame that leaves.
fn talk<F: Frame + ?Sized>(frame: &F) -> Option<(Address, Talk)> {
    let departure = Departure::read(frame)?;
    let talk = departure.talk(frame, EPHEMERAL)?;
    Some((departure.peer(), talk))
}
