//! Redis commands as arrays of bulk strings (RESP 2).

use super::{Credential, Key, Request};

/// Letters of a command's name, at most.
const NAME_LEN: usize = 16;

pub(super) fn describe(payload: &[u8], key: &Key) -> Request {
    let mut input = Input(payload);
    let mut request = Request::default();
    while let Some(Command {
        name,
        authenticates,
        password,
    }) = input.command()
    {
        if request.summary.is_empty() {
            request.summary = format!("Redis {}", name.as_deref().unwrap_or("command"));
        }
        if authenticates {
            let place = name.unwrap_or_default();
            request.tell([Credential {
                scheme: "password",
                place,
                mark: password.and_then(|password| key.mark(password)),
            }]);
        }
    }
    if request.summary.is_empty() {
        request.summary.push_str("Redis command");
    }
    request
}

/// A command.
struct Command<'a> {
    /// Its name if it looks like one.
    name: Option<String>,
    /// A password comes with it.
    authenticates: bool,
    /// That, if it is all there.
    password: Option<&'a [u8]>,
}

/// What is still to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// Reads a command.
    fn command(&mut self) -> Option<Command<'a>> {
        let parts = self.number(b'*')?;
        let word = self.bulk()?;
        let looks_right = word.len() <= NAME_LEN && word.iter().all(u8::is_ascii_alphabetic);
        let name = looks_right.then(|| String::from_utf8_lossy(word).to_ascii_uppercase());
        let mut authenticates = name.as_deref() == Some("AUTH") && parts > 1;
        // HELLO 3 AUTH user password
        let may_authenticate = name.as_deref() == Some("HELLO");
        let mut parts_read = Vec::new();
        for position in 1..parts {
            let Some(part) = self.bulk() else {
                self.0 = &[];
                break;
            };
            parts_read.push(part);
            let is_option = position > 1 && position + 1 < parts;
            authenticates |= may_authenticate && is_option && part.eq_ignore_ascii_case(b"AUTH");
        }
        // AUTH [user] password; HELLO 3 AUTH user password
        let at = match name.as_deref() {
            Some("AUTH") => parts.saturating_sub(2),
            _ => 3,
        };
        Some(Command {
            password: parts_read.get(at).copied(),
            name,
            authenticates,
        })
    }

    fn bulk(&mut self) -> Option<&'a [u8]> {
        let len = self.number(b'$')?;
        let (bulk, rest) = self.0.split_at_checked(len)?;
        self.0 = rest.strip_prefix(b"\r\n")?;
        Some(bulk)
    }

    fn number(&mut self, mark: u8) -> Option<usize> {
        let line = self.0.strip_prefix(&[mark])?;
        let end = line.iter().position(|byte| *byte == b'\r')?;
        let (digits, rest) = line.split_at(end);
        self.0 = rest.strip_prefix(b"\r\n")?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }
}
