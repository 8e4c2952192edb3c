//! Text of others as a terminal, a log or a page may show it.
//!
//! Names, reasons and what was typed may hold escape sequences, line breaks that start a line of
//! somebody else's, or marks that turn the direction of writing. They are shown as what they are.

use std::{borrow::Cow, fmt::Write as _};

/// Whether a terminal or a reader would obey `c` in place of showing it: controls, line and
/// paragraph separators, and what changes the direction of writing or is not seen at all.
#[must_use]
pub fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// `text` on one line: what would be obeyed is escaped.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_obeyed)
}

/// `text` with its line breaks: what else would be obeyed is escaped.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_obeyed(c))
}

/// At most `longest` characters of `text` on one line; that there were more is said.
#[must_use]
pub fn start(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", line(&text[..end])),
        None => line(text).into_owned(),
    }
}

/// JSON in which nothing would be obeyed either, and which means the same: in JSON such characters
/// stand in strings alone.
#[must_use]
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed_in_json) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_obeyed_in_json(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

/// Line breaks of JSON are between its values.
fn is_obeyed_in_json(c: char) -> bool {
    c != '\n' && is_obeyed(c)
}

fn escaped(text: &str, is_obeyed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if !is_obeyed(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c => safe.extend(c.escape_unicode()),
        }
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_would_be_obeyed_is_shown() {
        assert_eq!(line("plain: ä 漢 🦀"), "plain: ä 漢 🦀");
        assert_eq!(line("a\u{1b}[2J\nb\u{9b}0m"), "a\\u{1b}[2J\\nb\\u{9b}0m");
        assert_eq!(line("abc\u{202e}fed\u{200b}"), "abc\\u{202e}fed\\u{200b}");
        assert_eq!(lines("a\nb\r"), "a\nb\\r");
        assert_eq!(start("abc", 3), "abc");
        assert_eq!(start("ab\ncd", 3), "ab\\n...");
    }

    proptest! {
        #[test]
        fn json_means_the_same(text: String, more in "[\\x00-\\x1f\\x7f-\\x9f\u{2028}\u{e0001}]*") {
            let value = serde_json::json!({ "a": format!("{text}{more}") });
            let written = serde_json::to_string_pretty(&value).expect("JSON");
            let safe = json(&written);
            prop_assert!(!safe.contains(is_obeyed_in_json));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).expect("JSON"), value);
        }

        #[test]
        fn nothing_that_would_be_obeyed_is_left(text: String) {
            prop_assert!(!line(&text).contains(is_obeyed));
            prop_assert!(start(&text, 5).chars().count() <= 5 * 10 + 3);
        }
    }
}
