//! Where a list is fetched from.

use std::fmt;

use reqwest::Url;
use serde::{Serialize, Serializer};

use super::units::{Invalid, shown};

/// The longest address, in bytes.
const LONGEST: usize = 2_048;

/// The address of a list, by HTTP or HTTPS.
///
/// It is shown without user, password and query, in which it may say who pays for the list.
#[derive(Clone, PartialEq, Eq)]
pub struct FeedUrl(Url);

impl FeedUrl {
    /// Reads one.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let url = Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && text.len() <= LONGEST
        });
        url.map(Self).ok_or_else(|| {
            Invalid::new(
                format!("`{}` is not the address of a list", shown(text)),
                "write one like \"https://lists.example/drop.netset\"",
            )
        })
    }

    /// What is asked for.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = (self.0.scheme(), self.0.host_str().unwrap_or_default());
        let port = self
            .0
            .port()
            .map_or(String::new(), |port| format!(":{port}"));
        write!(f, "{scheme}://{host}{port}{}", self.0.path())
    }
}

impl fmt::Debug for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for FeedUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_is_secret_in_it() {
        let url = FeedUrl::parse("https://me:secret@lists.example:8443/a/b.txt?key=secret#x");
        let url = url.expect("an address");
        assert_eq!(url.to_string(), "https://lists.example:8443/a/b.txt");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert_eq!(
            serde_json::to_value(&url).ok(),
            Some(url.to_string().into())
        );
    }

    #[test]
    fn other_addresses_are_refused() {
        let long = format!("https://lists.example/{}", "a".repeat(LONGEST));
        for text in [
            "",
            "lists.example/a",
            "ftp://a/b",
            "file:///etc/passwd",
            "https://",
            &long,
        ] {
            let error = FeedUrl::parse(text).expect_err(text).to_string();
            assert!(
                error.contains("https://lists.example/drop.netset"),
                "{error}"
            );
        }
    }
}
