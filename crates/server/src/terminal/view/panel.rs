//! Lists over the timeline: friends, requests, rooms, members, people that were found, devices; and the help page.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;
use skein_sdk::{DeviceClass, v1};

use super::{DIM, heading};
use crate::terminal::app::{App, Panel};
use crate::terminal::cells::{cut, fit, harmless_line, width, wrap};
use crate::terminal::command::TABLE;
use crate::terminal::lang::Lang;

pub fn draw(frame: &mut Frame, app: &App, area: Rect) {
    let Some(panel) = &app.panel else {
        return;
    };
    let columns = usize::from(area.width);
    let (title, hint) = title(app, panel);
    let mut lines = vec![heading(&title, columns)];
    let hints = wrap(&[(hint.to_owned(), DIM)], columns);
    let room = usize::from(area.height).saturating_sub(1 + hints.len());
    let rows = rows(app, panel, columns);
    if rows.is_empty() {
        lines.push(Line::styled(app.lang.pick("（空）", "(none)").to_owned(), DIM));
    }
    let is_list = !matches!(panel, Panel::Help);
    let first = if is_list { (app.row + 1).saturating_sub(room) } else { app.row.min(rows.len().saturating_sub(room)) };
    for (at, row) in rows.into_iter().enumerate().skip(first).take(room) {
        let is_chosen = is_list && at == app.row;
        lines.push(if is_chosen { row.patch_style(Style::new().add_modifier(Modifier::REVERSED)) } else { row });
    }
    let fill = usize::from(area.height).saturating_sub(lines.len() + hints.len());
    lines.extend(std::iter::repeat_n(Line::default(), fill));
    lines.extend(hints);
    frame.render_widget(Paragraph::new(lines), area);
}

fn title(app: &App, panel: &Panel) -> (String, &'static str) {
    let lang = app.lang;
    let (title, hint) = match panel {
        Panel::Help => (lang.pick("帮助", "Help"), lang.pick("↑↓ 翻页 · Esc 返回", "↑↓ scroll · Esc back")),
        Panel::Friends(_) => (
            lang.pick("好友", "Friends"),
            lang.pick("回车聊天 · F3 好友申请 · /add 加好友 · Esc 返回", "Enter: chat · F3: requests · /add · Esc back"),
        ),
        Panel::Requests(_) => (
            lang.pick("好友申请", "Friend requests"),
            lang.pick("回车接受 · Delete 拒绝 · Esc 返回", "Enter: accept · Delete: decline · Esc back"),
        ),
        Panel::Blocked(_) => (lang.pick("黑名单", "Blocked"), lang.pick("回车取消拉黑 · Esc 返回", "Enter: unblock · Esc back")),
        Panel::Rooms(_) => {
            (lang.pick("房间", "Rooms"), lang.pick("回车加入 · /room 创建 · Esc 返回", "Enter: join · /room creates one · Esc back"))
        }
        Panel::Members { .. } => {
            (lang.pick("成员", "Members"), lang.pick("回车聊天 · /invite /remove · Esc 返回", "Enter: chat · /invite /remove · Esc back"))
        }
        Panel::Found(_) => {
            (lang.pick("找到的用户", "People found"), lang.pick("回车申请加好友 · Esc 返回", "Enter: ask for friendship · Esc back"))
        }
        Panel::Devices(_) => {
            (lang.pick("登录的设备", "Devices"), lang.pick("/end <编号> 下线 · Esc 返回", "/end <number> ends one · Esc back"))
        }
    };
    (title.to_owned(), hint)
}

fn rows(app: &App, panel: &Panel, columns: usize) -> Vec<Line<'static>> {
    let lang = app.lang;
    let row = |name: &str, note: &str| two_columns(name, note, columns);
    match panel {
        Panel::Help => help(app, columns),
        Panel::Friends(friends) | Panel::Blocked(friends) => {
            let name = |friend: &v1::Friend| match friend.remark.as_str() {
                "" => friend.nickname.clone(),
                remark => format!("{remark} ({})", friend.nickname),
            };
            let note =
                |friend: &v1::Friend| format!("#{}{}", friend.uid, if friend.blocked { lang.pick(" 已拉黑", " blocked") } else { "" });
            friends.iter().map(|friend| row(&name(friend), &note(friend))).collect()
        }
        Panel::Requests(requests) => requests.iter().map(|request| request_row(app, request, columns)).collect(),
        Panel::Rooms(rooms) => rooms.iter().map(|room| row(&room.title, &format!("{} · #{}", room.members, room.conversation))).collect(),
        Panel::Members { members, .. } => {
            let role = |member: &v1::Member| match member.role() {
                v1::Role::Owner => lang.pick("群主 ", "owner "),
                v1::Role::Admin => lang.pick("管理员 ", "admin "),
                v1::Role::Member | v1::Role::Unspecified => "",
            };
            let name = |member: &v1::Member| match app.people.get(&member.uid) {
                Some(person) if !person.name().is_empty() => person.name().to_owned(),
                _ => member.nickname.clone(),
            };
            members.iter().map(|member| row(&name(member), &format!("{}#{}", role(member), member.uid))).collect()
        }
        Panel::Found(profiles) => profiles
            .iter()
            .map(|profile| row(&format!("{}  {}", profile.nickname, profile.signature), &format!("#{}", profile.uid)))
            .collect(),
        Panel::Devices(devices) => devices
            .iter()
            .map(|device| {
                let this = if device.current { lang.pick("（本机）", " (this one)") } else { "" };
                let seen = app.zone.short(device.seen_at, app.now_ms);
                row(&format!("{}  {} {}{this}", device.session, class(device.device_class, lang), device.client), &seen)
            })
            .collect(),
    }
}

fn class(class: DeviceClass, lang: Lang) -> &'static str {
    match class {
        DeviceClass::Desktop => lang.pick("桌面", "desktop"),
        DeviceClass::Web => lang.pick("网页", "web"),
        DeviceClass::Mobile => lang.pick("手机", "mobile"),
        DeviceClass::Cli => lang.pick("终端", "terminal"),
    }
}

fn request_row(app: &App, request: &v1::FriendRequest, columns: usize) -> Line<'static> {
    let lang = app.lang;
    let state = match request.state() {
        v1::RequestState::Accepted => lang.pick("已接受", "accepted"),
        v1::RequestState::Declined => lang.pick("已拒绝", "declined"),
        _ if request.to == app.me => lang.pick("待处理", "waits for you"),
        _ => lang.pick("等待对方", "waits for them"),
    };
    let name = match request.nickname.as_str() {
        "" => app.name(if request.to == app.me { request.from } else { request.to }),
        nickname => nickname.to_owned(),
    };
    let arrow = if request.to == app.me { "←" } else { "→" };
    two_columns(&format!("{arrow} {name}  {}", request.greeting), state, columns)
}

fn two_columns(left: &str, right: &str, columns: usize) -> Line<'static> {
    let right = cut(&harmless_line(right), columns / 2);
    let left = fit(&harmless_line(left), columns.saturating_sub(width(&right) + 1));
    Line::from(vec![Span::raw(left), Span::styled(format!(" {right}"), DIM)])
}

fn help(app: &App, columns: usize) -> Vec<Line<'static>> {
    let lang = app.lang;
    let keys = [
        ("Enter", lang.pick("发送", "send")),
        ("Alt+Enter, Ctrl+J", lang.pick("换行", "new line")),
        ("Tab", lang.pick("补全命令；空行时去会话列表", "complete a command; on an empty line: to the list")),
        ("Ctrl+↑ Ctrl+↓", lang.pick("上一个／下一个会话", "conversation above, below")),
        ("PgUp PgDn", lang.pick("翻看消息", "scroll")),
        ("Shift+↑ Shift+↓", lang.pick("选择消息（也可 Ctrl+P、Ctrl+N）", "select a message (also Ctrl+P, Ctrl+N)")),
        ("↑ ↓", lang.pick("写过的内容", "what you wrote before")),
        ("F2 F3 F4 F5", lang.pick("好友、申请、房间、成员", "friends, requests, rooms, members")),
        ("Esc", lang.pick("返回", "back")),
        ("Ctrl+C", lang.pick("退出", "quit")),
    ];
    let left = (columns / 2).min(28);
    let row = |name: &str, meaning: &str| {
        Line::from(vec![Span::raw(fit(name, left)), Span::styled(cut(&format!(" {meaning}"), columns.saturating_sub(left)), DIM)])
    };
    let legend =
        lang.pick("▲ 置顶  ∅ 免打扰  + 群聊  # 房间  ✓ 已发送  ✓✓ 已送达", "▲ pinned  ∅ muted  + group  # room  ✓ sent  ✓✓ delivered");
    let mut rows: Vec<Line<'static>> = keys.iter().map(|(key, meaning)| row(key, meaning)).collect();
    rows.push(Line::styled(cut(legend, columns), DIM));
    rows.extend(TABLE.iter().map(|help| row(&help.usage(), help.meaning(lang))));
    rows
}
