//! Options of the contract whose work is not built yet: refused by name, never ignored.

use super::schema::{Section, Walk};

/// Refuses what `section` asks for and nothing does yet.
pub(super) fn refuse_top(walk: &mut Walk, section: &Section<'_, '_>) {
    refuse(walk, section, "alert");
}

/// The same for a `[[service]]`.
pub(super) fn refuse_service(walk: &mut Walk, section: &Section<'_, '_>) {
    refuse(walk, section, "openapi");
}

/// The same for a `[[feed]]`.
pub(super) fn refuse_feed(walk: &mut Walk, section: &Section<'_, '_>) {
    refuse(walk, section, "url");
    refuse(walk, section, "refresh");
}

fn refuse(walk: &mut Walk, section: &Section<'_, '_>, key: &str) {
    let Some((name, _)) = section.table.get_key_value(key) else {
        return;
    };
    let option = match section.kind.name.trim_matches(['[', ']']) {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    };
    let message = format!("`{option}` is not built yet");
    walk.refuse(name.span(), message, "remove it".to_owned());
}
