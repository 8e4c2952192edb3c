//! `openapi` of a `[[service]]`: what documents its API, read leniently.
//!
//! Whether it is such a document and which operations it has is all that is asked; what else it
//! says, and whether that is right, is passed over without being kept.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::files;
use super::problem::Problem;
use super::schema::Located;
use super::units::Invalid;

/// Methods that an operation may have, in documents of all versions.
const METHODS: [&str; 9] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace", "query",
];
/// Brackets within brackets, those in texts among them.
const DEEPEST: usize = 1_000;
/// Characters of a parser's message that are shown.
const SHOWN: usize = 200;

/// A document of an API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Document {
    /// Where it was read.
    pub file: PathBuf,
    /// What it is: `OpenAPI 3.1.0`, `Swagger 2.0`.
    pub version: String,
    /// How many operations it documents, each a method of a path; at least one.
    pub operations: usize,
}

/// Reads what a key names, looked for from `folder`; nothing when something is wrong with it.
pub(super) fn load(
    folder: &Path,
    (file, span): Located<PathBuf>,
    problems: &mut Vec<Problem>,
) -> Option<Document> {
    let file = folder.join(file);
    let read = files::read(&file, &files::DOCUMENT).and_then(|(bytes, wrong)| {
        problems.extend(wrong.map(|wrong| Problem::invalid(span.clone(), wrong)));
        parse(&bytes).map_err(|wrong| {
            let message = format!("{}: {}", file.display(), wrong.message);
            Invalid::new(message, wrong.help)
        })
    });
    match read {
        Ok((version, operations)) => Some(Document {
            file,
            version,
            operations,
        }),
        Err(wrong) => {
            problems.push(Problem::invalid(span, wrong));
            None
        }
    }
}

/// What a document is, and how many operations it has.
fn parse(bytes: &[u8]) -> Result<(String, usize), Invalid> {
    let is_json = bytes.trim_ascii_start().starts_with(b"{");
    if !is_json && is_deep(bytes) {
        return Err(Invalid::new(
            "this is nested too deeply",
            "name the document of this service's API",
        ));
    }
    let top: Result<Top, String> = if is_json {
        serde_json::from_slice(bytes).map_err(|error| error.to_string())
    } else {
        serde_yaml_ng::from_slice(bytes).map_err(|error| error.to_string())
    };
    let top = top.map_err(|error| {
        let shown: String = error
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(SHOWN)
            .collect();
        let kind = if is_json { "JSON" } else { "YAML" };
        Invalid::new(
            format!("this is no {kind} document of an API: {shown}"),
            "mend it there, or name the document of this service's API",
        )
    })?;
    let version = top.version().ok_or_else(|| {
        Invalid::new(
            "this is neither OpenAPI 3 nor Swagger 2",
            "name a document that begins with `openapi: 3.…` or `swagger: \"2.0\"`",
        )
    })?;
    let operations = top.paths.map_or(0, |paths| paths.0.len());
    if operations == 0 {
        return Err(Invalid::new(
            "it documents no operation",
            "is this the right file? its `paths` hold the operations of the API",
        ));
    }
    Ok((version, operations))
}

/// Whether brackets are open within each other without end: the time that the parser of YAML takes
/// grows with the square of that.
fn is_deep(bytes: &[u8]) -> bool {
    let mut open = 0_usize;
    bytes.iter().any(|byte| {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        open > DEEPEST
    })
}

/// What is read of a document.
#[derive(Deserialize)]
struct Top {
    openapi: Option<Word>,
    swagger: Option<Word>,
    paths: Option<Paths>,
}

impl Top {
    fn version(&self) -> Option<String> {
        let of = |word: &Option<Word>, start: &str, name: &str| {
            let version = word.as_ref()?.text();
            let is_plain = version.len() <= 16 && !version.contains(char::is_control);
            (is_plain && version.starts_with(start)).then(|| format!("{name} {version}"))
        };
        of(&self.openapi, "3.", "OpenAPI").or_else(|| of(&self.swagger, "2.0", "Swagger"))
    }
}

/// A version, with or without quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(f64),
    Other(IgnoredAny),
}

impl Word {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => format!("{number:?}"),
            Self::Other(_) => String::new(),
        }
    }
}

/// The operations below `paths`.
#[derive(Default)]
struct Paths(BTreeSet<(String, &'static str)>);

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Paths;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of paths")
            }

            fn visit_unit<E>(self) -> Result<Paths, E> {
                Ok(Paths::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Paths, A::Error> {
                let mut paths = Paths::default();
                while let Some(path) = map.next_key::<String>()? {
                    if !path.starts_with('/') {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let methods = map.next_value::<Methods>()?.0;
                    let operations = methods.into_iter().map(|method| (path.clone(), method));
                    paths.0.extend(operations);
                }
                Ok(paths)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// The methods of one path.
#[derive(Default)]
struct Methods(BTreeSet<&'static str>);

impl<'de> Deserialize<'de> for Methods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Methods;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of a path's operations")
            }

            fn visit_unit<E>(self) -> Result<Methods, E> {
                Ok(Methods::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Methods, A::Error> {
                let mut methods = Methods::default();
                while let Some(key) = map.next_key::<String>()? {
                    map.next_value::<IgnoredAny>()?;
                    let known = METHODS.into_iter().find(|method| *method == key);
                    methods.0.extend(known);
                }
                Ok(methods)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    const YAML: &str = "openapi: 3.0.3\ninfo: {title: Orders, version: 1}\npaths:\n  /orders:\n    \
        parameters: []\n    get: {responses: {200: {description: ok}}}\n    post: &same\n      \
        responses: {}\n  /orders/{id}:\n    delete: *same\n    x-note: get\n  x-other: {get: {}}\n";

    fn wrong(text: &str) -> String {
        parse(text.as_bytes()).expect_err("no document").to_string()
    }

    #[test]
    fn operations_are_counted_in_yaml_and_json() {
        assert_eq!(parse(YAML.as_bytes()), Ok(("OpenAPI 3.0.3".to_owned(), 3)));
        for (text, version, operations) in [
            ("swagger: 2.0\npaths: {/a: {get: }}", "Swagger 2.0", 1),
            (
                "swagger: '2.0'\npaths: {/a: {get: {}, head: {}}}",
                "Swagger 2.0",
                2,
            ),
            (
                " {\"openapi\": \"3.1.0\",\t\"paths\": {\"/a\": {\"get\": {}}, \"/b\": null}}",
                "OpenAPI 3.1.0",
                1,
            ),
            (
                "openapi: 3.2.0\npaths: {/a: {query: {}, $ref: x}}",
                "OpenAPI 3.2.0",
                1,
            ),
        ] {
            let expected = Ok((version.to_owned(), operations));
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_document_is_told_with_the_fix() {
        for (text, message) in [
            ("", "neither OpenAPI 3"),
            ("<!doctype html>\n<p>", "no YAML document"),
            ("openapi: [3", "no YAML document"),
            ("{\"openapi\": ", "no JSON document"),
            ("openapi: 3.0.0\npaths: 7", "a map of paths"),
            ("openapi: 3.0.0\npaths: {/a: get}", "a path's operations"),
            ("name: orders", "neither OpenAPI 3 nor Swagger 2"),
            (
                "openapi: 4.0.0\npaths: {/a: {get: {}}}",
                "neither OpenAPI 3",
            ),
            (
                "openapi: [3.0]\npaths: {/a: {get: {}}}",
                "neither OpenAPI 3",
            ),
            ("swagger: 1.2\npaths: {/a: {get: {}}}", "neither OpenAPI 3"),
            ("openapi: 3.0.0", "no operation"),
            ("openapi: 3.0.0\npaths:", "no operation"),
            ("openapi: 3.0.0\npaths: {/a: {x-get: {}}}", "no operation"),
        ] {
            let told = wrong(text);
            assert!(told.contains(message), "{text:?}: {told}");
        }
        let told = wrong("openapi: \"\u{1b}[2J\n");
        assert!(!told.contains('\u{1b}') && told.len() < 500, "{told:?}");
    }

    #[test]
    fn a_document_that_unfolds_without_end_is_refused_or_passed_over() {
        let mut bomb = "openapi: 3.0.0\na0: &a0 {get: {}}\n".to_owned();
        for level in 1..40 {
            let below = level - 1;
            // Writing to a string cannot fail.
            let _ = writeln!(
                bomb,
                "a{level}: &a{level} [*a{below}, *a{below}, *a{below}, *a{below}]"
            );
        }
        // Passed over where nobody asks for it.
        assert!(parse(format!("{bomb}paths: {{/a: {{get: *a39}}}}").as_bytes()).is_ok());
        assert!(parse(format!("{bomb}paths: {{/a: *a39}}").as_bytes()).is_err());
        let deep = format!("openapi: 3.0.0\npaths: {}", "{/a: ".repeat(10_000));
        assert!(parse(deep.as_bytes()).is_err());
        for opening in ["[", "{", "- ", "? "] {
            let deep = format!("openapi: 3.0.0\nx: {}", opening.repeat(1 << 13));
            assert!(parse(deep.as_bytes()).is_err(), "{opening}");
        }
        let deep = format!("{{\"x\": {}", "[".repeat(1 << 20));
        assert!(parse(deep.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn no_document_panics(pieces in prop::collection::vec(
            prop::sample::select(vec![
                "openapi: 3.0.0", "swagger", "paths:", "/a:", "get:", "{", "}", "[", "]", ": ", "\n",
                "  ", "&a", "*a", "<<", "\"", "'", "-", "#", "|", "\t", "\u{0}", "\u{85}", "!!str",
            ]), 0..40)) {
            let text = pieces.concat();
            if let Ok((version, operations)) = parse(text.as_bytes()) {
                prop_assert!(operations > 0 && !version.is_empty());
            }
        }
    }
}
