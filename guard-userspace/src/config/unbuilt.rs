//! Options of the contract whose work is not built yet: refused by name, never ignored.
//!
//! A value that asks for what happens anyway is accepted.

use toml::de::DeValue;

use super::schema::{Section, Walk};

/// Refuses what `section` asks for and nothing does yet.
pub(super) fn refuse_top(walk: &mut Walk, section: &Section<'_, '_>) {
    refuse_unless(walk, section, "on_stop", &Today::Text("detach"));
}

/// The same for a `[[service]]`.
pub(super) fn refuse_service(walk: &mut Walk, section: &Section<'_, '_>) {
    refuse_unless(walk, section, "openapi", &Today::Absent);
}

/// The same for a `[[feed]]`.
pub(super) fn refuse_feed(walk: &mut Walk, section: &Section<'_, '_>) {
    refuse_unless(walk, section, "url", &Today::Absent);
    refuse_unless(walk, section, "refresh", &Today::Absent);
}

/// The value of an option that asks for today's behaviour.
enum Today {
    Text(&'static str),
    /// None does.
    Absent,
}

fn refuse_unless(walk: &mut Walk, section: &Section<'_, '_>, key: &str, today: &Today) {
    let Some((name, node)) = section.table.get_key_value(key) else {
        return;
    };
    let option = match section.kind.name.trim_matches(['[', ']']) {
        "" => key.to_owned(),
        table => format!("{table}.{key}"),
    };
    let (span, help) = match (today, node.get_ref()) {
        (Today::Text(today), DeValue::String(text)) if text == today => return,
        (Today::Text(today), _) => (node.span(), format!("remove it, or set it to \"{today}\"")),
        (Today::Absent, _) => (name.span(), "remove it".to_owned()),
    };
    let message = match (key, node.get_ref()) {
        ("on_stop", DeValue::String(text)) => {
            format!(
                "`{option} = \"{}\"` is not built yet",
                super::units::shown(text)
            )
        }
        _ => format!("`{option}` is not built yet"),
    };
    walk.refuse(span, message, help);
}
