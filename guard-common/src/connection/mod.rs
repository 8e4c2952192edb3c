//! What is said of a TCP connection: whether both sides encrypt, as far as anybody can see.
//!
//! `docs/ENCRYPTION.md` has the rules and the table of transitions. The parts:
//!
//! - [`head`]: the first bytes of what a side says, put together from segments in any order;
//! - [`speech`]: what such bytes are;
//! - [`course`]: what follows from what both sides have said;
//! - [`opening`]: sequence numbers of a handshake, until somebody speaks;
//! - [`talk`]: a connection of which it is not known yet what it is;
//! - [`settled`]: connections of which it is;
//! - [`text`]: words in the first kilobytes of an answer.

pub mod course;
pub mod head;
pub mod opening;
pub mod settled;
pub mod speech;
pub mod talk;
pub mod text;

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Outcome {
    /// TLS or SSH was seen from both sides.
    Encrypted = 0,
    /// A plaintext request, and a plaintext answer to it.
    PlaintextServed = 1,
    /// A plaintext request that was turned away.
    Rejected = 2,
    /// A plaintext request that was sent on to HTTPS.
    Redirected = 3,
    /// A plaintext request, and no answer of its protocol.
    PlaintextAttempt = 4,
    /// Bytes that match nothing, or one side's greeting alone.
    Unknown = 5,
    /// Its start was not seen, or it was forgotten under load.
    Blind = 6,
    /// Nobody said anything.
    Empty = 7,
}

impl Outcome {
    /// Every outcome, in the order of its number.
    pub const ALL: [Self; 8] = [
        Self::Encrypted,
        Self::PlaintextServed,
        Self::Rejected,
        Self::Redirected,
        Self::PlaintextAttempt,
        Self::Unknown,
        Self::Blind,
        Self::Empty,
    ];
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The stable word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encrypted => "encrypted",
            Self::PlaintextServed => "plaintext_served",
            Self::Rejected => "rejected",
            Self::Redirected => "redirected",
            Self::PlaintextAttempt => "plaintext_attempt",
            Self::Unknown => "unknown",
            Self::Blind => "blind",
            Self::Empty => "empty",
        }
    }

    /// The outcome with this number, of which the lowest three bits count.
    #[inline(always)]
    #[must_use]
    pub const fn numbered(number: u32) -> Self {
        match number & 7 {
            0 => Self::Encrypted,
            1 => Self::PlaintextServed,
            2 => Self::Rejected,
            3 => Self::Redirected,
            4 => Self::PlaintextAttempt,
            5 => Self::Unknown,
            6 => Self::Blind,
            _ => Self::Empty,
        }
    }
}

/// One of the two ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum End {
    /// Who called.
    Client = 0,
    /// Who was called.
    Server = 1,
}

/// Who spoke first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FirstSpeaker {
    /// Nobody yet.
    None = 0,
    /// Who called.
    Client = 1,
    /// Who was called.
    Server = 2,
}

impl FirstSpeaker {
    /// The stable word users see.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The one with this number, of which the lowest two bits count.
    #[inline(always)]
    #[must_use]
    pub const fn numbered(number: u32) -> Self {
        match number & 3 {
            1 => Self::Client,
            2 => Self::Server,
            _ => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back() {
        for (number, outcome) in (0..).zip(Outcome::ALL) {
            assert_eq!(outcome as u32, number);
            assert_eq!(Outcome::numbered(number), outcome);
        }
        for speaker in [
            FirstSpeaker::None,
            FirstSpeaker::Client,
            FirstSpeaker::Server,
        ] {
            assert_eq!(FirstSpeaker::numbered(speaker as u32), speaker);
        }
    }
}
