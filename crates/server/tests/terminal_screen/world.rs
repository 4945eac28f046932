//! A chat with a bit of everything in it, and how it is looked at.

use ratatui::Terminal;
use ratatui::backend::{Backend, TestBackend};
use ratatui::buffer::Buffer;
use skein_sdk::{Item, Person, v1};
use skein_server::terminal::intent::{Link, Update};
use skein_server::terminal::lang::Lang;
use skein_server::terminal::time::Zone;
use skein_server::terminal::view;

pub use skein_server::terminal::app::App;

pub const ME: i64 = 1;
pub const GROUP: i64 = 10;
pub const BO: i64 = 11;
const WANG: i64 = 12;
const ROOM: i64 = 13;
/// 2026-11-21 10:30 UTC.
pub const NOW: i64 = 1_795_257_000_000;
const MINUTE: i64 = 60_000;

pub fn message(conversation: i64, seq: i64, author: i64, text: &str) -> v1::MessageState {
    v1::MessageState {
        conversation,
        seq,
        at_ms: NOW - (30 - seq) * MINUTE,
        author,
        body: Some(skein_sdk::text(text)),
        ..v1::MessageState::default()
    }
}

fn conversation(id: i64, kind: v1::ConversationKind, title: &str, me: v1::Membership, last: v1::MessageState) -> v1::Conversation {
    let mut conversation = v1::Conversation {
        id,
        title: title.into(),
        me: Some(me),
        last: Some(last),
        members: 3,
        peer_read: 1,
        peer_delivered: 2,
        ..v1::Conversation::default()
    };
    conversation.set_kind(kind);
    conversation
}

/// Logged in as Ann, on line, with a group open.
pub fn app(lang: Lang) -> App {
    use v1::ConversationKind::{Direct, Group, Room};
    let mut app = App::new(lang, Zone::default());
    app.now_ms = NOW;
    app.update(Update::Me { uid: ME, nickname: "Ann".into() });
    app.update(Update::Link(Link::Online));
    let person = |uid, nickname: &str, remark: &str| Person { uid, nickname: nickname.into(), remark: Some(remark.into()) };
    app.update(Update::People(vec![person(2, "wang", "老王 (老同学)"), person(3, "Bo", ""), person(4, "小红", "")]));
    let mut mention = message(GROUP, 8, 2, "");
    mention.body = Some(mentioning(ME, " 八点在东门见，别迟到！记得带水和雨衣 👍🏽"));
    let me = |unread: i64| v1::Membership { unread, read: 5, ..v1::Membership::default() };
    let mut direct = conversation(WANG, Direct, "", v1::Membership { pinned: true, ..me(0) }, message(WANG, 4, 2, "照片我发你邮箱了"));
    direct.peer = 2;
    let mut bo = conversation(BO, Direct, "", v1::Membership { muted: true, ..me(2) }, message(BO, 7, 3, "see you on Monday"));
    bo.peer = 3;
    let group = conversation(GROUP, Group, "周末爬山", me(3), mention.clone());
    let room = conversation(
        ROOM,
        Room,
        "rust 大厅",
        v1::Membership { draft: "half a thought".into(), ..me(0) },
        message(ROOM, 2, 4, "谁有经验？"),
    );
    app.update(Update::Conversations(vec![direct, group, bo, room]));
    app.open(GROUP);
    app.update(Update::Lines { conversation: GROUP, items: lines(mention), has_more: false, position: 0 });
    app
}

fn mentioning(uid: i64, text: &str) -> v1::Body {
    let parts = [v1::segment::Part::Mention(v1::Mention { uid }), v1::segment::Part::Text(text.into())];
    v1::Body { segments: parts.map(|part| v1::Segment { part: Some(part) }).into(), ..skein_sdk::text("") }
}

fn lines(mention: v1::MessageState) -> Vec<Item> {
    use v1::entry::Event;
    let event = |seq, author, event| v1::Entry {
        conversation: GROUP,
        seq,
        at_ms: NOW - (30 - seq) * MINUTE,
        author,
        event: Some(event),
        ..v1::Entry::default()
    };
    let mut edited = message(GROUP, 3, 2, "明天天气不错，去爬香山怎么样？");
    edited.edited_at_ms = edited.at_ms + MINUTE;
    edited.reactions = vec![v1::Reaction { emoji: "👍".into(), uids: vec![ME, 4] }, v1::Reaction { emoji: "❤️".into(), uids: vec![3] }];
    let mut recalled = message(GROUP, 4, 4, "");
    (recalled.body, recalled.recalled) = (None, true);
    let mut reply = message(GROUP, 5, ME, "好啊！Count me in, I bring tea and sandwiches for everybody.");
    reply.reply_to = 3;
    vec![
        Item::Event(event(1, ME, Event::Joined(v1::MembersJoined { uids: vec![4] }))),
        Item::Event(event(2, ME, Event::Info(v1::InfoChanged { title: Some("周末爬山".into()), ..v1::InfoChanged::default() }))),
        Item::Message(edited),
        Item::Message(recalled),
        Item::Message(reply),
        Item::Message(message(GROUP, 6, 4, "我也去 🎉")),
        Item::Message(message(GROUP, 7, 4, "See https://example.org/hills")),
        Item::Message(mention),
    ]
}

fn terminal(app: &mut App, columns: u16, lines: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("a terminal in memory");
    terminal.draw(|frame| view::draw(frame, app)).expect("drawing in memory");
    terminal
}

pub fn screen(app: &mut App, columns: u16, lines: u16) -> Buffer {
    terminal(app, columns, lines).backend().buffer().clone()
}

pub fn cursor(app: &mut App, columns: u16, lines: u16) -> (u16, u16) {
    let position = terminal(app, columns, lines).backend_mut().get_cursor_position().expect("a cursor");
    (position.x, position.y)
}

/// As a reader sees it: a wide character once.
pub fn rows(app: &mut App, columns: u16, lines: u16) -> Vec<String> {
    let buffer = screen(app, columns, lines);
    (0..lines)
        .map(|y| {
            let mut row = String::new();
            let mut x = 0;
            while x < columns {
                let symbol = buffer[(x, y)].symbol();
                row.push_str(symbol);
                x += skein_server::terminal::cells::width(symbol).max(1) as u16;
            }
            row.trim_end().to_owned()
        })
        .collect()
}
