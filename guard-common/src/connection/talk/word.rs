//! The word of a connection that both programs write.

use super::Segment;
use crate::{
    connection::{
        End, FirstSpeaker, Outcome,
        course::{Stage, Told},
    },
    protocol::Protocol,
    wire::{MAX_INTERFACES, MAX_SERVICES, ServicePort},
};

/// What is noted of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Word(pub u64);

/// A [`Word`], and what comes of it: as it comes back from a call in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress(pub u64);

impl Progress {
    const AGAIN: u64 = 1 << 63;
    const DECIDED: u64 = 1 << 62;
    const OUTCOME: u32 = 58;
    const WORD: u64 = (1 << 58) - 1;

    /// The same is to be done once more, or not.
    #[inline(always)]
    #[must_use]
    pub(super) const fn again(word: Word, again: bool) -> Self {
        Self(word.0 | if again { Self::AGAIN } else { 0 })
    }

    /// What the connection is, if that is known.
    #[inline(always)]
    #[must_use]
    pub(super) const fn of(word: Word, outcome: Option<Outcome>) -> Self {
        match outcome {
            Some(outcome) => Self(word.0 | Self::DECIDED | (outcome as u64) << Self::OUTCOME),
            None => Self(word.0),
        }
    }

    /// What is noted.
    #[inline(always)]
    #[must_use]
    pub const fn word(self) -> Word {
        Word(self.0 & Self::WORD)
    }

    /// Whether there is more to be done.
    #[inline(always)]
    #[must_use]
    pub const fn is_again(self) -> bool {
        self.0 & Self::AGAIN != 0
    }

    #[inline(always)]
    pub(super) const fn outcome(self) -> Option<Outcome> {
        if self.0 & Self::DECIDED != 0 {
            Some(Outcome::numbered((self.0 >> Self::OUTCOME) as u32))
        } else {
            None
        }
    }
}

impl Word {
    /// It is known where the client's first byte is.
    pub const ANCHORED: u64 = 1 << 16;
    /// The host takes part in it.
    pub const CONFIRMED: u64 = 1 << 17;
    /// A byte came twice, and differently.
    pub const EVADED: u64 = 1 << 18;
    /// The server has answered a line of the client.
    pub const ANSWERED: u64 = 1 << 19;
    /// The server broke it off.
    pub const SERVER_RESET: u64 = 1 << 20;
    /// It is over.
    pub const CLOSED: u64 = 1 << 22;
    /// It is known what it is, and counted.
    pub const SETTLED: u64 = 1 << 23;
    /// Its first kilobytes go to user space.
    pub const SAMPLED: u64 = 1 << 24;
    /// User space was told of a request in clear.
    pub const FLAGGED: u64 = 1 << 25;
    /// The server has said something.
    pub const SERVER_SPOKE: u64 = 1 << 27;
    /// It is known where the server's first byte is.
    pub const SERVER_ANCHORED: u64 = 1 << 28;
    /// Something preceded what a side said first.
    pub const PREFIXED: u64 = 1 << 29;
    /// What its client asks for is refused.
    pub const REFUSED: u64 = 1 << 30;
    /// Its service refuses plaintext.
    pub const REFUSES: u64 = 1 << 31;
    /// It was quiet for so long that it was counted, and may yet go on.
    pub const EXPIRED: u64 = 1 << 57;

    const PROTOCOL: u32 = 1;
    const SPEAKER: u32 = 8;
    const TOLD: u32 = 10;
    const SEGMENTS: u32 = 32;
    const SERVICE: u32 = 40;
    const INTERFACE: u32 = 51;
    const SERVICES: u64 = (1 << (Self::INTERFACE - Self::SERVICE)) - 1;
    const INTERFACES: u64 = Self::OUTBOUND / (1 << Self::INTERFACE) - 1;
    const OUTBOUND: u64 = 1 << 56;

    /// Of a connection that a segment begins, with `flags`.
    #[inline(always)]
    #[must_use]
    pub(super) const fn new(segment: &Segment, flags: u64) -> Self {
        let outbound = if segment.by_client == segment.by_host {
            Self::OUTBOUND
        } else {
            0
        };
        let refuses = segment.service_flags & (ServicePort::DROP | ServicePort::RESET) != 0;
        let flags = if refuses {
            flags | Self::REFUSES
        } else {
            flags
        };
        let service = (segment.service_plus_one as u64 & Self::SERVICES) << Self::SERVICE;
        let interface = (segment.interface as u64 & Self::INTERFACES) << Self::INTERFACE;
        Self(flags | outbound | service | interface)
    }

    /// Whether it has `flag`.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Position of the service plus one.
    #[inline(always)]
    #[must_use]
    pub const fn service_plus_one(self) -> u16 {
        (self.0 >> Self::SERVICE & Self::SERVICES) as u16
    }

    /// Position of the interface.
    #[inline(always)]
    #[must_use]
    pub const fn interface(self) -> u32 {
        (self.0 >> Self::INTERFACE & Self::INTERFACES) as u32
    }

    /// Whether the host called.
    #[inline(always)]
    #[must_use]
    pub const fn is_outbound(self) -> bool {
        self.has(Self::OUTBOUND)
    }

    /// What is spoken.
    #[inline(always)]
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        Protocol::numbered((self.0 >> Self::PROTOCOL) as u32 & 0x1f)
    }

    /// Who spoke first.
    #[inline(always)]
    #[must_use]
    pub const fn first_speaker(self) -> FirstSpeaker {
        FirstSpeaker::numbered((self.0 >> Self::SPEAKER) as u32)
    }

    /// Segments with a payload, up to 255.
    #[inline(always)]
    #[must_use]
    pub const fn segments(self) -> u32 {
        (self.0 >> Self::SEGMENTS) as u32 & 0xff
    }

    #[inline(always)]
    pub(super) const fn stage(self) -> Stage {
        if self.0 & 1 == 0 {
            Stage::First
        } else {
            Stage::Turns
        }
    }

    #[inline(always)]
    pub(super) const fn told(self) -> Told {
        match (self.0 >> Self::TOLD) as u32 & 3 {
            0 => Told::NotYet,
            1 => Told::Yes,
            _ => Told::No,
        }
    }

    #[inline(always)]
    pub(super) const fn set(&mut self, flag: u64) {
        self.0 |= flag;
    }

    #[inline(always)]
    pub(super) const fn clear(&mut self, flag: u64) {
        self.0 &= !flag;
    }

    #[inline(always)]
    pub(super) const fn set_stage(&mut self, stage: Stage) {
        self.0 = self.0 & !1 | stage as u64;
    }

    #[inline(always)]
    pub(super) const fn set_protocol(&mut self, protocol: Protocol) {
        self.0 = self.0 & !(0x1f << Self::PROTOCOL) | (protocol as u64) << Self::PROTOCOL;
    }

    #[inline(always)]
    pub(super) const fn set_told(&mut self, told: Told) {
        self.0 = self.0 & !(3 << Self::TOLD) | (told as u64) << Self::TOLD;
    }

    #[inline(always)]
    pub(super) const fn speaks(&mut self, end: End) {
        let (speaker, flag) = match end {
            End::Client => (FirstSpeaker::Client, 0),
            End::Server => (FirstSpeaker::Server, Self::SERVER_SPOKE),
        };
        if self.0 >> Self::SPEAKER & 3 == 0 {
            self.0 |= (speaker as u64) << Self::SPEAKER;
        }
        self.0 |= flag;
    }

    #[inline(always)]
    pub(super) const fn count_segment(&mut self) {
        if self.segments() < 0xff {
            self.0 += 1 << Self::SEGMENTS;
        }
    }
}

const _: () = {
    assert!(
        MAX_SERVICES as u64 <= Word::SERVICES,
        "a service plus one fits"
    );
    assert!(
        MAX_INTERFACES as u64 <= Word::INTERFACES,
        "an interface fits"
    );
};
