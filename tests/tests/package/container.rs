//! The image's recipe. No engine is at hand, so none is built: it is linted, and its sources looked for.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{
    deb::run,
    tools::{python, repository},
};

const RECIPE: &str = "packaging/container/Containerfile";

#[test]
fn hadolint_finds_nothing_wrong_with_the_containerfile() -> Result<()> {
    let printed = run(python("hadolint")?.arg(repository().join(RECIPE)))?;
    assert_eq!(printed, "");
    Ok(())
}

#[test]
fn what_the_containerfile_copies_is_there_and_not_ignored() -> Result<()> {
    let recipe = fs::read_to_string(repository().join(RECIPE))?;
    let sources: Vec<_> = recipe.lines().filter_map(copied).flatten().collect();
    assert!(sources.len() > 8, "{sources:?}");
    let ignored = fs::read_to_string(repository().join(".containerignore"))?;
    let kept: Vec<_> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    for source in sources {
        assert!(repository().join(source).exists(), "there is no {source}");
        let mut above = source;
        while !kept.contains(&above) {
            let folder = above.rsplit_once('/');
            above = folder.with_context(|| format!("{source} is ignored"))?.0;
        }
    }
    Ok(())
}

/// What a line copies from the repository; what it copies from another stage is no source.
fn copied(line: &str) -> Option<Vec<&str>> {
    let words: Vec<_> = line.strip_prefix("COPY ")?.split_whitespace().collect();
    let (_, sources) = words.split_last()?;
    (!sources.iter().any(|word| word.starts_with("--from"))).then(|| sources.to_vec())
}

/// The workspace is built of all its members, so the image's first stage has to have them all.
#[test]
fn every_member_of_the_workspace_is_copied() -> Result<()> {
    let recipe = fs::read_to_string(repository().join(RECIPE))?;
    let sources: Vec<_> = recipe.lines().filter_map(copied).flatten().collect();
    let manifest = fs::read_to_string(repository().join("Cargo.toml"))?;
    let members = manifest.split("members = [").nth(1).context("no members")?;
    let members = members.split(']').next().unwrap_or_default();
    let members: Vec<_> = members.split('"').skip(1).step_by(2).collect();
    assert!(members.len() > 5, "{members:?}");
    for member in members {
        let folder = member.split('/').next().unwrap_or(member);
        assert!(sources.contains(&folder), "{member} is not copied");
    }
    Ok(())
}
