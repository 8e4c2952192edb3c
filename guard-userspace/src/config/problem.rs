//! What is wrong with a configuration, and how it is shown.

use std::fmt::{self, Write as _};
use std::ops::Range;

use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError,
    MietteSpanContents, SourceCode, SourceSpan, SpanContents,
};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};
use thiserror::Error;

use super::{secrets, units::Invalid};
use crate::printable;

/// Problems that are kept; the rest is counted.
const KEPT: usize = 200;
/// Characters of a source line that are shown before and after where a problem starts.
const BEFORE: usize = 60;
const AFTER: usize = 100;

/// Every problem of one configuration, in the order of the file.
#[derive(Clone, Debug, Error)]
#[error("{}", self.one_line())]
pub struct ConfigErrors {
    name: String,
    text: String,
    problems: Vec<Problem>,
    /// Problems beyond the kept ones.
    more: usize,
}

/// One problem: what is wrong, where, and the fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub message: String,
    /// Bytes of the text it is about; nothing when no one place is to blame.
    pub span: Option<Range<usize>>,
    /// The fix.
    pub help: String,
}

/// How problems are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// ASCII only, for files, pipes and tests.
    Plain,
    /// Colour and box drawing, for a terminal.
    Terminal,
}

impl ConfigErrors {
    pub(super) fn new(name: String, mut text: String, mut problems: Vec<Problem>) -> Self {
        // It is shown to whoever asks for a reload, and in the log.
        text = secrets::masked(&text);
        // What no one place is to blame for comes last.
        problems.sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |s| s.start));
        let more = problems.len().saturating_sub(KEPT);
        problems.truncate(KEPT);
        Self {
            name,
            text,
            problems,
            more,
        }
    }

    /// The problems, in the order of the file: at least one, at most 200.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Line and column of a problem, both from 1, the column in characters.
    pub fn position(&self, problem: &Problem) -> Option<(usize, usize)> {
        let place = Place::new(&self.text, problem.span.as_ref()?);
        Some((place.line, place.column))
    }

    /// Every problem with its place as `file:line:column`, its source line and the fix.
    pub fn render(&self, style: Style) -> String {
        let theme = match style {
            Style::Plain => GraphicalTheme::none(),
            Style::Terminal => GraphicalTheme::unicode(),
        };
        let handler = GraphicalReportHandler::new_themed(theme).with_wrap_lines(false);
        let mut rendered = String::new();
        for problem in &self.problems {
            let shown = Shown::new(self, problem);
            if handler.render_report(&mut rendered, &shown).is_err() {
                // The drawing failed, not the explanation.
                let _ = writeln!(rendered, "{}: {}", problem.message, problem.help);
            }
        }
        if self.more > 0 {
            let _ = writeln!(rendered, "and {} more problems", self.more);
        }
        rendered
    }

    fn one_line(&self) -> String {
        let Some(first) = self.problems.first() else {
            return self.name.clone();
        };
        let place = self
            .position(first)
            .map_or(String::new(), |(l, c)| format!(":{l}:{c}"));
        let Problem { message, help, .. } = first;
        let more = match self.problems.len() + self.more - 1 {
            0 => String::new(),
            1 => " (and 1 more problem)".to_owned(),
            n => format!(" (and {n} more problems)"),
        };
        format!("{}{place}: {message}: {help}{more}", self.name)
    }
}

/// `{"file": …, "problems": [{"line": …, "column": …, "message": …, "help": …}]}`.
impl Serialize for ConfigErrors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows: Vec<Row<'_>> = self
            .problems
            .iter()
            .map(|problem| Row::new(self, problem))
            .collect();
        let mut errors = serializer.serialize_struct("ConfigErrors", 2)?;
        errors.serialize_field("file", &self.name)?;
        errors.serialize_field("problems", &rows)?;
        errors.end()
    }
}

#[derive(Serialize)]
struct Row<'e> {
    line: Option<usize>,
    column: Option<usize>,
    message: &'e str,
    help: &'e str,
}

impl<'e> Row<'e> {
    fn new(errors: &ConfigErrors, problem: &'e Problem) -> Self {
        let (line, column) = errors.position(problem).unzip();
        Self {
            line,
            column,
            message: &problem.message,
            help: &problem.help,
        }
    }
}

impl Problem {
    /// A problem with the text at `span`.
    pub(super) fn at(
        span: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            message: message.into(),
            span: Some(span),
            help: help.into(),
        }
    }

    /// A problem with the whole.
    pub(super) fn overall(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            span: None,
            help: help.into(),
        }
    }

    /// A value at `span` that cannot be used.
    pub(super) fn invalid(span: Range<usize>, invalid: Invalid) -> Self {
        Self {
            message: invalid.message,
            span: Some(span),
            help: invalid.help,
        }
    }
}

/// Where a problem is: the line it starts on, and which part of that line it is about.
struct Place<'t> {
    /// The line, without its end.
    text: &'t str,
    /// Counted from 1.
    line: usize,
    /// In characters, counted from 1.
    column: usize,
    /// Characters of the line that the problem is about.
    length: usize,
}

impl<'t> Place<'t> {
    fn new(text: &'t str, span: &Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start);
        let end = text.floor_char_boundary(span.end.max(start));
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        Self {
            text: text[line_start..line_end].trim_end_matches('\r'),
            line: text[..line_start]
                .bytes()
                .filter(|byte| *byte == b'\n')
                .count()
                + 1,
            column: text[line_start..start].chars().count() + 1,
            length: text[start..end.min(line_end)].chars().count(),
        }
    }
}

/// One problem as miette draws it: with one line of source, cut to what is near the problem.
#[derive(Debug)]
struct Shown<'e> {
    problem: &'e Problem,
    excerpt: Option<Excerpt>,
}

#[derive(Debug)]
struct Excerpt {
    name: String,
    text: String,
    span: SourceSpan,
    /// Both counted from 0.
    line: usize,
    column: usize,
}

impl<'e> Shown<'e> {
    fn new(errors: &ConfigErrors, problem: &'e Problem) -> Self {
        let excerpt = problem
            .span
            .as_ref()
            .map(|span| Excerpt::new(&errors.name, &Place::new(&errors.text, span)));
        Self { problem, excerpt }
    }
}

impl Excerpt {
    fn new(name: &str, place: &Place<'_>) -> Self {
        let before = place.column - 1;
        let skipped = before.saturating_sub(BEFORE);
        let kept = place.text.chars().skip(skipped).take(BEFORE + AFTER);
        // A source line may hold what a terminal would obey.
        let harmless = |c| if printable::is_obeyed(c) { ' ' } else { c };
        let mut text: String = kept.map(harmless).collect();
        let offset = byte_offset(&text, before - skipped);
        let end = byte_offset(&text, before - skipped + place.length);
        if offset == text.len() {
            // What is missing at the end of a line needs a place to be pointed at.
            text.push(' ');
        }
        let span = (offset, end.saturating_sub(offset).max(1)).into();
        Self {
            name: name.to_owned(),
            text,
            span,
            line: place.line - 1,
            column: before,
        }
    }
}

fn byte_offset(text: &str, characters: usize) -> usize {
    text.char_indices()
        .nth(characters)
        .map_or(text.len(), |(offset, _)| offset)
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.problem.help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt
            .as_ref()
            .map(|excerpt| excerpt as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.excerpt.as_ref()?.span;
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(
            None, span,
        ))))
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        _span: &SourceSpan,
        _lines_before: usize,
        _lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            self.text.as_bytes(),
            (0, self.text.len()).into(),
            self.line,
            self.column,
            1,
        )))
    }
}
