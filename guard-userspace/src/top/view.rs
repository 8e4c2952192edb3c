//! Draws a picture.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use super::{
    controls::Controls,
    layout::{LEAST, heights},
    panes::{Mark, PANES, Pane, panes},
    picture::Picture,
    text::{cut, fit, width},
};

const KEYS: &str = " q quit  Tab next pane  ↑↓ scroll  p pause  ? help";
const HELP: [&str; 15] = [
    "q, Esc, Ctrl-C         quit",
    "Tab → / Shift-Tab ←    next or previous pane, which grows",
    "↑ ↓ PgUp PgDn Home End scroll in it",
    "p, Space               hold the picture, and go on",
    "?                      this page, and back",
    "",
    "Rates are of the time between two looks. In dry-run what is",
    "called dropped is what would have been.",
    "",
    "TOP TALKERS are estimates over ten seconds, from one packet",
    "in 256: a source of 1,000 packets a second may be a sixth off,",
    "one of 20 is hardly seen. Who forges packets is not their source.",
    "",
    "`guard status` and `guard events` have everything in full,",
    "`guard explain ADDRESS` says what decides for a source.",
];

/// What there is to draw.
pub(super) struct View<'a> {
    pub(super) picture: &'a Picture,
    /// Why there is nothing newer, if so.
    pub(super) failure: Option<&'a str>,
    /// Whether colours may be used.
    pub(super) colours: bool,
}

impl View<'_> {
    /// Draws it all.
    pub(super) fn draw(&self, frame: &mut Frame<'_>, controls: &mut Controls) {
        let area = frame.area();
        if area.width < LEAST.0 || area.height < LEAST.1 {
            return too_small(frame, area);
        }
        let mut rest = area;
        self.draw_title(frame, take(&mut rest, 1), controls.paused);
        if let Some((text, mark)) = self.notice() {
            let text = fit(&format!(" {text}"), usize::from(area.width));
            let line = Line::styled(text, self.style(mark).add_modifier(Modifier::BOLD));
            frame.render_widget(line, take(&mut rest, 1));
        }
        let keys = Rect {
            y: rest.bottom() - 1,
            height: 1,
            ..rest
        };
        rest.height -= 1;
        let faint = self.style(Mark::Faint);
        frame.render_widget(Line::styled(KEYS, faint), keys);
        self.draw_panes(frame, rest, controls);
        if controls.help {
            draw_help(frame, area);
        }
    }

    fn draw_title(&self, frame: &mut Frame<'_>, area: Rect, paused: bool) {
        let mut title = format!(" {}", self.picture.title());
        if paused {
            title += " · PAUSED";
        }
        let text = fit(&title, usize::from(area.width));
        let mut style = Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD);
        if self.colours && self.picture.mode != "enforce" {
            style = style.fg(Color::Yellow);
        }
        frame.render_widget(Line::styled(text, style), area);
    }

    /// The one thing that has to be said first.
    fn notice(&self) -> Option<(String, Mark)> {
        if let Some(failure) = self.failure {
            return Some((format!("{failure}; trying again"), Mark::Bad));
        }
        let warnings = &self.picture.warnings;
        let first = warnings.first()?;
        let more = match warnings.len() {
            1 => String::new(),
            count => format!("({} more in `guard status`) ", count - 1),
        };
        Some((format!("warning: {more}{first}"), Mark::Notable))
    }

    fn draw_panes(&self, frame: &mut Frame<'_>, mut rest: Rect, controls: &mut Controls) {
        let panes = panes(self.picture, usize::from(rest.width) - 2);
        let wanted: [u16; PANES] = std::array::from_fn(|at| {
            let rows = panes[at].rows.len().clamp(1, 1000);
            rows as u16 + 1
        });
        let heights = heights(rest.height, wanted, controls.focus);
        for (number, (pane, height)) in panes.iter().zip(heights).enumerate() {
            let area = take(&mut rest, height);
            let first = controls.settle(number, pane.rows.len(), usize::from(height) - 1);
            self.draw_pane(frame, area, pane, first, number == controls.focus);
        }
    }

    fn draw_pane(&self, frame: &mut Frame<'_>, area: Rect, pane: &Pane, first: usize, focus: bool) {
        let columns = usize::from(area.width);
        let shown = usize::from(area.height) - 1;
        let part = part_of(first, shown, pane.rows.len());
        let head = columns - width(&part);
        let mark = if focus { "▸" } else { " " };
        let head = fit(&format!("{mark}{}", pane.head), head) + &part;
        let mut lines = vec![Line::styled(head, self.head(focus))];
        let rows = pane.rows.iter().skip(first).take(shown);
        lines.extend(rows.map(|row| self.line(&row.text, row.mark)));
        if pane.rows.is_empty() {
            lines.push(self.line(pane.empty, Mark::Faint));
        }
        frame.render_widget(Paragraph::new(lines), area);
    }

    fn line<'a>(&self, text: &'a str, mark: Mark) -> Line<'a> {
        Line::from(vec![Span::raw(" "), Span::styled(text, self.style(mark))])
    }

    fn head(&self, focus: bool) -> Style {
        let style = Style::new().add_modifier(Modifier::UNDERLINED);
        match (focus, self.colours) {
            (true, true) => style.fg(Color::Cyan).add_modifier(Modifier::BOLD),
            (false, true) => style.fg(Color::Cyan),
            (true, false) => style.add_modifier(Modifier::BOLD),
            (false, false) => style,
        }
    }

    fn style(&self, mark: Mark) -> Style {
        let style = Style::new();
        match (mark, self.colours) {
            (Mark::Plain, _) | (Mark::Notable, false) => style,
            (Mark::Faint, _) => style.add_modifier(Modifier::DIM),
            (Mark::Notable, true) => style.fg(Color::Yellow),
            (Mark::Bad, true) => style.fg(Color::Red),
            (Mark::Bad, false) => style.add_modifier(Modifier::BOLD),
        }
    }
}

/// Which rows are shown, where it is not all of them.
fn part_of(first: usize, shown: usize, rows: usize) -> String {
    if rows <= shown {
        return String::new();
    }
    format!(" {}-{} of {rows} ", first + 1, first + shown)
}

/// Takes rows off the top.
fn take(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let top = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    top
}

fn too_small(frame: &mut Frame<'_>, area: Rect) {
    let (columns, rows) = LEAST;
    let text = format!("`guard top` needs {columns} columns and {rows} rows; q quits");
    let lines = Paragraph::new(text).wrap(ratatui::widgets::Wrap { trim: true });
    frame.render_widget(lines, area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let inner = HELP.iter().map(|line| width(line)).max().unwrap_or(0) as u16;
    let size = (
        (inner + 4).min(area.width),
        (HELP.len() as u16 + 2).min(area.height),
    );
    let area = Rect {
        x: area.x + (area.width - size.0) / 2,
        y: area.y + (area.height - size.1) / 2,
        width: size.0,
        height: size.1,
    };
    let columns = usize::from(area.width) - 4;
    let lines = HELP
        .iter()
        .map(|line| Line::raw(format!(" {}", cut(line, columns))));
    frame.render_widget(Clear, area);
    let page =
        Paragraph::new(lines.collect::<Vec<_>>()).block(Block::bordered().title(" guard top "));
    frame.render_widget(page, area);
}

#[cfg(test)]
mod tests;
