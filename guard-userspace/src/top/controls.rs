//! What the keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::panes::PANES;

/// What whoever looks has chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Controls {
    /// The pane that is looked at.
    pub(super) focus: usize,
    /// Rows scrolled past, by pane.
    pub(super) scrolled: [usize; PANES],
    /// The picture stays as it is.
    pub(super) paused: bool,
    /// The keys are explained.
    pub(super) help: bool,
}

/// Rows that a page has.
const PAGE: usize = 10;

impl Controls {
    /// Does what a key says; whether it says to quit.
    #[must_use]
    pub(super) fn press(&mut self, key: KeyEvent) -> bool {
        if key.kind == KeyEventKind::Release {
            return false;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return true,
            KeyCode::Char(_) if is_control => {}
            // Whoever asked for help wants to leave that first.
            KeyCode::Esc if self.help => self.help = false,
            KeyCode::Char('q') | KeyCode::Esc => return true,
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Tab | KeyCode::Right => self.focus = (self.focus + 1) % PANES,
            KeyCode::BackTab | KeyCode::Left => self.focus = (self.focus + PANES - 1) % PANES,
            KeyCode::Down | KeyCode::Char('j') => self.scroll(|rows| rows.saturating_add(1)),
            KeyCode::Up | KeyCode::Char('k') => self.scroll(|rows| rows.saturating_sub(1)),
            KeyCode::PageDown => self.scroll(|rows| rows.saturating_add(PAGE)),
            KeyCode::PageUp => self.scroll(|rows| rows.saturating_sub(PAGE)),
            KeyCode::Home => self.scroll(|_| 0),
            KeyCode::End => self.scroll(|_| usize::MAX),
            _ => {}
        }
        false
    }

    /// Keeps a pane with so many `rows`, of which so many are `shown`, from being scrolled past its
    /// end. The first row that is shown comes back.
    pub(super) fn settle(&mut self, pane: usize, rows: usize, shown: usize) -> usize {
        let first = self.scrolled[pane].min(rows.saturating_sub(shown));
        self.scrolled[pane] = first;
        first
    }

    fn scroll(&mut self, to: impl FnOnce(usize) -> usize) {
        let scrolled = &mut self.scrolled[self.focus];
        *scrolled = to(*scrolled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(controls: &mut Controls, code: KeyCode) -> bool {
        controls.press(KeyEvent::new(code, KeyModifiers::NONE))
    }

    #[test]
    fn three_keys_quit() {
        for key in [
            KeyEvent::new(KeyCode::Char('q'), KeyModifiers::NONE),
            KeyEvent::new(KeyCode::Esc, KeyModifiers::NONE),
            KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL),
        ] {
            assert!(Controls::default().press(key), "{key:?}");
        }
        let other = KeyEvent::new(KeyCode::Char('q'), KeyModifiers::CONTROL);
        assert!(!Controls::default().press(other));
        assert!(!press(&mut Controls::default(), KeyCode::Char('c')));
    }

    #[test]
    fn escape_leaves_the_help_first() {
        let mut controls = Controls::default();
        assert!(!press(&mut controls, KeyCode::Char('?')));
        assert!(controls.help);
        assert!(!press(&mut controls, KeyCode::Esc));
        assert!(!controls.help);
        assert!(press(&mut controls, KeyCode::Esc));
    }

    #[test]
    fn the_focus_goes_round() {
        let mut controls = Controls::default();
        for focus in [1, 2, 3, 4, 0] {
            assert!(!press(&mut controls, KeyCode::Tab));
            assert_eq!(controls.focus, focus);
        }
        assert!(!press(&mut controls, KeyCode::BackTab));
        assert_eq!(controls.focus, PANES - 1);
    }

    #[test]
    fn scrolling_ends_where_the_rows_do() {
        let mut controls = Controls::default();
        for (key, first) in [
            (KeyCode::Up, 0),
            (KeyCode::Down, 1),
            (KeyCode::PageDown, 7),
            (KeyCode::Down, 7),
            (KeyCode::Up, 6),
            (KeyCode::End, 7),
            (KeyCode::Home, 0),
        ] {
            assert!(!press(&mut controls, key));
            assert_eq!(controls.settle(0, 10, 3), first, "{key:?}");
        }
        // Rows that are gone.
        assert!(!press(&mut controls, KeyCode::End));
        assert_eq!(controls.settle(0, 2, 3), 0);
    }
}
