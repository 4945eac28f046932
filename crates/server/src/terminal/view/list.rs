//! The list of conversations: two lines each, as many as there is room for around the chosen one.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use skein_sdk::{text_of, v1};

use super::{ACCENT, BAD, DIM, WARN, heading};
use crate::terminal::app::{App, Focus, unread};
use crate::terminal::cells::{cut, fit, harmless_line, width};

const LINES_EACH: usize = 2;

pub fn draw(frame: &mut Frame, app: &App, area: Rect) {
    let columns = usize::from(area.width);
    let total: i64 = app.conversations.iter().filter(|known| !is_muted(known)).map(unread).sum();
    let title = match total {
        0 => app.lang.pick("会话", "Conversations").to_owned(),
        _ => format!("{} ({total})", app.lang.pick("会话", "Conversations")),
    };
    let mut lines = vec![heading(&title, columns)];
    if app.conversations.is_empty() {
        let hint = app.lang.pick("还没有会话。/add 加好友，/group 建群", "nothing yet: /add a friend, /group");
        lines.extend(crate::terminal::cells::wrap(&[(hint.to_owned(), DIM)], columns));
    }
    let room = usize::from(area.height).saturating_sub(1) / LINES_EACH;
    let chosen = chosen_row(app);
    let first = (chosen + 1).saturating_sub(room.max(1));
    for (row, conversation) in app.conversations.iter().enumerate().skip(first).take(room) {
        let is_open = app.open.as_ref().is_some_and(|open| open.id == conversation.id);
        let style = match (row == chosen && app.focus == Focus::List, is_open) {
            (true, _) => Style::new().add_modifier(Modifier::REVERSED),
            (false, true) => Style::new().bold(),
            (false, false) => Style::new(),
        };
        lines.push(head(app, conversation, columns).patch_style(style));
        lines.push(preview(app, conversation, columns).patch_style(style));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn chosen_row(app: &App) -> usize {
    let open = app.open.as_ref().and_then(|open| app.conversations.iter().position(|known| known.id == open.id));
    match app.focus {
        Focus::List => app.list_row,
        Focus::Input => open.unwrap_or(0),
    }
}

/// Pin, title, time.
fn head(app: &App, conversation: &v1::Conversation, columns: usize) -> Line<'static> {
    let me = conversation.me.clone().unwrap_or_default();
    let mark = match conversation.kind() {
        _ if me.pinned => "▲",
        v1::ConversationKind::Group => "+",
        v1::ConversationKind::Room => "#",
        _ => " ",
    };
    let at_ms = conversation.last.as_ref().map_or(conversation.created_at_ms, |last| last.at_ms);
    let time = app.zone.short(at_ms, app.now_ms);
    let title = fit(&harmless_line(&app.title(conversation)), columns.saturating_sub(width(&time) + 3));
    Line::from(vec![Span::styled(format!("{mark} "), ACCENT), Span::raw(title), Span::styled(format!(" {time}"), DIM)])
}

/// What is being written, or the last message; and how much is unread.
fn preview(app: &App, conversation: &v1::Conversation, columns: usize) -> Line<'static> {
    let me = conversation.me.clone().unwrap_or_default();
    let count = match (me.unread, me.muted) {
        (0, false) => String::new(),
        (0, true) => "∅".to_owned(),
        (count, false) => format!("({})", if count > 999 { "999+".to_owned() } else { count.to_string() }),
        (count, true) => format!("∅{count}"),
    };
    let mut spans = vec![Span::raw("  ")];
    let mut room = columns.saturating_sub(2 + width(&count) + 1);
    if app.mentioned.contains(&conversation.id) {
        let mark = cut(app.lang.pick("[@我] ", "[@you] "), room);
        room -= width(&mark);
        spans.push(Span::styled(mark, BAD));
    }
    let is_open = app.open.as_ref().is_some_and(|open| open.id == conversation.id);
    let (text, style) = match () {
        () if app.typing_in(conversation.id).is_some() => (app.lang.pick("正在输入…", "is typing…").to_owned(), ACCENT),
        () if !me.draft.is_empty() && !is_open => (format!("{}{}", app.lang.pick("[草稿] ", "[draft] "), me.draft), WARN),
        () => (last_line(app, conversation), DIM),
    };
    spans.push(Span::styled(fit(&harmless_line(&text), room), style));
    spans.push(Span::styled(format!(" {count}"), if me.muted { DIM } else { Style::new().fg(ratatui::style::Color::Green).bold() }));
    Line::from(spans)
}

fn last_line(app: &App, conversation: &v1::Conversation) -> String {
    let Some(last) = &conversation.last else {
        return String::new();
    };
    let text = match &last.body {
        Some(body) => text_of(body),
        None => app.lang.pick("撤回了一条消息", "took a message back").to_owned(),
    };
    let names_author = conversation.kind() != v1::ConversationKind::Direct || last.author == app.me;
    if names_author { format!("{}: {text}", app.name(last.author)) } else { text }
}

fn is_muted(conversation: &v1::Conversation) -> bool {
    conversation.me.as_ref().is_some_and(|me| me.muted)
}
