//! Options of the contract whose work is not built yet: refused by name, never ignored.

use super::schema::{Section, Walk};

/// Refuses what `section` asks for and nothing does yet.
pub(super) fn refuse_top(walk: &mut Walk, section: &Section<'_, '_>) {
    if let Some((name, _)) = section.table.get_key_value("alert") {
        walk.refuse(name.span(), "`alert` is not built yet", "remove it");
    }
}
