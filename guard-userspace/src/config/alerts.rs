//! `[[alert]]`: who is told of alerts.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use super::schema::{ALERT, Located, Section, Walk};
use super::units::{self, Invalid};
use super::{MAX_RECEIVERS, files};
use crate::{
    alerts::{formats::Format, rule::Rule},
    privileges,
};

/// The path of Alertmanager's API.
const API: &str = "/api/v2/alerts";
/// The largest token, in bytes.
const MAX_TOKEN_BYTES: u64 = 4 << 10;

/// Whom alerts are sent to.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Receiver {
    /// Where to.
    pub webhook: Webhook,
    /// How.
    pub format: Format,
    /// Which: never none.
    pub rules: BTreeSet<Rule>,
    /// The file with the token that goes with each request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Receiver {
    /// What tells it from others: a hash, since the address may hold secrets.
    pub(crate) fn id(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.format.name());
        hash.update(self.webhook.0.as_str());
        let mut id = String::new();
        for byte in &hash.finalize()[..8] {
            let _ = write!(id, "{byte:02x}");
        }
        id
    }

    /// The token as it is now in its file, which may be replaced at any time.
    ///
    /// # Errors
    /// A sentence: it cannot be read, or is none.
    pub(crate) fn token(&self) -> Result<Option<String>, String> {
        let file = self.token_file.as_deref();
        let token = file.map(|file| read_token(file).map_err(|invalid| invalid.to_string()));
        token.transpose()
    }
}

/// An http or https address. All that is shown of it is scheme, host and port: the rest is often a
/// secret.
#[derive(Clone, Eq, PartialEq)]
pub struct Webhook(Url);

impl Webhook {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none that can be posted to. The error does not hold it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let example = "write one like \"http://127.0.0.1:9093/api/v2/alerts\"";
        let url = Url::parse(text)
            .map_err(|error| Invalid::new(format!("this is not an address: {error}"), example))?;
        if !matches!(url.scheme(), "http" | "https") {
            let message = format!("`{}` is neither http nor https", units::shown(url.scheme()));
            return Err(Invalid::new(message, example));
        }
        if url.fragment().is_some() {
            let help = "remove it: it is never sent";
            return Err(Invalid::new("this address has a part behind a `#`", help));
        }
        let webhook = Self(url);
        let has_login = !webhook.0.username().is_empty() || webhook.0.password().is_some();
        if has_login && webhook.is_overheard() {
            return Err(Invalid::new(
                "a login would cross the wire in clear",
                "write https",
            ));
        }
        Ok(webhook)
    }

    /// The whole address: for the request only.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// Whether it is https.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether what is sent there can be read on the way.
    fn is_overheard(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_here = address.map_or(host == "localhost", |address| address.is_loopback());
        !self.is_secure() && !is_here
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.origin().ascii_serialization())
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Webhook({self})")
    }
}

impl Serialize for Webhook {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What one `[[alert]]` says.
pub(super) struct RawReceiver {
    webhook: Option<Located<Webhook>>,
    format: Option<Located<Format>>,
    rules: Option<BTreeSet<Rule>>,
    token_file: Option<Located<PathBuf>>,
}

/// Reads every `[[alert]]` and checks them against each other.
pub(super) fn read(walk: &mut Walk, top: &Section<'_, '_>) -> Vec<RawReceiver> {
    let sections = walk.tables(top, "alert", &ALERT);
    if let Some(extra) = sections.get(MAX_RECEIVERS) {
        let message = format!("{} receivers are more than guard alerts", sections.len());
        let help = format!("configure at most {MAX_RECEIVERS}");
        walk.refuse(extra.span.clone(), message, help);
    }
    let sections = sections.iter().take(MAX_RECEIVERS);
    let receivers: Vec<_> = sections
        .map(|section| RawReceiver::read(walk, section))
        .collect();
    refuse_twins(walk, &receivers);
    receivers
}

impl RawReceiver {
    fn read(walk: &mut Walk, section: &Section<'_, '_>) -> Self {
        for (key, fix) in [
            (
                "webhook",
                "webhook = \"http://127.0.0.1:9093/api/v2/alerts\"",
            ),
            ("format", "format = \"alertmanager\"` or `format = \"json\""),
        ] {
            if !section.table.contains_key(key) {
                let message = format!("this [[alert]] has no `{key}`");
                walk.refuse(section.span.clone(), message, format!("add `{fix}`"));
            }
        }
        let receiver = Self {
            webhook: walk.text(
                section,
                "webhook",
                "http://127.0.0.1:9093/api/v2/alerts",
                Webhook::parse,
            ),
            format: walk.text(section, "format", "alertmanager", Format::parse),
            rules: rules(walk, section),
            token_file: walk.text(section, "token_file", "/etc/guard/token", units::path),
        };
        receiver.refuse_contradictions(walk);
        receiver
    }

    fn refuse_contradictions(&self, walk: &mut Walk) {
        let Some((webhook, span)) = &self.webhook else {
            return;
        };
        if let Some((_, span)) = self.token_file.as_ref().filter(|_| webhook.is_overheard()) {
            let message = "the token would cross the wire in clear";
            walk.refuse(span.clone(), message, "write https in `webhook`");
        }
        let is_alertmanager = matches!(self.format, Some((Format::Alertmanager, _)));
        if is_alertmanager && !webhook.0.path().ends_with(API) {
            let help = format!("let the path end in {API}");
            let message = "Alertmanager takes no alerts there";
            walk.refuse(span.clone(), message, help);
        }
    }
}

fn rules(walk: &mut Walk, section: &Section<'_, '_>) -> Option<BTreeSet<Rule>> {
    let (rules, span) = walk.list(section, "rules", "plaintext_served", Rule::parse)?;
    let is_empty = section
        .table
        .get("rules")
        .and_then(|node| node.get_ref().as_array())
        .is_some_and(|items| items.is_empty());
    if is_empty {
        let message = "this receiver is told nothing";
        walk.refuse(span, message, "name rules, or remove `rules` for all");
    }
    Some(rules.into_iter().map(|(rule, _)| rule).collect())
}

/// Refuses a receiver that is there already.
fn refuse_twins(walk: &mut Walk, receivers: &[RawReceiver]) {
    let mut seen = Vec::new();
    for receiver in receivers {
        let Some(((webhook, span), (format, _))) =
            receiver.webhook.as_ref().zip(receiver.format.as_ref())
        else {
            continue;
        };
        if seen.contains(&(webhook, format)) {
            let message = "another [[alert]] has this webhook";
            walk.refuse(
                span.clone(),
                message,
                "name its rules there, and remove this one",
            );
        }
        seen.push((webhook, format));
    }
}

/// The receivers. Files of tokens are looked for from `folder`.
pub(super) fn load(
    raw: Vec<RawReceiver>,
    folder: &Path,
    problems: &mut Vec<Problem>,
) -> Vec<Receiver> {
    let mut receivers = Vec::with_capacity(raw.len());
    for raw in raw {
        let token_file = raw.token_file.map(|(file, span)| (folder.join(file), span));
        if let Some((file, span)) = &token_file {
            let wrong = if privileges::is_out_of_reach(file) {
                Some(files::out_of_reach(file))
            } else {
                unless_forbidden(read_token(file)).err()
            };
            problems.extend(wrong.map(|invalid| Problem::invalid(span.clone(), invalid)));
        }
        let Some(((webhook, _), (format, _))) = raw.webhook.zip(raw.format) else {
            continue;
        };
        receivers.push(Receiver {
            webhook,
            format,
            rules: raw.rules.unwrap_or_else(|| Rule::ALL.into()),
            token_file: token_file.map(|(file, _)| file),
        });
    }
    receivers
}

/// A token that whoever checks the configuration may not read is the agent's to read.
fn unless_forbidden(token: Result<String, Unreadable>) -> Result<(), Invalid> {
    match token {
        Ok(_) | Err(Unreadable::Forbidden(_)) => Ok(()),
        Err(Unreadable::Wrong(invalid)) => Err(invalid),
    }
}

/// Why there is no token.
enum Unreadable {
    Forbidden(Invalid),
    Wrong(Invalid),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden(invalid) | Self::Wrong(invalid) => invalid.fmt(f),
        }
    }
}

/// Reads the token in a file: what is in its only line.
fn read_token(path: &Path) -> Result<String, Unreadable> {
    let shown = path.display();
    let wrong = |message: String, help: &str| Unreadable::Wrong(Invalid::new(message, help));
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => wrong(
            format!("there is no file {shown}"),
            "put the token there, or name another; a relative path starts at the configuration file",
        ),
        io::ErrorKind::PermissionDenied => Unreadable::Forbidden(Invalid::new(
            format!("{shown} may not be read"),
            "give the agent permission to read it",
        )),
        _ => wrong(
            format!("{shown} cannot be read: {error}"),
            "name a readable file",
        ),
    };
    let mut options = OpenOptions::new();
    // Opening a pipe would wait for somebody to write.
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let file = file.map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        let message = format!("{shown} is no regular file");
        return Err(wrong(message, "name the file that holds the token"));
    }
    let mut text = Vec::new();
    file.take(MAX_TOKEN_BYTES + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    let is_short = text.len() as u64 <= MAX_TOKEN_BYTES;
    let token = String::from_utf8(text).unwrap_or_default();
    let token = token.trim();
    let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_token || !is_short {
        let message = format!("{shown} holds no token");
        let help = "put the token there, on one line: up to 4096 letters, digits and signs of ASCII, \
                    without a space";
        return Err(wrong(message, help));
    }
    Ok(token.to_owned())
}
