//! How a segment is heard: the parts, what they ask about it, and what it comes to.

use crate::{
    connection::{
        End, Outcome,
        course::{Course, Step},
        head::Head,
        speech::Speech,
        text::{Sought, Window},
    },
    protocol::Protocol,
};

/// Prefixes in front of a head that are stepped over in one segment.
const PREFIXES: u32 = 3;

/// What a [`super::Talk`] asks about the segment it hears.
pub trait Ears {
    /// The 24 bytes from `at` on as big-endian words. Only those within the payload's text count.
    fn bytes(&self, at: u32) -> [u64; 3];
    /// How many bytes of the text from `at` on, searched to
    /// [`SEARCHED`](crate::connection::text::SEARCHED), it takes to find something that may begin in
    /// the window before; zero when it is not there.
    fn search(&self, sought: Sought, at: u32, window: Window) -> u32;
    /// What a head is that its `end` says, as [`speech`](crate::connection::speech) has it.
    fn speech(&self, end: End, head: Head, protocol: Protocol, client: Speech) -> Speech;
    /// [`Course::step`].
    fn step(&self, course: Course) -> Step;
}

/// The parts of hearing a segment, in the order in which [`hear`] calls them. The kernel calls each
/// out of line, since together they need more stack than there is.
pub trait Hearing {
    /// [`super::Talk::listen`].
    fn listen(&self) -> Listens;
    /// [`super::Talk::put`].
    fn put(&self) -> bool;
    /// [`super::Talk::name`].
    fn name(&self);
    /// [`super::Talk::step_over`].
    fn step_over(&self) -> bool;
    /// [`super::Talk::judge`].
    fn judge(&self);
    /// [`super::Talk::take_in_blindly`].
    fn take_in_blindly(&self);
    /// [`super::Talk::conclude`].
    fn conclude(&self) -> Heard;
}

/// Whether a segment is taken in, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listens {
    /// It is not of the connection.
    No,
    /// From its first byte on.
    FromTheStart,
    /// From somewhere in its middle on.
    Blindly,
}

/// Takes in a segment.
#[inline(always)]
pub fn hear(hearing: &impl Hearing) -> Heard {
    match hearing.listen() {
        Listens::No => return Heard::default(),
        Listens::FromTheStart => {
            for _ in 0..PREFIXES {
                if hearing.put() {
                    hearing.name();
                }
                if !hearing.step_over() {
                    break;
                }
            }
            hearing.judge();
        }
        Listens::Blindly => hearing.take_in_blindly(),
    }
    hearing.conclude()
}

/// What a segment comes to, as one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard(pub u32);

impl Heard {
    /// It goes on with a request in clear, by an exact signature.
    pub const PLAINTEXT: u32 = 1 << 8;
    /// Its numbers prove that who sent it sees what the host sends.
    pub const PROVEN: u32 = 1 << 9;
    /// What the client says matches nothing.
    pub const UNKNOWN: u32 = 1 << 10;
    /// It is the first of which the request in clear is known.
    pub const FIRST: u32 = 1 << 11;
    pub(super) const DECIDED: u32 = 1 << 12;

    /// Whether it has `flag`.
    #[inline(always)]
    #[must_use]
    pub const fn has(self, flag: u32) -> bool {
        self.0 & flag != 0
    }

    /// What the connection is, when that is known from now on.
    #[inline(always)]
    #[must_use]
    pub const fn outcome(self) -> Option<Outcome> {
        if self.has(Self::DECIDED) {
            Some(Outcome::numbered(self.0))
        } else {
            None
        }
    }
}
