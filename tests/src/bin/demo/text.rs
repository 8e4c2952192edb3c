//! How the demo writes: at most 100 columns, one line that moves on a terminal, colour nowhere.

use std::{
    io::{IsTerminal as _, Write as _, stdout},
    time::Duration,
};

const WIDTH: usize = 100;

/// Begins a part.
pub(crate) fn heading(title: &str) {
    say!(
        "\n== {title} {}",
        "=".repeat(WIDTH.saturating_sub(title.len() + 4))
    );
}

/// Says how far a part has come: over the last such line on a terminal, below it elsewhere.
pub(crate) fn progress(line: &str) {
    if stdout().is_terminal() {
        let _ = write!(stdout(), "\r\x1b[K{line}");
        let _ = stdout().flush();
    } else {
        say!("{line}");
    }
}

/// Ends the line that moves.
pub(crate) fn end_progress() {
    if stdout().is_terminal() {
        say!("");
    }
}

/// Cuts a line to the width.
pub(crate) fn fit(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}

/// A number with commas: `1,234,567`.
pub(crate) fn commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The whole number a counter's value is; 0 when negative.
#[expect(
    clippy::cast_sign_loss,
    reason = "a cast of a negative value gives 0, as documented"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// A time in milliseconds: `1.2 ms`.
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        let shown: Vec<_> = [0, 999, 1000, 123_456, 1_234_567]
            .into_iter()
            .map(commas)
            .collect();
        assert_eq!(shown, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }

    #[test]
    fn lines_fit() {
        assert_eq!(fit("short"), "short");
        assert_eq!(fit(&"ä".repeat(101)).chars().count(), WIDTH);
    }
}
