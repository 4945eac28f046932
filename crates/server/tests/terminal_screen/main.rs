//! The chat screen as it is drawn: states in, cells out. No network, no clock, no terminal.

mod picture;
mod world;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use skein_sdk::{Echo, EchoState, Item, Person, v1};
use skein_server::terminal::app::{Focus, Panel};
use skein_server::terminal::intent::{Intent, Link, Update};
use skein_server::terminal::lang::Lang;
use world::{App, BO, GROUP, ME, app, message, rows, screen};

fn press(app: &mut App, code: KeyCode) -> Vec<Intent> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn write(app: &mut App, text: &str) {
    for character in text.chars() {
        press(app, KeyCode::Char(character));
    }
}

fn submit(app: &mut App, text: &str) -> Vec<Intent> {
    write(app, text);
    press(app, KeyCode::Enter)
}

fn shows(app: &mut App, columns: u16, text: &str) -> bool {
    rows(app, columns, 24).iter().any(|row| row.contains(text))
}

#[test]
fn the_list_tells_unread_mentions_pins_mutes_and_drafts() {
    let mut app = app(Lang::En);
    app.open = None;
    let list = rows(&mut app, 100, 24);
    let row = |text: &str| list.iter().find(|row| row.contains(text)).unwrap_or_else(|| panic!("{text} in {list:#?}"));
    assert!(row("老王 (老同学)").starts_with("▲"), "remark first, pinned");
    assert!(row("[@you]").contains("(3)"));
    assert!(row("∅2").contains("see you"));
    assert!(row("[draft]").contains("half a"));
    assert!(row("Conversations").contains("(3)"), "muted ones do not count");
}

#[test]
fn both_languages_are_drawn() {
    for (lang, conversations, state) in [(Lang::Zh, "会话", "在线"), (Lang::En, "Conversations", "online")] {
        let mut app = app(lang);
        assert!(shows(&mut app, 100, conversations) && shows(&mut app, 100, state));
    }
}

#[test]
fn own_messages_tell_how_far_they_got() {
    let mut app = app(Lang::En);
    let echo = |key: &str, state| {
        Item::Pending(Echo { conversation: BO, key: key.into(), body: skein_sdk::text(key), reply_to: 0, created_at_ms: world::NOW, state })
    };
    app.open(BO);
    let items = vec![
        Item::Message(message(BO, 1, ME, "was read")),
        Item::Message(message(BO, 2, ME, "was delivered")),
        Item::Message(message(BO, 3, ME, "was sent")),
        echo("is sending", EchoState::Waiting),
        echo("was refused", EchoState::Failed { code: "not_accepted".into() }),
    ];
    app.update(Update::Lines { conversation: BO, items, has_more: false, position: 3 });
    for text in
        ["was read ✓✓ read", "was delivered ✓✓", "was sent ✓", "is sending … sending", "was refused ✗ they do not take your messages"]
    {
        assert!(shows(&mut app, 120, text), "{text}");
    }
    app.update(Update::Link(Link::Offline { retry_at_ms: app.now_ms + 7_200, reason: String::new() }));
    assert!(shows(&mut app, 120, "is sending … waits for the network"));
    assert!(shows(&mut app, 120, "offline, retry in 8 s"));
    assert_eq!(submit(&mut app, "/retry"), [Intent::Retry("was refused".into())]);
}

#[test]
fn edits_recalls_reactions_replies_and_events_show() {
    let mut app = app(Lang::En);
    let screen = rows(&mut app, 100, 40).join("\n");
    for text in
        ["(edited)", "message was taken back", "👍2", "┃ 老王", "invited 小红", "named it 周末爬山", "new messages", "2026-11-21", "@you"]
    {
        assert!(screen.contains(text), "{text} in\n{screen}");
    }
}

#[test]
fn forty_columns_show_one_pane_and_break_nothing() {
    let mut app = app(Lang::Zh);
    let conversation = rows(&mut app, 40, 24);
    assert!(conversation[0].contains("周末爬山"));
    assert!(!conversation.iter().any(|row| row.contains("▲")), "no list beside it");
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.focus, Focus::List);
    assert!(rows(&mut app, 40, 24).iter().any(|row| row.contains("▲")), "the list comes in front");
}

/// A wide character takes its cell and the next; none hangs over an edge or into a border.
#[test]
fn wide_characters_stay_in_their_columns_at_every_width() {
    let mut app = app(Lang::Zh);
    write(&mut app, "我们明天早上八点在东门见👨‍👩‍👧吧，然后一起坐车");
    for columns in 20..110 {
        let buffer = screen(&mut app, columns, 24);
        for y in 0..24 {
            let mut x = 0;
            while x < columns {
                let width = skein_server::terminal::cells::width(buffer[(x, y)].symbol()).max(1) as u16;
                assert!(x + width <= columns, "{:?} at {x},{y} of {columns}", buffer[(x, y)].symbol());
                x += width;
            }
            if columns >= 64 {
                assert!(["│", " "].contains(&buffer[(29, y)].symbol()) || y > 18, "border at {columns}: {:?}", buffer[(29, y)].symbol());
            }
        }
    }
}

#[test]
fn the_cursor_stands_behind_what_was_written() {
    for (text, column) in [("", 2), ("ab", 4), ("你好", 6), ("你好a👍", 9)] {
        let mut app = app(Lang::Zh);
        write(&mut app, text);
        assert_eq!(world::cursor(&mut app, 80, 24), (column, 22), "{text}");
    }
}

#[test]
fn no_hostile_text_reaches_a_cell() {
    let evil = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}moc.live\u{200f}\r\n\x08\u{2066}x";
    let mut app = app(Lang::En);
    app.update(Update::People(vec![Person { uid: 7, nickname: evil.into(), remark: None }]));
    app.nickname = evil.into();
    for conversation in &mut app.conversations {
        conversation.title = evil.into();
        conversation.announcement = evil.into();
        conversation.last = Some(message(conversation.id, 9, 7, evil));
        if let Some(me) = conversation.me.as_mut() {
            me.draft = evil.into();
        }
    }
    let mut strange = message(GROUP, 2, 7, "");
    strange.body = Some(v1::Body { kind: "card".into(), fallback: evil.into(), ..v1::Body::default() });
    strange.reactions = vec![v1::Reaction { emoji: evil.into(), uids: vec![1] }];
    let mut reply = message(GROUP, 3, 7, evil);
    reply.reply_to = 1;
    let info = v1::InfoChanged { title: Some(evil.into()), announcement: Some(evil.into()), ..v1::InfoChanged::default() };
    let event = v1::Entry { conversation: GROUP, seq: 4, author: 7, event: Some(v1::entry::Event::Info(info)), ..v1::Entry::default() };
    let items = vec![Item::Message(message(GROUP, 1, 7, evil)), Item::Message(strange), Item::Message(reply), Item::Event(event)];
    app.update(Update::Lines { conversation: GROUP, items, has_more: false, position: 4 });
    app.update(Update::Typing { conversation: GROUP, uid: 7 });
    app.paste(evil);
    let panels = [
        None,
        Some(Panel::Friends(vec![v1::Friend { uid: 7, nickname: evil.into(), remark: evil.into(), ..v1::Friend::default() }])),
        Some(Panel::Requests(vec![v1::FriendRequest {
            from: 7,
            greeting: evil.into(),
            nickname: evil.into(),
            ..v1::FriendRequest::default()
        }])),
        Some(Panel::Rooms(vec![v1::RoomInfo { title: evil.into(), ..v1::RoomInfo::default() }])),
        Some(Panel::Members { conversation: GROUP, members: vec![v1::Member { uid: 8, nickname: evil.into(), ..v1::Member::default() }] }),
        Some(Panel::Found(vec![v1::Profile { nickname: evil.into(), signature: evil.into(), ..v1::Profile::default() }])),
    ];
    for panel in panels {
        app.panel = panel;
        for failed in [false, true] {
            let update = if failed { Update::Failed { code: evil.into(), message: evil.into() } } else { Update::Notice(evil.into()) };
            app.update(update);
            app.link = Link::Ended { code: evil.into() };
            for cell in &screen(&mut app, 100, 40).content {
                let is_harmless =
                    |c: char| !c.is_control() && !matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                assert!(cell.symbol().chars().all(is_harmless), "{:?}", cell.symbol());
            }
        }
    }
}

#[test]
fn sending_needs_an_open_conversation_and_keeps_the_line_if_there_is_none() {
    let mut app = app(Lang::En);
    app.open = None;
    assert_eq!(submit(&mut app, "hello"), []);
    assert_eq!(app.input.text(), "hello");
    assert!(shows(&mut app, 80, "open a conversation first"));
    app.open(GROUP);
    app.input.clear();
    let intents = submit(&mut app, "hi @老王 (老同学)!");
    let [Intent::Send { conversation: GROUP, body, reply_to: 0 }] = intents.as_slice() else {
        panic!("{intents:?}");
    };
    assert_eq!(skein_sdk::text_of(body), "hi @2!");
    assert!(app.input.is_empty());
}

#[test]
fn commands_act_on_the_selected_message_or_the_newest_that_fits() {
    let mut app = app(Lang::En);
    assert_eq!(submit(&mut app, "/recall"), [Intent::Recall { conversation: GROUP, target: 5 }], "mine");
    assert_eq!(
        submit(&mut app, "/react 👍"),
        [Intent::React { conversation: GROUP, target: 8, emoji: "👍".into(), on: true }],
        "of others"
    );
    app.key(KeyEvent::new(KeyCode::Up, KeyModifiers::SHIFT));
    app.key(KeyEvent::new(KeyCode::Up, KeyModifiers::SHIFT));
    let selected = app.open.as_ref().and_then(|open| open.selected).expect("a selection");
    assert!(shows(&mut app, 80, &format!("#{selected} >")));
    assert_eq!(submit(&mut app, "/unreact 👍"), [Intent::React { conversation: GROUP, target: selected, emoji: "👍".into(), on: false }]);
    assert!(matches!(submit(&mut app, "/reply #3 ok").as_slice(), [Intent::Send { reply_to: 3, .. }]));
}

#[test]
fn names_stand_for_people_and_ambiguous_ones_are_asked_about() {
    let mut app = app(Lang::En);
    assert_eq!(submit(&mut app, "/invite 小红 #9"), [Intent::Invite { conversation: GROUP, uids: vec![4, 9] }]);
    app.update(Update::People(vec![Person { uid: 44, nickname: "小红".into(), remark: None }]));
    assert_eq!(submit(&mut app, "/block 小红"), []);
    assert!(shows(&mut app, 100, "several have this name"));
    assert_eq!(app.input.text(), "/block 小红", "what was typed stays");
    app.input.clear();
    assert_eq!(submit(&mut app, "/dance"), []);
    assert!(shows(&mut app, 100, "no such command: /dance"));
}

#[test]
fn opening_another_conversation_keeps_the_draft_of_this_one() {
    let mut app = app(Lang::En);
    write(&mut app, "not yet");
    let intents = app.open(BO);
    assert_eq!(intents, [Intent::Draft { conversation: GROUP, text: "not yet".into() }, Intent::Load(BO)]);
    assert_eq!(app.input.text(), "");
    app.open(GROUP);
    assert_eq!(app.input.text(), "not yet");
}

#[test]
fn what_is_on_screen_is_read_and_what_is_above_is_not() {
    let mut app = app(Lang::En);
    let lines = |position| Update::Lines {
        conversation: GROUP,
        items: vec![Item::Message(message(GROUP, position, 2, "x"))],
        has_more: false,
        position,
    };
    assert_eq!(app.update(lines(20)), [Intent::MarkRead { conversation: GROUP, seq: 20 }]);
    assert_eq!(app.update(lines(20)), [], "once");
    app.open.as_mut().expect("open").scroll = 5;
    assert_eq!(app.update(lines(21)), []);
    app.open.as_mut().expect("open").scroll = 0;
    assert_eq!(press(&mut app, KeyCode::PageDown), [Intent::MarkRead { conversation: GROUP, seq: 21 }]);
}

#[test]
fn scrolling_up_stops_at_the_top_and_asks_for_older_lines() {
    let mut app = app(Lang::En);
    let items: Vec<Item> = (1..=60).map(|seq| Item::Message(message(GROUP, seq, 2, &format!("line {seq}")))).collect();
    app.update(Update::Lines { conversation: GROUP, items, has_more: true, position: 60 });
    assert!(shows(&mut app, 80, "line 60"));
    assert_eq!(press(&mut app, KeyCode::PageUp), [Intent::LoadOlder { conversation: GROUP, count: 110 }]);
    assert_eq!(press(&mut app, KeyCode::PageUp), [], "one request at a time");
    for _ in 0..50 {
        press(&mut app, KeyCode::PageUp);
    }
    assert!(shows(&mut app, 80, "line 1") && !shows(&mut app, 80, "line 60"));
    press(&mut app, KeyCode::PageDown);
    assert!(!shows(&mut app, 80, "2026-11-21"), "no overshoot to scroll back through");
}

#[test]
fn lists_are_chosen_from() {
    let mut app = app(Lang::En);
    let request = |id, from, to| {
        let mut request =
            v1::FriendRequest { id, from, to, nickname: format!("user {from}"), greeting: "你好".into(), ..v1::FriendRequest::default() };
        request.set_state(v1::RequestState::Pending);
        request
    };
    app.update(Update::Requests(vec![request(1, ME, 9), request(2, 8, ME)]));
    assert!(shows(&mut app, 80, "← user 8  你好") && shows(&mut app, 80, "waits for you"));
    assert_eq!(press(&mut app, KeyCode::Enter), [], "my own request is theirs to answer");
    press(&mut app, KeyCode::Down);
    assert_eq!(press(&mut app, KeyCode::Enter), [Intent::Answer { request: 2, accept: true }]);
    assert_eq!(press(&mut app, KeyCode::Delete), [Intent::Answer { request: 2, accept: false }]);
    assert_eq!(submit(&mut app, "/accept"), [Intent::Answer { request: 2, accept: true }]);
    press(&mut app, KeyCode::Esc);
    assert!(app.panel.is_none());
    app.update(Update::Rooms(vec![v1::RoomInfo { conversation: 70, title: "大厅".into(), ..v1::RoomInfo::default() }]));
    assert_eq!(press(&mut app, KeyCode::Enter), [Intent::JoinRoom(70)]);
    assert_eq!(submit(&mut app, "/join 大厅"), [Intent::JoinRoom(70)]);
}

#[test]
fn help_lists_every_command() {
    let mut app = app(Lang::En);
    press(&mut app, KeyCode::Char('?'));
    let page = rows(&mut app, 100, 70).join("\n");
    for help in skein_server::terminal::command::TABLE {
        assert!(page.contains(&help.usage()), "{}", help.name);
    }
}

#[test]
fn what_to_press_is_told_before_a_conversation_is_open() {
    for (lang, list, opens, first) in
        [(Lang::Zh, "Tab 到会话列表", "回车打开", "/add 邮箱"), (Lang::En, "Tab: to the list", "Enter opens", "/add <e-mail>")]
    {
        for columns in [40, 100] {
            let mut app = app(lang);
            assert!(!shows(&mut app, columns, list), "not while there is somebody to write to");
            app.open = None;
            assert!(shows(&mut app, columns, list), "{lang:?} {columns}");
            press(&mut app, KeyCode::Tab);
            assert!(shows(&mut app, columns, opens), "{lang:?} {columns}");
            press(&mut app, KeyCode::Enter);
            assert!(app.open.is_some() && !shows(&mut app, columns, opens));
        }
        let mut newcomer = App::new(lang, skein_server::terminal::time::Zone::default());
        assert!(shows(&mut newcomer, 100, first), "{lang:?}");
    }
}

#[test]
fn a_failure_is_gone_once_something_succeeds_and_not_before() {
    let mut app = app(Lang::En);
    app.update(Update::Failed { code: "recall_window".into(), message: String::new() });
    assert!(shows(&mut app, 100, "✗ too late, it can no longer be recalled"));
    // What the screen does by itself says nothing about what the user wanted.
    let by_itself = [
        Intent::MarkRead { conversation: GROUP, seq: 1 },
        Intent::Typing(GROUP),
        Intent::LoadOlder { conversation: GROUP, count: 1 },
        Intent::Draft { conversation: GROUP, text: String::new() },
    ];
    assert!(by_itself.iter().all(|intent| !intent.is_asked_for()) && Intent::ShowFriends.is_asked_for());
    app.update(Update::Synced);
    assert!(shows(&mut app, 100, "too late"), "it had nothing to do with the network");
    app.update(Update::Done);
    assert!(!shows(&mut app, 100, "too late"));

    app.update(Update::Notice("saved".into()));
    app.update(Update::Done);
    assert!(shows(&mut app, 100, "saved"), "good news stays");
    app.update(Update::Failed { code: "not_connected".into(), message: String::new() });
    app.update(Update::Synced);
    assert!(!shows(&mut app, 100, "off line"), "on line again");
}

#[test]
fn whoever_makes_a_group_has_created_it_and_invited_the_others() {
    use v1::entry::Event;
    for (lang, alone, with) in [
        (Lang::En, "you created the group", "老王 (老同学) created the group with Bo, 小红"),
        (Lang::Zh, "我 创建了群聊", "老王 (老同学) 创建了群聊，邀请了 Bo、小红"),
    ] {
        let mut app = app(lang);
        let joined = |seq, author, uids: &[i64]| {
            let event = Some(Event::Joined(v1::MembersJoined { uids: uids.to_vec() }));
            Item::Event(v1::Entry { conversation: GROUP, seq, author, event, at_ms: world::NOW, ..v1::Entry::default() })
        };
        let items = vec![joined(1, ME, &[ME]), joined(2, 2, &[2, 3, 4]), joined(3, ME, &[4])];
        app.update(Update::Lines { conversation: GROUP, items, has_more: false, position: 3 });
        assert!(shows(&mut app, 110, alone) && shows(&mut app, 110, with), "{:#?}", rows(&mut app, 110, 24));
        assert!(shows(&mut app, 110, lang.pick("我 邀请了 小红", "you invited 小红")), "later ones are invited");
    }
}

#[test]
fn a_paste_that_is_too_long_leaves_what_was_written() {
    let mut app = app(Lang::En);
    write(&mut app, "my draft ");
    app.paste(&"长".repeat(6_000));
    assert_eq!(app.input.text(), "my draft ");
    assert!(shows(&mut app, 100, "✗ too long, nothing was inserted: a message holds 16 KiB"));
    app.paste("of it");
    assert_eq!(submit(&mut app, "").len(), 1);
    assert!(!shows(&mut app, 100, "too long"));
}

#[test]
fn whoever_is_barred_is_told_whom_to_ask() {
    for (lang, advice) in [(Lang::Zh, "账号已被停用，请联系管理员"), (Lang::En, "this account was disabled; ask the operator")]
    {
        let mut app = app(lang);
        app.update(Update::Link(Link::Ended { code: "disabled".into() }));
        assert!(shows(&mut app, 110, advice), "{lang:?}");
        app.update(Update::Synced);
        assert!(shows(&mut app, 110, advice), "a late page brings nobody back");
        app.update(Update::Link(Link::Online));
        app.update(Update::Failed { code: "disabled".into(), message: String::new() });
        assert!(shows(&mut app, 110, advice), "{lang:?}");
        app.update(Update::Link(Link::Ended { code: "logged_out".into() }));
        assert!(shows(&mut app, 110, lang.pick("请重新登录", "log in again")));
    }
}

#[test]
fn one_word_for_reactions() {
    let words: Vec<&str> =
        skein_server::terminal::command::TABLE.iter().filter(|help| help.name.ends_with("react")).map(|help| help.zh).collect();
    assert_eq!(words, ["表态", "取消表态"]);
}
