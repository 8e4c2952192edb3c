//! Figures and foreign texts, as a terminal may have them.
#![expect(clippy::cast_precision_loss, reason = "three digits are shown")]

use ratatui::text::Span;

use crate::printable;

/// Text without anything that a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    printable::line(text).into_owned()
}

/// A figure in at most five columns: `0`, `0.4`, `12`, `123`, `1.23k`, `12.3M`, `123G`.
pub(super) fn short(value: f64) -> String {
    const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    if value < 0.05 {
        return "0".to_owned();
    }
    if value < 9.95 {
        let text = format!("{value:.1}");
        return text.trim_end_matches(".0").to_owned();
    }
    let (mut scaled, mut unit) = (value, 0);
    // What is rounded up to a thousand is one of the next unit.
    while scaled >= 999.5 && unit + 1 < UNITS.len() {
        scaled /= 1000.0;
        unit += 1;
    }
    let digits = match (unit, scaled) {
        (0, _) => 0,
        (_, scaled) if scaled < 9.995 => 2,
        (_, scaled) if scaled < 99.95 => 1,
        _ => 0,
    };
    format!("{scaled:.digits$}{}", UNITS[unit])
}

/// The same of a count.
pub(super) fn count(value: u64) -> String {
    short(value as f64)
}

/// A share of one as a percentage; nothing and everything are said only of nothing and everything.
pub(super) fn percent(share: f64) -> String {
    if share <= 0.0 {
        return "0%".to_owned();
    }
    if share >= 1.0 {
        return "100%".to_owned();
    }
    format!("{:.0}%", (share * 100.0).clamp(1.0, 99.0))
}

/// How long something lasts, in at most seven columns.
pub(super) fn lasting(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// The text at exactly this many columns: cut short with `…`, or filled up.
pub(super) fn fit(text: &str, columns: usize) -> String {
    let short = cut(text, columns);
    let missing = columns.saturating_sub(width(&short));
    short + &" ".repeat(missing)
}

/// The same, at the right of its columns.
pub(super) fn right(text: &str, columns: usize) -> String {
    let short = cut(text, columns);
    " ".repeat(columns.saturating_sub(width(&short))) + &short
}

/// The text at this many columns at most.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut short = String::new();
    for char in text.chars() {
        short.push(char);
        if width(&short) >= columns {
            short.pop();
            break;
        }
    }
    if columns > 0 {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_character_that_a_terminal_obeys_is_left() {
        assert_eq!(
            plain("GET /\u{1b}[2J\r\n\u{9b}1m"),
            r"GET /\u{1b}[2J\r\n\u{9b}1m"
        );
        assert_eq!(plain("a\u{202e}b\u{200b}c"), r"a\u{202e}b\u{200b}c");
        assert_eq!(plain("ünï · code"), "ünï · code");
        for char in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let plain = plain(&char.to_string());
            assert!(!plain.contains(char::is_control), "{char:?}");
        }
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.04, "0"),
            (0.4, "0.4"),
            (3.0, "3"),
            (2.02, "2"),
            (9.96, "10"),
            (999.4, "999"),
            (999.6, "1.00k"),
            (1_234.0, "1.23k"),
            (9_999.0, "10.0k"),
            (12_345.0, "12.3k"),
            (99_960.0, "100k"),
            (999_600.0, "1.00M"),
            (1.5e19, "15.0E"),
        ] {
            assert_eq!(short(value), text);
        }
        assert_eq!(count(u64::MAX), "18.4E");
        assert_eq!(
            ["0%", "1%", "99%", "100%"],
            [0.0, 1e-9, 0.999_9, 1.0].map(percent)
        );
        assert_eq!(
            ["59s", "1m01s", "1h00m", "2d01h"],
            [59, 61, 3600, 176_400].map(lasting)
        );
    }

    #[test]
    fn texts_are_cut_at_their_columns() {
        assert_eq!(fit("abc", 5), "abc  ");
        assert_eq!(fit("abcdef", 5), "abcd…");
        assert_eq!(right("abc", 5), "  abc");
        // Two columns each.
        assert_eq!(fit("日本語", 4), "日… ");
        assert_eq!(cut("abc", 0), "");
    }
}
