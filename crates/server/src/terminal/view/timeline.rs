//! The open conversation, drawn from its end upwards: only what is seen is laid out.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use skein_sdk::{EchoState, Item, text_of, v1};

use super::{ACCENT, BAD, DIM, GOOD, colour_of, heading};
use crate::terminal::app::{App, Open};
use crate::terminal::cells::{cut, harmless, harmless_line, width, wrap};
use crate::terminal::intent::Link;
use crate::terminal::time::Day;

/// Messages of one author within this time stand under one name.
const TOGETHER_MS: i64 = 5 * 60_000;
const INDENT: usize = 2;
const FIRST_STEPS: (&str, &str) = (
    "还没有会话。\n/add 邮箱 加好友，/group 标题 建群，/rooms 看公开房间。\n? 查看帮助。",
    "Nothing here yet.\n/add <e-mail> asks for friendship, /group <title> makes a group, /rooms lists the public rooms.\n? shows help.",
);
const HOW_TO_OPEN: (&str, &str) = (
    "打开一个会话就可以开始聊天。\n按 Tab 到左边的列表，↑↓ 选择，回车打开；或输入 /open 标题。\n写字时 Tab 补全命令和名字。? 查看帮助。",
    "Open a conversation to chat.\nTab goes to the list, ↑↓ choose, Enter opens; or type /open <title>.\nWhile you write a command, Tab completes it. ? shows help.",
);

pub fn draw(frame: &mut Frame, app: &mut App, area: Rect) {
    let [top, main] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(title(app, top.width.into())), top);
    let Some(open) = &app.open else {
        let hint = match app.conversations.is_empty() {
            true => app.lang.pick(FIRST_STEPS.0, FIRST_STEPS.1),
            false => app.lang.pick(HOW_TO_OPEN.0, HOW_TO_OPEN.1),
        };
        frame.render_widget(Paragraph::new(wrap(&[(hint.to_owned(), DIM)], main.width.into())), main);
        return;
    };
    let (lines, scroll) = lay_out(app, open, main.width.into(), main.height.into());
    let fill = usize::from(main.height).saturating_sub(lines.len()) as u16;
    let [_, text] = Layout::vertical([Constraint::Length(fill), Constraint::Fill(1)]).areas(main);
    frame.render_widget(Paragraph::new(lines), text);
    if let Some(open) = app.open.as_mut() {
        open.scroll = scroll;
    }
}

fn title(app: &App, columns: usize) -> Line<'static> {
    let Some(conversation) = app.current() else {
        return heading("Skein", columns);
    };
    let mut text = app.title(conversation);
    if conversation.kind() != v1::ConversationKind::Direct {
        text.push_str(&format!(" ({})", conversation.members));
    }
    if let Some(name) = app.typing_in(conversation.id) {
        text.push_str(&format!(" · {name} {}", app.lang.pick("正在输入…", "is typing…")));
    } else if conversation.muted_all {
        text.push_str(&format!(" · {}", app.lang.pick("全员禁言", "all are silenced")));
    } else if !conversation.announcement.is_empty() {
        text.push_str(&format!(" · {}", conversation.announcement));
    }
    heading(&harmless_line(&text), columns)
}

/// The lines that are seen, and the scroll position held to what there is.
fn lay_out(app: &App, open: &Open, columns: usize, height: usize) -> (Vec<Line<'static>>, usize) {
    // Bottom line first.
    let mut upwards: Vec<Line<'static>> = Vec::new();
    let mut scroll = open.scroll;
    let mut is_selection_found = open.selected.is_none();
    for at in (0..open.items.len()).rev() {
        if is_selection_found && upwards.len() >= scroll + height {
            break;
        }
        let block = block(app, open, at, columns);
        let bottom = upwards.len();
        upwards.extend(block.into_iter().rev());
        if open.selected.is_some() && open.items[at].seq() == open.selected {
            is_selection_found = true;
            let top = upwards.len();
            // The whole message if it fits, its head if not.
            scroll = scroll.min(bottom).max(top.saturating_sub(height));
        }
    }
    if open.items.is_empty() {
        let text =
            if open.is_loading { app.lang.pick("读取中…", "loading…") } else { app.lang.pick("还没有消息", "no messages yet") };
        upwards.push(Line::styled(text.to_owned(), DIM));
    }
    let scroll = scroll.min(upwards.len().saturating_sub(height));
    let mut seen: Vec<Line<'static>> = upwards.into_iter().skip(scroll).take(height).collect();
    seen.reverse();
    (seen, scroll)
}

/// An item with what stands over it.
fn block(app: &App, open: &Open, at: usize, columns: usize) -> Vec<Line<'static>> {
    let item = &open.items[at];
    let before = at.checked_sub(1).map(|before| &open.items[before]);
    let mut lines = Vec::new();
    let day = day_of(app, item);
    let is_new_day = before.is_none_or(|before| day_of(app, before) != day);
    if is_new_day {
        lines.push(rule(&day.text(), columns, DIM));
    }
    let is_first_new = is_new(app, open, item) && !before.is_some_and(|before| is_new(app, open, before));
    if is_first_new {
        lines.push(rule(app.lang.pick("以下是新消息", "new messages"), columns, BAD));
    }
    let is_together = !is_new_day && !is_first_new && before.is_some_and(|before| stand_together(before, item, app.me));
    match item {
        Item::Message(message) => lines.extend(message_lines(app, open, message, is_together, columns)),
        Item::Pending(echo) => lines.extend(echo_lines(app, open, echo, is_together, columns)),
        Item::Event(entry) => lines.extend(event_lines(app, entry, columns)),
    }
    lines
}

fn at_ms(item: &Item) -> i64 {
    match item {
        Item::Message(message) => message.at_ms,
        Item::Event(entry) => entry.at_ms,
        Item::Pending(echo) => echo.created_at_ms,
    }
}

fn day_of(app: &App, item: &Item) -> Day {
    app.zone.day(at_ms(item))
}

/// Of others, behind what I had read.
fn is_new(app: &App, open: &Open, item: &Item) -> bool {
    matches!(item, Item::Message(message) if message.seq > open.read_before && message.author != app.me)
}

fn stand_together(before: &Item, item: &Item, me: i64) -> bool {
    let author = |item: &Item| match item {
        Item::Message(message) => Some(message.author),
        Item::Pending(_) => Some(me),
        Item::Event(_) => None,
    };
    author(before).is_some() && author(before) == author(item) && at_ms(item) - at_ms(before) < TOGETHER_MS
}

fn rule(text: &str, columns: usize, style: Style) -> Line<'static> {
    let text = format!(" {} ", cut(text, columns.saturating_sub(4)));
    let side = columns.saturating_sub(width(&text)) / 2;
    let rest = columns.saturating_sub(side + width(&text));
    Line::styled(format!("{}{text}{}", "─".repeat(side), "─".repeat(rest)), style)
}

fn name_line(app: &App, uid: i64, at_ms: i64, columns: usize) -> Line<'static> {
    let name = cut(&harmless_line(&app.name(uid)), columns.saturating_sub(8));
    let style = if uid == app.me { GOOD } else { Style::new().fg(colour_of(uid)) };
    Line::from(vec![Span::styled(name, style.bold()), Span::styled(format!("  {}", app.zone.clock(at_ms)), DIM)])
}

fn message_lines(app: &App, open: &Open, message: &v1::MessageState, is_together: bool, columns: usize) -> Vec<Line<'static>> {
    let is_selected = open.selected == Some(message.seq);
    let mut lines = Vec::new();
    if !is_together || is_selected {
        lines.push(name_line(app, message.author, message.at_ms, columns));
    }
    lines.extend(quote(app, open, message.reply_to, columns));
    let mut body = match &message.body {
        Some(body) if !message.recalled => body_parts(app, body),
        _ => vec![(app.lang.pick("消息已撤回", "message was taken back").to_owned(), DIM.italic())],
    };
    if message.edited_at_ms > 0 && !message.recalled {
        body.push((app.lang.pick(" （已编辑）", " (edited)").to_owned(), DIM));
    }
    if let Some(mark) = own_mark(app, message) {
        body.push((format!(" {mark}"), DIM));
    }
    lines.extend(indented(&body, columns));
    lines.extend(reactions(app, message, columns));
    if is_selected {
        lines = lines.into_iter().map(|line| line.patch_style(Style::new().add_modifier(Modifier::REVERSED))).collect();
    }
    lines
}

fn echo_lines(app: &App, open: &Open, echo: &skein_sdk::Echo, is_together: bool, columns: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if !is_together {
        lines.push(name_line(app, app.me, echo.created_at_ms, columns));
    }
    lines.extend(quote(app, open, echo.reply_to, columns));
    let mut body = body_parts(app, &echo.body);
    body.push(match &echo.state {
        EchoState::Waiting if app.link == Link::Online => (format!(" … {}", app.lang.pick("发送中", "sending")), DIM),
        EchoState::Waiting => (format!(" … {}", app.lang.pick("联网后发送", "waits for the network")), DIM),
        EchoState::Acked { .. } => (" ✓".to_owned(), DIM),
        EchoState::Failed { code } => (format!(" ✗ {} · /retry /discard", harmless_line(&app.reason(code, ""))), BAD),
    });
    lines.extend(indented(&body, columns));
    lines
}

/// Segments of a body in their styles, made harmless.
fn body_parts(app: &App, body: &v1::Body) -> Vec<(String, Style)> {
    if body.kind != "text" {
        return vec![(harmless(&text_of(body)), Style::new())];
    }
    let parts = body.segments.iter().filter_map(|segment| segment.part.as_ref());
    let styled = parts.map(|part| match part {
        v1::segment::Part::Text(text) => (harmless(text), Style::new()),
        v1::segment::Part::Link(link) => (harmless_line(link), Style::new().underlined()),
        v1::segment::Part::Mention(mention) => {
            let name = if mention.uid == 0 { app.lang.pick("所有人", "all").to_owned() } else { app.name(mention.uid) };
            let style = if mention.uid == app.me || mention.uid == 0 { BAD.bold() } else { ACCENT };
            (format!("@{}", harmless_line(&name)), style)
        }
    });
    styled.collect()
}

fn indented(parts: &[(String, Style)], columns: usize) -> Vec<Line<'static>> {
    let mut lines = wrap(parts, columns.saturating_sub(INDENT));
    for line in &mut lines {
        line.spans.insert(0, Span::raw(" ".repeat(INDENT)));
    }
    lines
}

/// How far my message got.
fn own_mark(app: &App, message: &v1::MessageState) -> Option<&'static str> {
    if message.author != app.me || message.recalled {
        return None;
    }
    let conversation = app.conversation(message.conversation)?;
    Some(match () {
        () if conversation.kind() != v1::ConversationKind::Direct => "✓",
        () if conversation.peer_read >= message.seq => app.lang.pick("✓✓ 已读", "✓✓ read"),
        () if conversation.peer_delivered >= message.seq => "✓✓",
        () => "✓",
    })
}

fn quote(app: &App, open: &Open, reply_to: i64, columns: usize) -> Option<Line<'static>> {
    if reply_to == 0 {
        return None;
    }
    let original = open.items.iter().find_map(|item| match item {
        Item::Message(message) if message.seq == reply_to => Some(message),
        _ => None,
    });
    let text = match original {
        None => format!("#{reply_to}"),
        Some(message) => {
            let body = message.body.as_ref().map_or_else(|| app.lang.pick("消息已撤回", "message was taken back").to_owned(), text_of);
            format!("{}: {body}", app.name(message.author))
        }
    };
    Some(Line::styled(format!("  ┃ {}", cut(&harmless_line(&text), columns.saturating_sub(INDENT + 2))), DIM))
}

fn reactions(app: &App, message: &v1::MessageState, columns: usize) -> Vec<Line<'static>> {
    if message.reactions.is_empty() {
        return Vec::new();
    }
    let parts = message.reactions.iter().map(|reaction| {
        let style = if reaction.uids.contains(&app.me) { ACCENT.bold() } else { DIM };
        (format!("{}{} ", harmless_line(&reaction.emoji), reaction.uids.len()), style)
    });
    indented(&parts.collect::<Vec<_>>(), columns)
}

fn event_lines(app: &App, entry: &v1::Entry, columns: usize) -> Vec<Line<'static>> {
    let Some(text) = event_text(app, entry) else {
        return Vec::new();
    };
    let lines = wrap(&[(harmless_line(&text), DIM)], columns.saturating_sub(2));
    lines.into_iter().map(Line::centered).collect()
}

/// `None`: it shows in the messages themselves.
fn event_text(app: &App, entry: &v1::Entry) -> Option<String> {
    use v1::entry::Event;
    let lang = app.lang;
    let author = app.name(entry.author);
    let names = |uids: &[i64]| uids.iter().map(|uid| app.name(*uid)).collect::<Vec<_>>().join(lang.pick("、", ", "));
    Some(match entry.event.as_ref()? {
        Event::Joined(joined) if is_group(app, entry.conversation) && joined.uids.contains(&entry.author) => {
            let invited: Vec<i64> = joined.uids.iter().copied().filter(|uid| *uid != entry.author).collect();
            let with =
                if invited.is_empty() { String::new() } else { format!("{}{}", lang.pick("，邀请了 ", " with "), names(&invited)) };
            format!("{author} {}{with}", lang.pick("创建了群聊", "created the group"))
        }
        Event::Joined(joined) if joined.uids == [entry.author] => format!("{author} {}", lang.pick("加入了", "joined")),
        Event::Joined(joined) => format!("{author} {} {}", lang.pick("邀请了", "invited"), names(&joined.uids)),
        Event::Left(left) if left.uid == entry.author => format!("{author} {}", lang.pick("离开了", "left")),
        Event::Left(left) => format!("{author} {} {}", lang.pick("移出了", "removed"), app.name(left.uid)),
        Event::Role(role) => {
            let name = match role.role() {
                v1::Role::Owner => lang.pick("群主", "owner"),
                v1::Role::Admin => lang.pick("管理员", "admin"),
                v1::Role::Member | v1::Role::Unspecified => lang.pick("成员", "member"),
            };
            format!("{} {} {name}", app.name(role.uid), lang.pick("现在是", "is now"))
        }
        Event::Info(info) => info_text(app, &author, info)?,
        Event::Muted(muted) if muted.until_ms == 0 => format!("{} {}", app.name(muted.uid), lang.pick("可以发言了", "may send again")),
        Event::Muted(muted) => {
            let until = app.zone.clock(muted.until_ms);
            format!("{} {} {until}", app.name(muted.uid), lang.pick("被禁言至", "is silenced until"))
        }
        Event::Message(_) | Event::Edited(_) | Event::Recalled(_) | Event::Reacted(_) => return None,
    })
}

/// Nobody joins a group alone: whoever is among those they brought has made it.
fn is_group(app: &App, conversation: i64) -> bool {
    app.conversation(conversation).is_some_and(|known| known.kind() == v1::ConversationKind::Group)
}

fn info_text(app: &App, author: &str, info: &v1::InfoChanged) -> Option<String> {
    let lang = app.lang;
    let mut facts = Vec::new();
    if let Some(title) = &info.title {
        facts.push(format!("{}{title}", lang.pick("改标题为 ", "named it ")));
    }
    if let Some(text) = &info.announcement {
        facts.push(format!("{}{text}", lang.pick("公告：", "announced: ")));
    }
    if let Some(on) = info.muted_all {
        let fact = if on {
            lang.pick("开启了全员禁言", "silenced everybody")
        } else {
            lang.pick("解除了全员禁言", "let everybody speak")
        };
        facts.push(fact.to_owned());
    }
    (!facts.is_empty()).then(|| format!("{author} {}", facts.join(" · ")))
}
