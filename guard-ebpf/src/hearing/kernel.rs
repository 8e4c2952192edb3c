//! The state machine's questions, answered from the memory and the tables of the kernel side: each
//! part is a function of its own, for the stack and the verifier.

use core::ptr::addr_of;

use guard_common::{
    connection::{
        End, Outcome,
        course::{Course, Stage, Step, Told},
        head::{Head, Start},
        speech::{self, Speech},
        talk::{Ears, Heard, Hearing, Listens, Progress, Segment, TEXT_LEN, Talk},
        text::{SEARCHED, Search, Sought, Window},
    },
    protocol::Protocol,
};

use super::Heeded;
use crate::{forget::forget, maps, stages::limits::Atomic};

/// The segment that this CPU hears, and the place of its connection, as the state machine asks about
/// them.
pub(super) struct Kernel {
    pub(super) position: u32,
}

impl Kernel {
    /// Where no connection is asked about.
    pub(super) const STRAY: Self = Self { position: 0 };
}

impl Hearing for Kernel {
    #[inline(always)]
    fn listen(&self) -> Listens {
        match guard_listen(self.position) {
            0 => Listens::No,
            1 => Listens::FromTheStart,
            _ => Listens::Blindly,
        }
    }

    #[inline(always)]
    fn put(&self) -> bool {
        guard_put(self.position) != 0
    }

    #[inline(always)]
    fn name(&self) {
        guard_name(self.position);
    }

    #[inline(always)]
    fn step_over(&self) -> bool {
        guard_step_over(self.position) != 0
    }

    #[inline(always)]
    fn judge(&self) {
        guard_judge(self.position);
    }

    #[inline(always)]
    fn take_in_blindly(&self) {
        guard_blind(self.position);
    }

    #[inline(always)]
    fn conclude(&self) -> Heard {
        Heard(guard_heard(self.position))
    }
}

/// Does a part with the segment that is heard and the connection at `position`.
#[inline(always)]
fn with(position: u32, part: impl FnOnce(&Talk, &Segment, &Kernel, &mut Heeded) -> u32) -> u32 {
    let (Some(hearing), Some(talk)) = (maps::hearing(), maps::talk(position)) else {
        return 0;
    };
    // SAFETY: the memory is this CPU's alone, and nobody writes the segment while it is heard.
    let (segment, heeded) = unsafe { (&(*hearing).segment, &mut *hearing) };
    forget(part(talk, segment, &Kernel { position }, heeded).into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_listen(position: u32) -> u32 {
    with(position, |talk, segment, _, heeded| {
        let (listens, word) = talk.listen(segment);
        heeded.was = talk.noted();
        heeded.progress = Progress(word.0);
        listens as u32
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_put(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        let progress = talk.put(segment, ears, heeded.progress.word());
        heeded.progress = Progress(progress.word().0);
        progress.is_again().into()
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_name(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        talk.name(segment, ears, heeded.progress.word());
        0
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_step_over(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        let progress = talk.step_over(segment, ears, heeded.progress.word());
        heeded.progress = Progress(progress.word().0);
        progress.is_again().into()
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_judge(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        heeded.progress = talk.judge(segment, ears, heeded.progress.word());
        0
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_blind(position: u32) -> u32 {
    with(position, |talk, segment, ears, heeded| {
        heeded.progress = talk.take_in_blindly(segment, ears, heeded.progress.word());
        0
    })
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_heard(position: u32) -> u32 {
    with(position, |talk, segment, _, heeded| {
        let heard = talk.conclude::<Atomic>(segment, heeded.was, heeded.progress);
        heard.0
    })
}

impl Ears for Kernel {
    #[inline(always)]
    fn bytes(&self, at: u32) -> [u64; 3] {
        let Some(hearing) = maps::hearing() else {
            return [0; 3];
        };
        let at = (forget(at.into()) & u64::from(TEXT_LEN - 1)) as usize;
        // SAFETY: 24 bytes from there on are within the text and what is behind it.
        let words = unsafe {
            let text = addr_of!((*hearing).text).cast::<u8>().add(at);
            text.cast::<[u64; 3]>().read_unaligned()
        };
        words.map(u64::from_be)
    }

    #[inline(always)]
    fn search(&self, sought: Sought, at: u32, window: Window) -> u32 {
        let [older, newer] = window.words();
        guard_search(sought as u32, at, older, newer)
    }

    #[inline(always)]
    fn speech(&self, end: End, head: Head, protocol: Protocol, client: Speech) -> Speech {
        let [a, b, c] = head.words;
        let about = u64::from(head.filled) | (protocol as u64) << 32 | u64::from(client.0) << 40;
        if matches!(end, End::Server) {
            return Speech::numbered(guard_server(a, b, c, about));
        }
        let asks = Speech::numbered(guard_request(a, b, c, about));
        let said = Speech::numbered(guard_greeting(a, b, c, about));
        speech::joined(asks, said, protocol, || {
            Speech::numbered(guard_mail(a, b, c, about))
        })
    }

    #[inline(always)]
    fn step(&self, course: Course) -> Step {
        let said = u32::from(course.client.0) | u32::from(course.server.0) << 8;
        let where_ = (course.stage as u32) << 16 | (course.told as u32) << 20;
        let step = guard_step(said | where_, course.protocol as u32);
        match step {
            STAY => Step::Stay,
            TAKE_TURNS => Step::TakeTurns,
            outcome => Step::Is(Outcome::numbered(outcome)),
        }
    }
}

const STAY: u32 = 16;
const TAKE_TURNS: u32 = 17;

/// A head, what is spoken, and what the client says, of four words.
#[inline(always)]
fn about(a: u64, b: u64, c: u64, about: u64) -> (Start, Protocol, Speech) {
    let head = Head {
        words: [a, b, c],
        filled: about as u32 & 0xff_ffff,
    };
    let protocol = Protocol::numbered((about >> 32) as u32 & 0xff);
    let client = Speech::numbered((about >> 40) as u32 & 0xff);
    (head.start(), protocol, client)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_request(a: u64, b: u64, c: u64, facts: u64) -> u32 {
    let (start, _, _) = about(a, b, c, facts);
    forget(speech::request::<Atomic>(&start).0.into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_greeting(a: u64, b: u64, c: u64, facts: u64) -> u32 {
    let (start, protocol, _) = about(a, b, c, facts);
    forget(speech::greeting(&start, protocol).0.into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_mail(a: u64, b: u64, c: u64, facts: u64) -> u32 {
    let (start, protocol, _) = about(a, b, c, facts);
    forget(speech::mail::<Atomic>(&start, protocol).0.into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_server(a: u64, b: u64, c: u64, facts: u64) -> u32 {
    let (start, protocol, client) = about(a, b, c, facts);
    forget(speech::server(&start, protocol, client).0.into()) as u32
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_step(said: u32, protocol: u32) -> u32 {
    let course = Course {
        stage: if said >> 16 & 1 == 0 {
            Stage::First
        } else {
            Stage::Turns
        },
        protocol: Protocol::numbered(protocol),
        client: Speech::numbered(said & 0xff),
        server: Speech::numbered(said >> 8 & 0xff),
        told: match said >> 20 & 3 {
            0 => Told::NotYet,
            1 => Told::Yes,
            _ => Told::No,
        },
    };
    let step = match course.step() {
        Step::Stay => STAY,
        Step::TakeTurns => TAKE_TURNS,
        Step::Is(outcome) => outcome as u32,
    };
    forget(step.into()) as u32
}

/// How many bytes of the text from `at` on it takes to find something; zero when it is not there.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_search(sought: u32, at: u32, older: u64, newer: u64) -> u32 {
    let mut words = [older, newer];
    for part in 0..SEARCHED / PART {
        let start = part * PART;
        let found = guard_part(sought, at + start, words[0], words[1]);
        if found != 0 {
            return start + found;
        }
        // Of what comes next, this comes before.
        let [older, newer, _] = Kernel::STRAY.bytes(at + start + PART - 16);
        words = [older, newer];
    }
    0
}

/// Bytes that are searched in one call.
const PART: u32 = 64;

/// The same in the next few bytes: the verifier follows these once, not each kilobyte.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guard_part(sought: u32, at: u32, older: u64, newer: u64) -> u32 {
    let Some(hearing) = maps::hearing() else {
        return 0;
    };
    // SAFETY: as in `guard_find`.
    let len = unsafe { (*hearing).segment.text_len };
    let mut search = Search::new(Sought::numbered(sought), Window::new(older, newer));
    for i in 0..PART {
        let place = at + i;
        if place >= len {
            break;
        }
        let place = (forget(place.into()) & u64::from(TEXT_LEN - 1)) as usize;
        // SAFETY: the byte is within the text.
        let byte = unsafe { *addr_of!((*hearing).text).cast::<u8>().add(place) };
        if search.next(byte) {
            return i + 1;
        }
    }
    0
}
