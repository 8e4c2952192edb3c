//! The configuration that the package brings: its comments are settings at their defaults.

use std::fs;

use anyhow::Result;
use guard::config::Config;

use crate::tools::repository;

/// The packaged configuration as it is, and with the settings among its comments switched on, up to the
/// examples of entries.
fn with_and_without_comments() -> Result<(String, String)> {
    let shipped = fs::read_to_string(repository().join("packaging/debian/guard.toml"))?;
    let entries = shipped.find("#[[allow]]").unwrap_or(shipped.len());
    let settings = &shipped[..entries];
    Ok((settings.to_owned(), switched_on(settings)))
}

/// A comment has a blank after its sign, a setting has none.
fn switched_on(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let setting = line.strip_prefix('#').filter(|rest| !rest.is_empty());
        setting
            .filter(|rest| !rest.starts_with(' '))
            .unwrap_or(line)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn each_setting_in_a_comment_of_the_packaged_configuration_is_the_default() -> Result<()> {
    let (shipped, all) = with_and_without_comments()?;
    assert!(
        all.lines().filter(|line| line.contains(" = ")).count() > 15,
        "{all}"
    );
    let [shipped, all] = [shipped, all].map(|text| Config::parse("guard.toml", &text));
    assert_eq!(shipped.expect("as it is"), all.expect("with all settings"));
    Ok(())
}

#[test]
fn the_examples_in_the_packaged_configuration_are_valid() -> Result<()> {
    let shipped = fs::read_to_string(repository().join("packaging/debian/guard.toml"))?;
    let config = Config::parse("guard.toml", &switched_on(&shipped)).expect("a configuration");
    let summary = config.summary();
    assert!(summary.contains("1 deny, 1 allow"), "{summary}");
    Ok(())
}
