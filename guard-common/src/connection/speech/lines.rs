//! Lines of clients of SMTP, IMAP, POP and FTP, behind a server's greeting.

use super::{Speech, Trial};
use crate::{
    connection::head::{Start, word},
    limit::Words,
    protocol::Protocol,
};

/// What a line of a client is that a server has greeted: as soon as it has eight bytes, or has
/// ended. See [`super::client`].
#[inline(always)]
#[must_use]
pub fn mail<W: Words>(start: &Start, protocol: Protocol) -> Speech {
    if !start.is_text() {
        return Speech::Unknown;
    }
    let is_imap = matches!(protocol, Protocol::Imap);
    let tag_len = if is_imap { tag_len::<W>(start) } else { 0 };
    if is_imap && tag_len == 0 && start.has(16) {
        return Speech::Unknown;
    }
    let line = start.beyond(tag_len);
    let (said, is_whole) = (line.words[0] | SMALL, line.has(8));
    if !is_whole && !has_line_end(line.words[0]) {
        return Speech::Pending;
    }
    let asks = match protocol {
        Protocol::Pop => says(said, b"stls"),
        Protocol::Imap => says(said, b"starttls"),
        _ => says(said, b"starttls") || says(said, b"auth tls") || says(said, b"auth ssl"),
    };
    if asks {
        return Speech::StartTls;
    }
    let mut is_command = 0;
    for command in [
        b"auth ", b"user ", b"pass ", b"mail ", b"apop ", b"acct ", b"login", b"authe", b"selec",
        b"rcpt ", b"retr ", b"stor ",
    ] {
        is_command = W::forget(is_command | u64::from(says(said, command)));
    }
    if is_command != 0 {
        Speech::Command
    } else {
        Speech::Hello
    }
}

/// Makes letters small.
const SMALL: u64 = 0x2020_2020_2020_2020;

/// Whether a word of small letters starts with a text of up to eight of them.
#[inline(always)]
const fn says<const N: usize>(small: u64, text: &[u8; N]) -> bool {
    small >> (64 - 8 * N) == word(text) >> (64 - 8 * N)
}

/// Whether a byte of a word ends a line.
#[inline(always)]
const fn has_line_end(bytes: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let zero_where_it_ends = bytes ^ (ONES * b'\n' as u64);
    zero_where_it_ends.wrapping_sub(ONES) & !zero_where_it_ends & ONES << 7 != 0
}

/// Bytes of the tag of an IMAP command and the blank behind it; none where there is none.
#[inline(always)]
fn tag_len<W: Words>(start: &Start) -> u32 {
    let mut len = 0;
    for at in (1..16).rev() {
        if start.byte(at) == b' ' {
            len = at + 1;
        }
        len = W::forget(len.into()) as u32 & 31;
    }
    len
}

/// Whether it is FTP that a client speaks behind a greeting that SMTP has too.
#[inline(always)]
#[must_use]
pub fn is_ftp(start: &Start) -> bool {
    let mut trial = Trial { needs_more: false };
    trial.is(start.starts_with_word(b"user "))
        || trial.is(start.starts_with_word(b"feat"))
        || trial.is(start.starts_with_word(b"syst"))
        || trial.is(start.starts_with_word(b"auth tls"))
        || trial.is(start.starts_with_word(b"auth ssl"))
}
