//! The target of an HTTP request (RFC 9112 section 3.2), without what may be secret in it.

use std::net::{IpAddr, SocketAddr};

use super::{
    Credential, HIDDEN, Key,
    names::{is_harmless, is_route, shown},
};

/// Characters of a target that are shown, at most.
const TARGET_LEN: usize = 120;
/// What stands for the rest of a longer one.
const MORE: &str = "...";
/// Characters of a host and port that are shown, at most.
const HOST_LEN: usize = 64;

/// A target as it may be shown.
#[derive(Debug, Default)]
pub(super) struct Target {
    /// At most [`TARGET_LEN`] printable ASCII characters.
    pub(super) text: String,
    /// Credentials in it.
    pub(super) credentials: Vec<Credential>,
    /// No more of it is shown.
    is_full: bool,
}

/// Reads a target. Of one that is `cut` at its end, the last part may be the start of a secret.
pub(super) fn read(raw: &str, cut: bool, key: &Key) -> Target {
    let mut target = Target::default();
    match raw.split_once("://") {
        _ if raw == "*" => target.show("*"),
        _ if raw.starts_with('/') => target.path_and_query(raw, cut, key),
        Some((scheme, rest)) if is_web(scheme) => {
            target.show(&format!("{}://", scheme.to_ascii_lowercase()));
            target.absolute(rest, cut, key);
        }
        // A host and a port, as CONNECT has them.
        None if !cut => target.authority(raw, key),
        _ => target.show(HIDDEN),
    }
    target
}

/// A host, with a port or without, as it may be shown.
pub(super) fn host(raw: &str) -> &str {
    let is_shown = raw.len() <= HOST_LEN && (is_address(raw) || is_harmless_name(raw));
    if is_shown { raw } else { HIDDEN }
}

fn is_address(host: &str) -> bool {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok()
}

fn is_harmless_name(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    port.parse::<u16>().is_ok() && name.split('.').all(is_harmless)
}

fn is_web(scheme: &str) -> bool {
    ["http", "https", "ws", "wss"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

impl Target {
    /// What follows `http://`.
    fn absolute(&mut self, rest: &str, cut: bool, key: &Key) {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // An unescaped password may hold what looks like the end of the authority, and in a cut
        // one the `@` that would tell is missing.
        if cut || path.contains('@') {
            self.show(HIDDEN);
            self.is_full = true;
        }
        self.authority(authority, key);
        self.path_and_query(path, cut, key);
    }

    fn authority(&mut self, authority: &str, key: &Key) {
        let mut place = authority;
        if let Some((user, name)) = authority.rsplit_once('@') {
            self.show(HIDDEN);
            self.show("@");
            if user.contains(':') {
                self.credentials.push(Credential {
                    scheme: "password",
                    place: "URL".to_owned(),
                    mark: key.mark(user.as_bytes()),
                });
            }
            place = name;
        }
        self.show(host(place));
    }

    fn path_and_query(&mut self, text: &str, cut: bool, key: &Key) {
        let (path, query) = match text.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (text, None),
        };
        let mut segments = path.split('/').peekable();
        let mut separator = "";
        while let Some(segment) = segments.next() {
            self.show(separator);
            self.segment(
                segment,
                cut && query.is_none() && segments.peek().is_none(),
                key,
            );
            separator = "/";
        }
        if let Some(query) = query {
            self.show("?");
            self.parameters(query, '&', cut, key);
        }
    }

    fn segment(&mut self, segment: &str, cut: bool, key: &Key) {
        let (name, parameters) = match segment.split_once(';') {
            Some((name, parameters)) => (name, Some(parameters)),
            None => (segment, None),
        };
        let may_be_secret = (cut && parameters.is_none() && !name.is_empty()) || !is_route(name);
        self.show(if may_be_secret { HIDDEN } else { name });
        if let Some(parameters) = parameters {
            self.show(";");
            self.parameters(parameters, ';', cut, key);
        }
    }

    fn parameters(&mut self, parameters: &str, separator: char, cut: bool, key: &Key) {
        let mut pairs = parameters.split(separator).peekable();
        while let Some(pair) = pairs.next() {
            let is_last = pairs.peek().is_none();
            self.parameter(pair, cut && is_last, key);
            if !is_last {
                self.show(separator.encode_utf8(&mut [0; 4]));
            }
        }
    }

    fn parameter(&mut self, pair: &str, cut: bool, key: &Key) {
        let Some((name, value)) = pair.split_once('=') else {
            // A name alone cannot be told from a value alone.
            self.show(if pair.is_empty() { "" } else { HIDDEN });
            return;
        };
        self.show(shown(name));
        self.show("=");
        if !value.is_empty() || cut {
            self.show(HIDDEN);
            let mark = if cut {
                None
            } else {
                key.mark(value.as_bytes())
            };
            self.credentials.extend(Credential::named(name, mark));
        }
    }

    /// Appends a part that may be shown, or says once that there is more.
    fn show(&mut self, part: &str) {
        if self.is_full {
            return;
        }
        self.is_full = self.text.len() + part.len() > TARGET_LEN - MORE.len();
        self.text.push_str(if self.is_full { MORE } else { part });
    }
}
