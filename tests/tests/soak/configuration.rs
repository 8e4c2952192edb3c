//! Many configurations, all of which forbid the same, and some that are none.

use std::{fmt::Write as _, fs, net::Ipv4Addr, path::Path};

use anyhow::Result;
use lab::noise::Noise;

/// The list of others that all of them name, beside them.
pub(crate) const FEED: &str = "others.netset";

/// What all of them say. The gate of new sources is always the same, so that who is known stays so.
const COMMON: &str = r#"
interfaces = ["eth0"]
on_stop = "keep"

[[deny]]
cidr = "203.0.113.66/32"

[[deny]]
cidr = "198.18.0.0/15"

[[feed]]
name = "others"
file = "others.netset"
"#;

/// What all of them end with. Bans outlast the longest run.
const LIMITS: &str = r#"
[limits]
new_sources = "5k/s"
packets = "400/s"
ban = { after = "1s", for = "1d", max = "7d" }
"#;

/// What no agent takes.
const BAD: [&str; 4] = [
    "interfaces = 7\n",
    "[[deny]]\ncidr = \"10.0.0.1/8\"\n",
    "[[deny\n",
    "\u{0}\u{1b}[31m",
];

/// The `number`th of many: lists of other lengths, tables that are there or not, and services that come
/// and go.
pub(crate) fn good(number: usize) -> String {
    let mut text = COMMON.to_owned();
    for other in 0..number % 5 * 60 {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[[deny]]\ncidr = \"100.64.{other}.0/25\"");
        let _ = writeln!(text, "[[allow]]\ncidr = \"2001:db8:a:{other:x}::/64\"");
    }
    text += LIMITS;
    if number.is_multiple_of(2) {
        text += "bytes = \"1GB/s\"\n";
    }
    if number.is_multiple_of(3) {
        text += "[limits.aggregate]\npackets = \"900k/s\"\n";
    }
    for service in 0..number % 4 {
        let name = number % 3 + service;
        let port = 7_000 + service;
        let _ = writeln!(text, "[[service]]\nname = \"s{name}\"\nports = [{port}]");
    }
    text
}

/// A list of these, and of a network that nobody sends from: an empty one is no list.
pub(crate) fn feed(sources: &[Ipv4Addr]) -> String {
    let mut text = "192.0.2.0/24\n".to_owned();
    for source in sources {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{source}");
    }
    text
}

/// One that is refused.
pub(crate) fn bad(noise: &mut Noise) -> &'static str {
    noise.one_of(&BAD)
}

/// Puts it in the place of the one before, whole.
pub(crate) fn write(file: &Path, text: &str) -> Result<()> {
    let next = file.with_extension("next");
    fs::write(&next, text)?;
    fs::rename(&next, file)?;
    Ok(())
}
