//! Keeps the secrets of a file out of what is shown of it.

/// The text with everything masked that may be secret: of addresses all but scheme, host and port,
/// and whatever else the value of `webhook` is. Each character stays where it was.
pub(super) fn masked(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        mask_line(line, &mut masked);
    }
    masked
}

fn mask_line(line: &str, masked: &mut String) {
    let mut rest = line;
    while let Some(start) = next_secret(rest) {
        let (before, value) = rest.split_at(start);
        let end = end_of(value, before.chars().next_back());
        let (value, after) = value.split_at(end);
        masked.push_str(before);
        mask_value(value, masked);
        rest = after;
    }
    masked.push_str(rest);
}

/// Where a value ends: at the quote it began with, unless that is escaped.
fn end_of(value: &str, before: Option<char>) -> usize {
    let mut is_escaped = false;
    let end = value.find(|letter| {
        let is_end = match before {
            _ if letter == '\n' => true,
            Some('"') => letter == '"' && !is_escaped,
            Some('\'') => letter == '\'',
            _ => matches!(letter, '"' | '\''),
        };
        is_escaped = letter == '\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(value.len())
}

/// Where a value begins that may hold a secret.
fn next_secret(text: &str) -> Option<usize> {
    let address = text.find("://").map(|at| {
        let scheme = text[..at].trim_end_matches(|c: char| c.is_ascii_alphanumeric());
        scheme.len()
    });
    let webhooks = text.match_indices("webhook").filter_map(|(at, key)| {
        let key = at + key.len();
        let equals = key + text[key..].find('=')?;
        let quote = equals + text[equals..].find(['"', '\''])?;
        Some(quote + 1)
    });
    // An empty value would be found for ever.
    let is_some = |at: &usize| !text[*at..].starts_with(['"', '\'', '\n']) && *at < text.len();
    address.into_iter().chain(webhooks).filter(is_some).min()
}

/// Scheme, host and port stay; without a scheme nothing does.
fn mask_value(value: &str, masked: &mut String) {
    let authority = value.find("://").map_or(0, |at| at + 3);
    let (scheme, rest) = value.split_at(authority);
    masked.push_str(scheme);
    let end = match authority {
        0 => 0,
        _ => rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()),
    };
    let (host, path) = rest.split_at(end);
    let login = host.rfind('@').map_or(0, |at| at + 1);
    hide(&host[..login], masked);
    masked.push_str(&host[login..]);
    hide(path, masked);
}

/// Puts a sign of as many bytes in the place of each character, so that places stay what they are.
fn hide(text: &str, masked: &mut String) {
    for letter in text.chars() {
        masked.push(match (letter, letter.len_utf8()) {
            ('/' | '@', _) => letter,
            (_, 1) => '*',
            (_, 2) => '\u{d7}',
            (_, 3) => '\u{2217}',
            _ => '\u{1f7b6}',
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_addresses_scheme_host_and_port_are_shown() {
        for (text, shown) in [
            (
                "webhook = \"https://user:pw@hooks.example:8443/T0/s3cret?k=v\" # why",
                "webhook = \"https://*******@hooks.example:8443/**/**********\" # why",
            ),
            ("url = 'http://[::1]:9/x#y'", "url = 'http://[::1]:9/***'"),
            ("webhook=\"s3cret\"", "webhook=\"******\""),
            ("webhook = \"\"", "webhook = \"\""),
            ("webhook = 7", "webhook = 7"),
            (
                "alert = [{ webhook = \"http://a/b\", format = \"x\" }, { webhook = \"c\" }]",
                "alert = [{ webhook = \"http://a/*\", format = \"x\" }, { webhook = \"*\" }]",
            ),
            ("webhook = \"http://a/b", "webhook = \"http://a/*"),
            (
                "webhook = \"http://a/b'c\\\"d\"",
                "webhook = \"http://a/******\"",
            ),
            (
                "webhook = '', x.webhook = 's\"'",
                "webhook = '', x.webhook = '**'",
            ),
            ("dry_run = tru\nlisten", "dry_run = tru\nlisten"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    proptest! {
        #[test]
        fn every_byte_stays_where_it_was(text in "(webhook|=|\"|://|http|@|/|é|\n| |k){0,20}") {
            let masked = masked(&text);
            let places = |text: &str| -> Vec<usize> {
                text.char_indices().map(|(at, _)| at).collect()
            };
            let lines = |text: &str| -> Vec<usize> {
                text.match_indices('\n').map(|(at, _)| at).collect()
            };
            prop_assert_eq!(places(&masked), places(&text));
            prop_assert_eq!(lines(&masked), lines(&text));
        }
    }
}
