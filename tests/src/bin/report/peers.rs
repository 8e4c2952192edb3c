//! Whose a column is: guard's, of one of its peers, or of something that only says what a machine can do.

/// In the order in which every table and plot has them. Which colour each has goes by its place, so that
/// it is the same everywhere.
const KNOWN: &[&str] = &[
    "guard",
    "guard, deny list",
    "xdp-filter",
    "xdp-filter (all)",
    "nft ingress",
    "nft input",
    "no firewall",
    "hash drop",
    "read drop",
    "empty XDP_DROP",
];

/// Columns that are a known one's by another name.
const ALIASES: &[(&str, &str)] = &[("xdp-filter (ip)", "xdp-filter")];

/// Columns that take no part: they only say what a machine could do at best.
const REFERENCES: &[&str] = &["empty XDP_DROP", "read drop", "no flood"];

/// Whether it is guard's own, in one configuration or another.
pub(crate) fn is_guard(column: &str) -> bool {
    column.starts_with("guard")
}

/// Whether it takes no part.
pub(crate) fn is_reference(column: &str) -> bool {
    REFERENCES.contains(&column)
}

/// Its place among the known ones; none for a column that is nobody's, such as a kind of packet.
fn place(column: &str) -> Option<usize> {
    let mut aliases = ALIASES.iter();
    let alias = aliases.find(|(alias, _)| *alias == column);
    let name = alias.map_or(column, |(_, name)| name);
    KNOWN.iter().position(|known| *known == name)
}

/// Puts the known ones first, in their order, and leaves the others in theirs.
pub(crate) fn sort(columns: &mut [&str]) {
    columns.sort_by_key(|column| place(column).unwrap_or(usize::MAX));
}

/// The number of the colour of each: a known one's own, and for each of the others the next that nobody
/// here has.
pub(crate) fn colours(columns: &[&str]) -> Vec<usize> {
    let taken: Vec<_> = columns.iter().filter_map(|column| place(column)).collect();
    let mut free = (0..).filter(|number| !taken.contains(number));
    let colours = columns
        .iter()
        .map(|column| place(column).or_else(|| free.next()).unwrap_or_default());
    colours.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_columns_have_their_order_and_their_colours() {
        let mut all = ["no firewall", "new", "xdp-filter (ip)", "guard", "old"];
        sort(&mut all);
        assert_eq!(
            all,
            ["guard", "xdp-filter (ip)", "no firewall", "new", "old"]
        );
        assert_eq!(colours(&all), [0, 2, 6, 1, 3]);
        assert_eq!(colours(&["xdp-filter", "guard"]), [2, 0]);
    }

    #[test]
    fn what_only_says_what_is_possible_takes_no_part() {
        assert!(is_reference("empty XDP_DROP") && !is_reference("hash drop"));
        assert!(is_guard("guard, deny list") && !is_guard("no firewall"));
    }
}
