use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, style::Color};

use super::{super::fixtures, *};

fn picture() -> Picture {
    let [old, new] = fixtures::looks();
    Picture::between(Some(&old), &new)
}

fn draw(view: &View<'_>, controls: &mut Controls, (columns, rows): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).expect("a terminal");
    let drawn = terminal.draw(|frame| view.draw(frame, controls));
    drawn.expect("a frame").buffer.clone()
}

/// The lines of the screen, without the spaces at their ends.
fn lines(buffer: &Buffer) -> Vec<String> {
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    rows.map(|row| {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        line.trim_end().to_owned()
    })
    .collect()
}

fn shown(picture: &Picture, size: (u16, u16)) -> Vec<String> {
    let view = View {
        picture,
        failure: None,
        colours: true,
    };
    lines(&draw(&view, &mut Controls::default(), size))
}

#[test]
fn everything_is_on_a_screen_of_80_by_24() {
    let lines = shown(&picture(), (80, 24));
    let expected = [
        " guard 0.1.0 · enforce · up 2h05m · 1 banned",
        " warning: (1 more in `guard status`) 192.0.2.0/24 is denied and holds 192.0.2.1…",
        "▸INTERFACES         ",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\n{expected}");
    }
    let screen = lines.join("\n");
    for expected in [
        " eth0             native          12.3k   12.3M   52.0k   3.12M   1.23M    452k",
        " wan-very-long-0  NOT ATTACHED        0       0       0       0       0      10",
        " limit_packets     drop           52.0k   3.12M    452k   27.1M",
        " pass              pass           12.3k   12.3M   1.23M    988M",
        " 203.0.113.66               51.2k   3.07M    100%  ban               ban 54s",
        " 2001:db8:1234:5678::/64    10.2k   9.83M     25%  limit_connections",
        " 198.51.100.7               1.23k   73.7k      0%  pass",
        " orders        8443,9000-… required, reset plaintext_served 3, encrypted 12.3k…",
        " metrics       9797        off             -",
        r" 22:13:20 orders:8080 <- 192.0.2.9:40000 http1 plaintext reset: GET /\u{1b}[2J…",
        " q quit  Tab next pane  ↑↓ scroll  p pause  ? help",
    ] {
        assert!(screen.contains(expected), "{screen}\n\n{expected}");
    }
}

#[test]
fn every_size_has_every_heading_or_says_what_it_needs() {
    let picture = picture();
    for (columns, rows) in [
        (60, 14),
        (61, 15),
        (80, 24),
        (100, 30),
        (132, 50),
        (250, 100),
    ] {
        let lines = shown(&picture, (columns, rows));
        for head in ["INTERFACES", "REASONS", "TOP TALKERS", "SERVICES", "EVENTS"] {
            let starts = lines.iter().filter(|line| {
                line[..]
                    .trim_start_matches('▸')
                    .trim_start()
                    .starts_with(head)
            });
            assert_eq!(starts.count(), 1, "{head} at {columns}x{rows}");
        }
        assert!(lines[usize::from(rows) - 1].contains("q quit"));
    }
    for size in [(59, 24), (80, 13), (20, 5), (1, 1)] {
        let text = shown(&picture, size).join(" ");
        assert!(!text.contains("INTERFACES"), "{text}");
    }
    let small = shown(&picture, (40, 3)).join(" ");
    assert!(small.contains("needs 60 columns and 14 rows"), "{small}");
}

#[test]
fn a_larger_screen_shows_more() {
    let picture = picture();
    let events = |size| {
        let lines = shown(&picture, size);
        lines
            .iter()
            .filter(|line| line.contains("22:13:20"))
            .count()
    };
    assert!(events((80, 24)) >= 3);
    assert_eq!(events((80, 60)), 30);
}

#[test]
fn the_pane_in_focus_grows_and_scrolls() {
    let picture = picture();
    let view = View {
        picture: &picture,
        failure: None,
        colours: true,
    };
    let mut controls = Controls {
        focus: 4,
        ..Controls::default()
    };
    let before = lines(&draw(&view, &mut controls, (80, 24)));
    let head = before.iter().position(|line| line.starts_with("▸EVENTS"));
    let head = head.expect("the events are in focus");
    let rows = 24 - 1 - (head + 1);
    assert!(
        before[head].ends_with(&format!("1-{rows} of 30")),
        "{}",
        before[head]
    );
    controls.scrolled[4] = 2;
    let after = lines(&draw(&view, &mut controls, (80, 24)));
    assert!(
        after[head].ends_with(&format!("3-{} of 30", rows + 2)),
        "{}",
        after[head]
    );
    assert_eq!(before[head + 3], after[head + 1]);
    controls.scrolled[4] = usize::MAX;
    let end = lines(&draw(&view, &mut controls, (80, 24)));
    assert!(end[22].contains("192.0.2.9:0 "), "{}", end[22]);
}

#[test]
fn an_agent_that_went_away_is_told_first() {
    let picture = picture();
    let view = View {
        picture: &picture,
        failure: Some("no agent answers on /run/guard/guard.sock (refused)"),
        colours: true,
    };
    let mut controls = Controls {
        paused: true,
        help: true,
        ..Controls::default()
    };
    let buffer = draw(&view, &mut controls, (80, 24));
    let lines = lines(&buffer);
    assert!(lines[0].ends_with("PAUSED"), "{}", lines[0]);
    assert_eq!(
        lines[1],
        " no agent answers on /run/guard/guard.sock (refused); trying again"
    );
    let screen = lines.join("\n");
    assert!(screen.contains("hold the picture, and go on"), "{screen}");
    assert!(screen.contains("from one packet"), "{screen}");
}

#[test]
fn in_dry_run_what_is_refused_is_called_what_it_would_be() {
    let mut picture = picture();
    picture.mode = "dry-run".to_owned();
    let lines = shown(&picture, (80, 24));
    assert!(lines[0].contains("· dry-run ·"), "{}", lines[0]);
    assert!(lines[2].contains("would drop"), "{}", lines[2]);
}

#[test]
fn an_idle_agent_has_a_word_in_each_pane() {
    let mut picture = picture();
    picture.reasons.clear();
    picture.talkers.clear();
    picture.events.clear();
    picture.warnings.clear();
    let screen = shown(&picture, (80, 24)).join("\n");
    for words in ["no packet yet", "nobody sends enough", "nothing found yet"] {
        assert!(screen.contains(words), "{screen}");
    }
}

#[test]
fn without_colours_there_is_not_one() {
    let picture = picture();
    let coloured = |colours| {
        let view = View {
            picture: &picture,
            failure: None,
            colours,
        };
        let buffer = draw(&view, &mut Controls::default(), (80, 24));
        let mut cells = buffer.content.iter();
        cells.any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    };
    assert!(coloured(true));
    assert!(!coloured(false));
}
