//! The report for people.

use super::{Check, Outcome};

/// Columns of a line, at most; a word longer than that stays whole.
const WIDTH: usize = 80;
/// Columns of the status and the blanks behind it.
const STATUS: usize = 6;

pub(super) fn render(checks: &[Check]) -> String {
    let titles: Vec<String> = checks.iter().map(title).collect();
    let width = titles
        .iter()
        .map(|title| title.chars().count())
        .max()
        .unwrap_or_default();
    let indent = STATUS + width + 2;
    let mut text = String::new();
    for (check, title) in checks.iter().zip(&titles) {
        let head = format!("{:<STATUS$}{title:<width$}  ", check.status.name());
        push_wrapped(&mut text, &head, indent, &check.found);
        if let Some(remedy) = &check.remedy {
            push_wrapped(
                &mut text,
                &" ".repeat(indent),
                indent + 2,
                &format!("→ {remedy}"),
            );
        }
    }
    text.push('\n');
    text.push_str(&conclusion(checks));
    text.push('\n');
    text
}

fn title(check: &Check) -> String {
    match &check.interface {
        Some(interface) => format!("{interface} {}", check.name),
        None => check.name.to_owned(),
    }
}

/// Appends `words` behind `head`; lines that follow start at column `indent`.
fn push_wrapped(text: &mut String, head: &str, indent: usize, words: &str) {
    text.push_str(head);
    let mut column = head.chars().count();
    let mut gap = "";
    for word in words.split_whitespace() {
        let len = word.chars().count();
        if !gap.is_empty() && column + 1 + len > WIDTH {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            (column, gap) = (indent, "");
        }
        text.push_str(gap);
        text.push_str(word);
        column += gap.len() + len;
        gap = " ";
    }
    text.push('\n');
}

fn conclusion(checks: &[Check]) -> String {
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    match (count(Outcome::Fail), count(Outcome::Warn)) {
        (0, 0) => "guard can run here".to_owned(),
        (0, 1) => "guard can run here, with the warning above".to_owned(),
        (0, warnings) => format!("nothing failed, {warnings} warnings"),
        (1, _) => "1 check failed: guard cannot run until it is remedied".to_owned(),
        (failed, _) => format!("{failed} checks failed: guard cannot run until they are remedied"),
    }
}
