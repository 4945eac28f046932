//! Draws the chat screen: conversations left, the open one right, the line to write in and the truth about the link below.
//!
//! On a narrow terminal the list gives way to the conversation, and comes in front while it has the focus.

mod list;
mod panel;
mod timeline;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Position, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, Paragraph};

use super::app::{App, Focus, Notice};
use super::cells::{cut, fit, harmless_line, width};
use super::intent::Link;

/// Fewer columns have no room for two panes.
const WIDE_COLUMNS: u16 = 64;
const LIST_COLUMNS: u16 = 30;
const INPUT_LINES_MAX: usize = 6;
pub const MIN_COLUMNS: u16 = 20;
pub const MIN_LINES: u16 = 6;

const DIM: Style = Style::new().fg(Color::DarkGray);
const ACCENT: Style = Style::new().fg(Color::Cyan);
const GOOD: Style = Style::new().fg(Color::Green);
const WARN: Style = Style::new().fg(Color::Yellow);
const BAD: Style = Style::new().fg(Color::Red);

/// Also holds the scroll position to what there is.
pub fn draw(frame: &mut Frame, app: &mut App) {
    let area = frame.area();
    if area.width < MIN_COLUMNS || area.height < MIN_LINES {
        frame.render_widget(Paragraph::new(app.lang.pick("窗口太小", "too small")), area);
        return;
    }
    let prompt = prompt(app);
    let input_columns = usize::from(area.width).saturating_sub(width(&prompt) + 1);
    let (input_lines, cursor) = app.input.shown(input_columns);
    let input_height = input_lines.len().clamp(1, INPUT_LINES_MAX.min(usize::from(area.height) / 3));
    let [main, notice, input, status] =
        Layout::vertical([Constraint::Fill(1), Constraint::Length(1), Constraint::Length(input_height as u16), Constraint::Length(1)])
            .areas(area);

    draw_main(frame, app, main);
    frame.render_widget(Paragraph::new(notice_line(app, notice.width.into())), notice);
    let first = (cursor.1 + 1).saturating_sub(input_height);
    draw_input(frame, &prompt, &input_lines[first..], input);
    frame.render_widget(Paragraph::new(status_line(app, status.width.into())), status);
    if app.focus == Focus::Input {
        let column = (width(&prompt) + cursor.0) as u16;
        frame.set_cursor_position(Position::new(input.x + column.min(input.width - 1), input.y + (cursor.1 - first) as u16));
    }
}

fn draw_main(frame: &mut Frame, app: &mut App, area: Rect) {
    let is_list_alone = app.focus == Focus::List || (app.open.is_none() && app.panel.is_none());
    let rest = match (area.width >= WIDE_COLUMNS, is_list_alone) {
        (true, _) => {
            let [left, right] = Layout::horizontal([Constraint::Length(LIST_COLUMNS), Constraint::Fill(1)]).areas(area);
            let block = Block::new().borders(Borders::RIGHT).border_style(DIM);
            let inside = block.inner(left);
            frame.render_widget(block, left);
            list::draw(frame, app, inside);
            right
        }
        (false, true) => return list::draw(frame, app, area),
        (false, false) => area,
    };
    match app.panel {
        Some(_) => {
            frame.render_widget(Clear, rest);
            panel::draw(frame, app, rest);
        }
        None => timeline::draw(frame, app, rest),
    }
}

fn prompt(app: &App) -> String {
    match app.open.as_ref().and_then(|open| open.selected) {
        Some(seq) => format!("#{seq} > "),
        None => "> ".to_owned(),
    }
}

fn draw_input(frame: &mut Frame, prompt: &str, lines: &[String], area: Rect) {
    let indent = " ".repeat(width(prompt));
    let shown = lines.iter().enumerate().map(|(at, line)| {
        let head = if at == 0 { prompt } else { &indent };
        // The writer's own text; what was pasted or a draft may hold anything.
        Line::from(vec![Span::styled(head.to_owned(), ACCENT), Span::raw(line.clone())])
    });
    frame.render_widget(Paragraph::new(shown.collect::<Vec<_>>()), area);
}

fn notice_line(app: &App, columns: usize) -> Line<'static> {
    let (text, style) = match (&app.notice, app.choices.is_empty()) {
        (Some(Notice::Error(text)), _) => (format!("✗ {text}"), BAD),
        (_, false) => (app.choices.join("  "), ACCENT),
        (Some(Notice::Info(text)), true) => (text.clone(), GOOD),
        (None, true) => match key_hint(app) {
            Some(hint) => (hint.to_owned(), DIM),
            None => return Line::styled("─".repeat(columns), DIM),
        },
    };
    Line::styled(cut(&harmless_line(&text), columns), style)
}

/// What to press while nothing can be written to anybody. A panel brings its own.
fn key_hint(app: &App) -> Option<&'static str> {
    let lang = app.lang;
    match (app.focus, &app.panel, &app.open) {
        (Focus::List, ..) => Some(lang.pick("↑↓ 选择会话 · 回车打开 · Tab 返回输入", "↑↓ choose · Enter opens · Tab back to writing")),
        (Focus::Input, None, None) => {
            Some(lang.pick("Tab 到会话列表 · / 开头是命令 · F1 帮助", "Tab: to the list · / begins a command · F1 help"))
        }
        _ => None,
    }
}

fn status_line(app: &App, columns: usize) -> Line<'static> {
    let lang = app.lang;
    let (text, style) = match &app.link {
        Link::Connecting => (lang.pick("连接中…", "connecting…").to_owned(), WARN),
        Link::Updating => (lang.pick("更新中…", "updating…").to_owned(), WARN),
        Link::Online => (lang.pick("在线", "online").to_owned(), GOOD),
        Link::Offline { retry_at_ms, .. } => {
            let seconds = (retry_at_ms - app.now_ms).max(0).saturating_add(999) / 1_000;
            (format!("{} {seconds} s", lang.pick("离线，重试于", "offline, retry in")), BAD)
        }
        Link::Ended { code } => (format!("{} ({code})", Link::advice(code, lang)), BAD),
    };
    let text = cut(&harmless_line(&text), columns.saturating_sub(2));
    let right = format!("{} · F1 {}", harmless_line(&app.nickname), lang.pick("帮助", "help"));
    let left = width(&text) + 2;
    let right = cut(&right, columns.saturating_sub(left + 1));
    let gap = columns.saturating_sub(left + width(&right));
    Line::from(vec![Span::styled("● ", style), Span::styled(text, style), Span::raw(" ".repeat(gap)), Span::styled(right, DIM)])
}

/// A heading over a pane.
fn heading(text: &str, columns: usize) -> Line<'static> {
    Line::styled(fit(text, columns), Style::new().bold().underlined())
}

/// A name keeps its colour.
fn colour_of(uid: i64) -> Color {
    const COLOURS: [Color; 6] = [Color::Blue, Color::Magenta, Color::Yellow, Color::LightBlue, Color::LightMagenta, Color::LightRed];
    COLOURS[uid.unsigned_abs() as usize % COLOURS.len()]
}
