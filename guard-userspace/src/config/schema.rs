//! A walk over the spanned TOML tree that reads typed values and collects every problem.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::units::{Invalid, closest, shown};

/// Bytes of the file that a value or key takes.
pub(super) type Span = Range<usize>;
/// A value of the tree with its place.
pub(super) type Node<'i> = Spanned<DeValue<'i>>;
/// A value that was read, with its place.
pub(super) type Located<T> = (T, Span);

/// One table of the file.
pub(super) struct Section<'a, 'i> {
    pub(super) kind: &'static Kind,
    pub(super) table: &'a DeTable<'i>,
    pub(super) span: Span,
}

/// The tables there are, and the keys each may have.
#[derive(Debug)]
pub(super) struct Kind {
    /// How the file writes it.
    pub(super) name: &'static str,
    pub(super) keys: &'static [&'static str],
}

/// Collects problems while values are read.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) problems: Vec<Problem>,
}

impl Walk {
    pub(super) fn refuse(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.problems.push(Problem::at(span, message, help));
    }

    /// Takes the value, or notes what is wrong with it.
    pub(super) fn accept<T>(&mut self, read: Result<T, Invalid>, span: Span) -> Option<Located<T>> {
        match read {
            Ok(value) => Some((value, span)),
            Err(invalid) => {
                self.problems.push(Problem::invalid(span, invalid));
                None
            }
        }
    }

    /// Reads a string with `read`; `example` is what a right one looks like.
    pub(super) fn text<T>(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        example: &str,
        read: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Option<Located<T>> {
        let node = section.table.get(key)?;
        let DeValue::String(text) = node.get_ref() else {
            self.wrong_type(
                key,
                node,
                "a string",
                &format!("write `{key} = \"{example}\"`"),
            );
            return None;
        };
        self.accept(read(text), node.span())
    }

    /// Reads `true` or `false`.
    pub(super) fn flag(&mut self, section: &Section<'_, '_>, key: &str) -> Option<Located<bool>> {
        let node = section.table.get(key)?;
        if let DeValue::Boolean(value) = node.get_ref() {
            return Some((*value, node.span()));
        }
        let help = format!("write `{key} = true` or `{key} = false`, without quotes");
        self.wrong_type(key, node, "true or false", &help);
        None
    }

    /// The elements of an array.
    pub(super) fn items<'a, 'i>(
        &mut self,
        section: &Section<'a, 'i>,
        key: &str,
        example: &str,
    ) -> Option<Located<&'a [Node<'i>]>> {
        let node = section.table.get(key)?;
        if let DeValue::Array(items) = node.get_ref() {
            return Some((items, node.span()));
        }
        self.wrong_type(
            key,
            node,
            "an array",
            &format!("write `{key} = [{example}]`"),
        );
        None
    }

    /// Reads an array of strings, each with `read`.
    pub(super) fn list<T>(
        &mut self,
        section: &Section<'_, '_>,
        key: &str,
        example: &str,
        read: impl Fn(&str) -> Result<T, Invalid>,
    ) -> Option<Located<Vec<Located<T>>>> {
        let quoted = format!("\"{example}\"");
        let (items, span) = self.items(section, key, &quoted)?;
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let DeValue::String(text) = item.get_ref() else {
                let expected = format!("write `{key} = [{quoted}]`");
                self.wrong_type(
                    &format!("an element of `{key}`"),
                    item,
                    "a string",
                    &expected,
                );
                continue;
            };
            list.extend(self.accept(read(text), item.span()));
        }
        Some((list, span))
    }

    /// The table `[key]`, its unknown keys refused.
    pub(super) fn table<'a, 'i>(
        &mut self,
        section: &Section<'a, 'i>,
        key: &str,
        kind: &'static Kind,
    ) -> Option<Section<'a, 'i>> {
        let node = section.table.get(key)?;
        if let DeValue::Table(table) = node.get_ref() {
            return Some(self.section(table, node.span(), kind));
        }
        self.wrong_type(
            key,
            node,
            "a table",
            &format!(
                "write {} on a line of its own, and its keys below",
                kind.name
            ),
        );
        None
    }

    /// The tables `[[key]]`, unknown keys of each refused.
    pub(super) fn tables<'a, 'i>(
        &mut self,
        section: &Section<'a, 'i>,
        key: &str,
        kind: &'static Kind,
    ) -> Vec<Section<'a, 'i>> {
        let Some(node) = section.table.get(key) else {
            return Vec::new();
        };
        let help = format!(
            "write {} on a line of its own for each, and its keys below",
            kind.name
        );
        let DeValue::Array(items) = node.get_ref() else {
            self.wrong_type(key, node, "an array of tables", &help);
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(items.len());
        for item in items {
            if let DeValue::Table(table) = item.get_ref() {
                sections.push(self.section(table, item.span(), kind));
            } else {
                self.wrong_type(&format!("an element of `{key}`"), item, "a table", &help);
            }
        }
        sections
    }

    /// A table of the file, its unknown keys refused.
    pub(super) fn section<'a, 'i>(
        &mut self,
        table: &'a DeTable<'i>,
        span: Span,
        kind: &'static Kind,
    ) -> Section<'a, 'i> {
        for key in table
            .keys()
            .filter(|key| !kind.keys.contains(&key.get_ref().as_ref()))
        {
            let name = key.get_ref();
            let place = if kind.name.is_empty() {
                "at the top level".to_owned()
            } else {
                format!("in {}", kind.name)
            };
            let message = format!("there is no key `{}` {place}", shown(name));
            self.refuse(key.span(), message, unknown_key_help(name, kind));
        }
        Section { kind, table, span }
    }

    fn wrong_type(&mut self, what: &str, node: &Node<'_>, expected: &str, help: &str) {
        let what = if what.contains(' ') {
            what.to_owned()
        } else {
            format!("`{what}`")
        };
        let found = match node.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        let message = format!("{what} must be {expected}, not {found}");
        self.refuse(node.span(), message, help);
    }
}

fn unknown_key_help(key: &str, kind: &Kind) -> String {
    if FLAGS_ONLY.contains(&key) {
        return format!("it is a flag of `guard run`: --{}", key.replace('_', "-"));
    }
    if let Some(name) = closest(key, kind.keys) {
        return format!("did you mean `{name}`?");
    }
    match KINDS.iter().find(|other| other.keys.contains(&key)) {
        Some(top) if top.name.is_empty() => {
            format!("`{key}` belongs at the top of the file, before the first [section]")
        }
        Some(other) => format!("`{key}` belongs in {}", other.name),
        None => format!("the keys here are {}", kind.keys.join(", ")),
    }
}

/// Settings of `guard run` that a file does not have.
const FLAGS_ONLY: [&str; 5] = ["socket", "state_dir", "bpffs", "log_format", "confirm"];

/// Every kind of table, in the order of the contract.
const KINDS: [&Kind; 11] = [
    &TOP,
    &LIMITS,
    &AGGREGATE,
    &PROTOCOL,
    &BAN,
    &SERVICE,
    &SERVICE_LIMITS,
    &ALLOW,
    &DENY,
    &FEED,
    &ALERT,
];

pub(super) const TOP: Kind = Kind {
    name: "",
    keys: &[
        "interfaces",
        "xdp_mode",
        "dry_run",
        "on_stop",
        "watch",
        "listen",
        "protect_self",
        "limits",
        "service",
        "allow",
        "deny",
        "feed",
        "alert",
    ],
};
pub(super) const LIMITS: Kind = Kind {
    name: "[limits]",
    keys: &[
        "packets",
        "bytes",
        "connections",
        "burst",
        "ipv6_prefix",
        "new_sources",
        "ban",
        "aggregate",
        "protocol",
    ],
};
pub(super) const AGGREGATE: Kind = Kind {
    name: "[limits.aggregate]",
    keys: &["packets", "connections"],
};
pub(super) const PROTOCOL: Kind = Kind {
    name: "[limits.protocol]",
    keys: &["icmp", "fragments", "udp", "stray"],
};
pub(super) const BAN: Kind = Kind {
    name: "[limits.ban]",
    keys: &["after", "for", "max"],
};
pub(super) const SERVICE: Kind = Kind {
    name: "[[service]]",
    keys: &[
        "name",
        "ports",
        "direction",
        "encryption",
        "on_plaintext",
        "strict",
        "allow",
        "limits",
        "openapi",
    ],
};
pub(super) const SERVICE_LIMITS: Kind = Kind {
    name: "[service.limits]",
    keys: &["packets", "bytes", "connections"],
};
pub(super) const ALLOW: Kind = Kind {
    name: "[[allow]]",
    keys: &["cidr", "reason", "expires"],
};
pub(super) const DENY: Kind = Kind {
    name: "[[deny]]",
    keys: &["cidr", "reason", "expires", "everyone"],
};
pub(super) const FEED: Kind = Kind {
    name: "[[feed]]",
    keys: &["name", "file", "url", "refresh", "everyone"],
};
pub(super) const ALERT: Kind = Kind {
    name: "[[alert]]",
    keys: &["webhook", "format", "rules", "token_file"],
};
