//! Where a file is not TOML: the parser's errors, without those that only follow from another.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use toml::de::Error;

use super::problem::Problem;

/// `text` without the lines at which the parser would stop, each byte still at its place.
pub(super) fn readable<'t>(text: &'t str, errors: &[Error]) -> Cow<'t, str> {
    let mut text = Cow::Borrowed(text);
    for error in errors
        .iter()
        .filter(|error| error.message().starts_with(NO_VALUE))
    {
        let at = text.floor_char_boundary(error.span().unwrap_or_default().start);
        let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[at..]
            .find('\n')
            .map_or(text.len(), |newline| at + newline);
        text.to_mut()
            .replace_range(start..end, &" ".repeat(end - start));
    }
    text
}

/// The problems of a file: its syntax errors, and of `found` those that are the author's.
pub(super) fn merge(text: &str, errors: &[Error], mut found: Vec<Problem>) -> Vec<Problem> {
    if errors.is_empty() {
        return found;
    }
    let lines = Lines::new(text);
    let mut broken = HashSet::new();
    let mut problems = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(text.len()..text.len());
        // The first error of a line brings the others about.
        if broken.insert(lines.number(span.start)) {
            problems.push(problem(error.message(), span));
        }
    }
    let first = problems.iter().filter_map(start).min().unwrap_or_default();
    let unclosed = errors
        .iter()
        .any(|error| error.message().starts_with("unclosed array"));
    let is_own = |problem: &Problem| match start(problem) {
        // An array that is never closed swallows all that follows.
        Some(start) if unclosed => start < first,
        // What was recovered around an error may say what the author never wrote.
        Some(start) => !broken.contains(&lines.number(start)),
        None => false,
    };
    found.retain(is_own);
    if unclosed {
        problems.retain(|problem| start(problem) == Some(first));
    }
    found.extend(problems);
    found
}

fn start(problem: &Problem) -> Option<usize> {
    problem.span.as_ref().map(|span| span.start)
}

/// Where the lines of a text start.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(
            text.match_indices('\n')
                .map(|(newline, _)| newline + 1)
                .collect(),
        )
    }

    fn number(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset)
    }
}

fn problem(message: &str, span: Range<usize>) -> Problem {
    let is_unquoted = message.starts_with("string values must be quoted");
    if is_unquoted && span.is_empty() {
        let help = "write a value after the `=`, a string in quotes";
        return Problem::at(span, "there is no value here", help);
    }
    let known = HELP.iter().find(|(start, _)| message.starts_with(start));
    let help = known.map_or("https://toml.io says how TOML is written", |(_, help)| {
        *help
    });
    Problem::at(span, message, help)
}

const NO_VALUE: &str = "key with no value";

/// How a message of the parser starts, and what to do about it.
const HELP: [(&str, &str); 10] = [
    ("string values must be quoted", "write the value in quotes"),
    (
        "duplicate key",
        "keep one; tables that repeat have two brackets, like [[deny]]",
    ),
    (
        "missing comma",
        "put a comma between two elements, and `]` after the last",
    ),
    ("unclosed table", "close the name of the table with `]`"),
    (
        "unquoted keys cannot be empty",
        "write `key = value`, or a # before a comment",
    ),
    ("unclosed array", "put `]` after the last element"),
    ("unclosed inline table", "put `}` after the last key"),
    (
        "invalid basic string",
        "close the string with `\"` on the same line",
    ),
    (
        "key with no value",
        "write `key = value`, or a # before a comment",
    ),
    (
        "invalid unquoted key",
        "write `key = value`, or a # before a comment",
    ),
];
