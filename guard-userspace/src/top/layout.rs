//! How high each pane is.

use super::panes::PANES;

/// The least terminal: below that there is no room for every pane.
pub(super) const LEAST: (u16, u16) = (60, 14);

/// Heading and one row.
const LEAST_PANE: u16 = 2;
/// Rows that a pane gets in each round, as long as it has use for them: interfaces, reasons,
/// talkers, services, events.
const SHARES: [u16; PANES] = [1, 2, 2, 1, 2];
/// And this many more when it is the one that is looked at.
const FOCUS: u16 = 3;

/// Splits `available` rows between panes that could fill `wanted` rows, headings included. All panes
/// have at least a heading and a row; what nobody can fill is left to the last.
pub(super) fn heights(available: u16, wanted: [u16; PANES], focus: usize) -> [u16; PANES] {
    let mut heights = [LEAST_PANE; PANES];
    let mut left = available.saturating_sub(LEAST_PANE * PANES as u16);
    while left > 0 {
        let before = left;
        for pane in 0..PANES {
            let share = SHARES[pane] + if pane == focus { FOCUS } else { 0 };
            let more = wanted[pane].saturating_sub(heights[pane]);
            let more = more.min(share).min(left);
            heights[pane] += more;
            left -= more;
        }
        if left == before {
            break;
        }
    }
    heights[PANES - 1] += left;
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_and_nobody_goes_without() {
        for available in 10..200 {
            for wanted in [[2; PANES], [3, 20, 100, 7, 1000], [200; PANES]] {
                for focus in 0..PANES {
                    let heights = heights(available, wanted, focus);
                    assert_eq!(heights.iter().sum::<u16>(), available);
                    assert!(heights.iter().all(|height| *height >= LEAST_PANE));
                }
            }
        }
    }

    #[test]
    fn who_has_more_to_show_gets_what_others_leave() {
        // One interface, three reasons, two services: the rest is the talkers' and the events'.
        let shown = heights(21, [2, 4, 100, 3, 100], 0);
        assert_eq!(shown[..2], [2, 4]);
        assert_eq!(shown[3], 3);
        assert!(shown[2] >= 6 && shown[4] >= 5, "{shown:?}");
        let focused = heights(21, [2, 4, 100, 3, 100], 4);
        assert!(focused[4] > shown[4], "{focused:?}");
    }
}
