//! Rows as a table of text, and on the terminal.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};

use super::sample::{Order, Row, View};

const TITLES: [&str; 11] = [
    "core",
    "streams",
    "share",
    "lagging",
    "busy",
    "publishes/s",
    "deliveries/s",
    "sent/s",
    "p99",
    "accepts/s",
    "refused/s",
];

/// What the lower edge says.
pub(super) const KEYS: &str =
    "sort: c core  s streams  d deliveries  b busy  l lagging  p p99   + - pace   q quit";

/// A number with its thousand, million or billion.
pub(super) fn short(value: f64) -> String {
    // Four digits are short enough.
    let units = [(1e9, 1e9, "G"), (1e6, 1e6, "M"), (9_995.0, 1e3, "k")];
    match units.iter().find(|(from, ..)| value >= *from) {
        Some((_, size, unit)) => format!("{:.1}{unit}", value / size),
        None if value < 10.0 && value.fract() > 0.05 => format!("{value:.1}"),
        None => format!("{value:.0}"),
    }
}

fn latency(us: Option<u64>) -> String {
    match us {
        None => "-".to_owned(),
        Some(u64::MAX) => ">30 s".to_owned(),
        Some(us) if us < 1_000 => format!("{us} us"),
        Some(us) => format!("{} ms", short(us as f64 / 1_000.0)),
    }
}

/// The cells of a row, as wide as they are.
pub(super) fn cells(row: &Row) -> [String; 11] {
    [
        row.core.map_or("all".to_owned(), |core| core.to_string()),
        row.streams.to_string(),
        format!("{:.0} %", row.share * 100.0),
        row.lagging.to_string(),
        format!("{:.0} %", row.busy * 100.0),
        short(row.publishes),
        short(row.deliveries),
        format!("{}B", short(row.sent_bytes)),
        latency(row.p99_us),
        short(row.accepts),
        short(row.refusals),
    ]
}

/// One line of what concerns all cores.
pub(super) fn summary(view: &View) -> String {
    let streams = view.total.streams;
    let per = view.rss.checked_div(streams).unwrap_or_default();
    let each = if streams >= 1_000 { format!(" ({per} B a stream)") } else { String::new() };
    format!(
        "{streams} streams  {} users  {} channels  {} MiB{each}  up {:.0} s",
        view.users,
        view.channels,
        view.rss >> 20,
        view.uptime_s
    )
}

/// The whole as text, for `--once`.
pub(super) fn text(view: &View) -> String {
    let rows = view.rows.iter().chain([&view.total]).map(cells);
    let all: Vec<[String; 11]> = [TITLES.map(str::to_owned)].into_iter().chain(rows).collect();
    let width = |at: usize| all.iter().map(|row| row[at].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..TITLES.len()).map(width).collect();
    let mut text = summary(view) + "\n";
    for row in &all {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
        text += &(cells.collect::<Vec<_>>().join("  ") + "\n");
    }
    for hint in &view.hints {
        text += &format!("! {hint}\n");
    }
    text
}

/// Draws the screen. `note` is what went wrong with the last look.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, order: Order, note: &str) {
    let hints = u16::try_from(view.hints.len() + usize::from(!note.is_empty())).unwrap_or(4).min(8);
    let areas = Layout::vertical([
        Constraint::Length(2),
        Constraint::Min(3),
        Constraint::Length(hints),
        Constraint::Length(1),
    ])
    .split(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let head = Line::from(vec![Span::styled("ringcast  ", bold), Span::raw(summary(view))]);
    frame.render_widget(Paragraph::new(head), areas[0]);
    let sorted = Order::ALL.iter().find(|(_, known, _)| *known == order).map_or("", |one| one.2);
    let titles = TITLES.map(|title| {
        let style = if title == sorted { bold.add_modifier(Modifier::UNDERLINED) } else { bold };
        Cell::from(Line::styled(title, style).right_aligned())
    });
    let line = |row: &Row| {
        let cells = cells(row).map(|cell| Cell::from(Line::raw(cell).right_aligned()));
        let busy = if row.busy > 0.9 { Style::new().fg(Color::Red) } else { Style::new() };
        TableRow::new(cells).style(if row.core.is_none() { bold } else { busy })
    };
    let rows = view.rows.iter().chain([&view.total]).map(line);
    let widths =
        TITLES.map(|title| Constraint::Length(u16::try_from(title.len()).unwrap_or(9).max(7)));
    let table = Table::new(rows, widths).header(TableRow::new(titles)).column_spacing(2);
    frame.render_widget(table, areas[1]);
    let warn = Style::new().fg(Color::Yellow);
    let notes = view.hints.iter().map(String::as_str).chain([note]).filter(|hint| !hint.is_empty());
    let notes: Vec<Line<'_>> = notes.map(|hint| Line::styled(format!("! {hint}"), warn)).collect();
    frame.render_widget(Paragraph::new(notes), areas[2]);
    frame.render_widget(Paragraph::new(KEYS), areas[3]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn view() -> View {
        let row = |core, streams| Row {
            core: Some(core),
            streams,
            share: streams as f64 / 5_000.0,
            busy: 0.42,
            deliveries: 1_234_567.0,
            sent_bytes: 98_765.0,
            p99_us: Some(2_500),
            ..Row::default()
        };
        let total = Row { streams: 5_000, share: 1.0, ..Row::default() };
        let hints = vec!["core 1 holds 80 % of all streams".to_owned()];
        View {
            rows: vec![row(0, 1_000), row(1, 4_000)],
            total,
            hints,
            rss: 5 << 20,
            ..View::default()
        }
    }

    #[test]
    fn text_has_a_line_a_core_and_one_for_all() {
        let text = text(&view());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 6);
        assert!(lines[0].contains("5000 streams") && lines[0].contains("5 MiB (1048 B a stream)"));
        let words: Vec<&str> = lines[2].split_whitespace().collect();
        assert_eq!(words[..5], ["0", "1000", "20", "%", "0"]);
        assert!(
            lines[2].contains("1.2M") && lines[2].contains("98.8kB") && lines[2].contains("2.5 ms")
        );
        assert!(lines[4].trim_start().starts_with("all"));
        assert_eq!(lines[5], "! core 1 holds 80 % of all streams");
        assert_eq!(lines[1].len(), lines[4].len(), "aligned");
    }

    #[test]
    fn the_screen_shows_the_same_and_survives_any_size() {
        for (width, height) in [(120, 20), (80, 24), (20, 5), (1, 1)] {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
            let drawn = terminal.draw(|frame| draw(frame, &view(), Order::Busy, "no answer"));
            drawn.expect("drawn");
            if width < 100 {
                continue;
            }
            let cells = terminal.backend().buffer().content();
            let shown: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
            for part in ["5000 streams", "4000", "1.2M", "! core 1 holds", "! no answer", "q quit"]
            {
                assert!(shown.contains(part), "{part}: {shown}");
            }
        }
    }

    #[test]
    fn numbers_are_short() {
        let all = [0.0, 0.4, 9.96, 999.0, 9_994.0, 9_995.0, 1_500_000.0, 2e10].map(short);
        assert_eq!(all, ["0", "0.4", "10.0", "999", "9994", "10.0k", "1.5M", "20.0G"]);
    }
}
