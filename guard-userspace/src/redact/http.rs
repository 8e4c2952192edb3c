//! HTTP/1 requests (RFC 9112).

use std::fmt::Write as _;

use guard_common::wire::EXCERPT_LEN;
use httparse::{EMPTY_HEADER, Header};

use super::{Credential, HIDDEN, Key, Request, target};

/// No excerpt holds more headers: the shortest takes four bytes.
const HEADERS: usize = EXCERPT_LEN / 4;
/// The methods of RFC 9110 section 9 and RFC 5789.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

pub(super) fn describe(payload: &[u8], key: &Key) -> Request {
    let payload = payload.get(..EXCERPT_LEN).unwrap_or(payload);
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let outcome = parsed.parse(payload);

    let method = parsed.method.and_then(known_method);
    let mut request = Request::of(method.unwrap_or("HTTP request"));
    let target = match (parsed.path, method) {
        (Some(path), _) => target::read(path, false, key),
        (None, Some(method)) => cut_target(payload, method, key),
        (None, None) => return request,
    };
    request.tell(target.credentials);

    let complete = || {
        parsed
            .headers
            .iter()
            .take_while(|header| !header.name.is_empty())
    };
    request.tell(complete().filter_map(|header| credential(header, key)));
    if let Ok(status) = outcome {
        request.summary.push(' ');
        request.summary.push_str(&target.text);
        if let Some(header) = complete().find(|header| header.name.eq_ignore_ascii_case("host")) {
            let host = std::str::from_utf8(header.value).map_or(HIDDEN, target::host);
            // Writing to a string cannot fail.
            let _ = write!(request.summary, " (host {host})");
        }
        if status.is_partial() && parsed.version.is_some() {
            request.tell(cut_header(payload));
        }
    } else {
        request.tell(odd_headers(payload, key));
    }
    request
}

/// The credentials in the headers of a request that is none by the book: a server may be more
/// lenient, and take it.
fn odd_headers(payload: &[u8], key: &Key) -> impl Iterator<Item = Credential> {
    let lines = payload.split(|byte| *byte == b'\n').skip(1);
    let headers = lines.take_while(|line| !line.trim_ascii().is_empty());
    headers.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = std::str::from_utf8(line[..colon].trim_ascii()).ok()?;
        of_header(name, &line[colon + 1..], Some(key))
    })
}

fn known_method(method: &str) -> Option<&'static str> {
    METHODS.into_iter().find(|known| *known == method)
}

/// The target that the payload's end cuts.
fn cut_target(payload: &[u8], method: &str, key: &Key) -> target::Target {
    let line = payload.trim_ascii_start();
    let raw = line.get(method.len() + 1..).unwrap_or_default();
    target::read(&String::from_utf8_lossy(raw), true, key)
}

/// The credential in the header that the payload's end cuts, when its name is whole.
fn cut_header(payload: &[u8]) -> Option<Credential> {
    let line = payload.rsplit(|byte| *byte == b'\n').next()?;
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = std::str::from_utf8(&line[..colon])
        .ok()
        .filter(|name| !name.contains(' '))?;
    of_header(name, &line[colon + 1..], None)
}

/// The credential in a whole header.
fn credential(header: &Header<'_>, key: &Key) -> Option<Credential> {
    let has_value = !header.value.trim_ascii().is_empty();
    has_value
        .then(|| of_header(header.name, header.value, Some(key)))
        .flatten()
}

/// The credential in a header, which is cut after its colon where there is no key.
fn of_header(name: &str, value: &[u8], key: Option<&Key>) -> Option<Credential> {
    let mark = key.and_then(|key| key.mark(value.trim_ascii()));
    let authorizes = ["authorization", "proxy-authorization"];
    if authorizes
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    {
        return Some(Credential {
            scheme: authorization(value),
            place: name.to_owned(),
            mark,
        });
    }
    Credential::named(name, mark)
}

/// The scheme of an `Authorization` (RFC 9110 section 11.4), when it is a usual one.
fn authorization(value: &[u8]) -> &'static str {
    let value = value.trim_ascii_start();
    let end = value
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(value.len());
    let word = &value[..end];
    let known = ["basic", "bearer", "digest"];
    known
        .into_iter()
        .find(|scheme| word.eq_ignore_ascii_case(scheme.as_bytes()))
        .unwrap_or("other")
}
