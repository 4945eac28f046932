//! Each request becomes one command, and each reply the JSON that `skein.proto` names.

use super::script::*;
use serde_json::{Value, json};
use skein_domain::account::{CodePurpose, DeviceClass, Profile, ProfileChange};
use skein_domain::body::{Body, Segment};
use skein_domain::command::*;
use skein_domain::contact::{Friend, FriendRequest, RequestState};
use skein_domain::conversation::{Conversation, ConversationView, Kind, Member, Role, RoomInfo};
use skein_domain::delivery::UserEvent;
use skein_domain::entry::{Entry, EntryEvent, HistoryPage, MessageState, Reaction};
use skein_domain::id::*;
use skein_domain::port::CometAddress;
use std::sync::{Arc, Mutex};

/// Asks, expects `command` at the door, answers `reply`, and expects `wanted` (null: 204 without a body).
async fn maps(line: &str, body: Value, command: Command, reply: Reply, wanted: Value) {
    let script = on_command(move |_| Ok(reply.clone()));
    let answer = ask(&app(&script), line, body).await;
    assert_eq!(script.commands(), [command], "{line}: {}", answer.text);
    if wanted.is_null() {
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""), "{line}");
    } else {
        assert_eq!(answer.status, 200, "{line}");
        assert_eq!(answer.json(), wanted, "{line}");
    }
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

const BIG: i64 = (1 << 53) - 1;

fn member() -> Member {
    Member {
        conversation: ConversationId(5),
        uid: Uid(7),
        role: Role::Owner,
        visible_from: Seq(1),
        visible_to: None,
        join_count: CountNo(0),
        read: Seq(8),
        read_count: CountNo(6),
        delivered: Seq(9),
        pinned: true,
        muted: false,
        draft: "dr".into(),
        silenced_until: Millis(0),
        revision: Revision(99),
    }
}

fn membership() -> Value {
    json!({"role": "owner", "visible_from": "1", "read": "8", "unread": "3", "pinned": true, "muted": false, "draft": "dr", "silenced_until_ms": "0"})
}

fn view() -> ConversationView {
    let conversation = Conversation {
        id: ConversationId(5),
        shard: Shard(0),
        kind: Kind::Group,
        title: "team".into(),
        announcement: String::new(),
        owner: Some(Uid(7)),
        head: Seq(12),
        head_revision: Revision(98),
        head_at: Millis(1_000),
        count: CountNo(9),
        floor: Seq(0),
        policy_version: PolicyVersion(4),
        muted_all: false,
        members: 3,
        created_at: Millis(500),
    };
    ConversationView { conversation, me: member(), unread: 3, last: Some(state()), peer: None, peer_read: Seq(0), peer_delivered: Seq(0) }
}

fn conversation() -> Value {
    json!({
        "id": "5", "kind": "group", "title": "team", "announcement": "", "owner": "7", "head": "12", "count": "9", "floor": "0",
        "members": 3, "muted_all": false, "created_at_ms": "500", "me": membership(), "last": state_json(),
        "peer_delivered": "0", "peer_read": "0",
    })
}

fn body() -> Body {
    let segments = vec![
        Segment::Text("hi ".into()),
        Segment::Mention(Some(Uid(8))),
        Segment::Mention(None),
        Segment::Link("https://a.example".into()),
    ];
    Body { segments, ..Body::text("") }
}

fn body_json() -> Value {
    let segments = json!([{"text": "hi "}, {"mention": {"uid": "8"}}, {"mention": {"uid": "0"}}, {"link": "https://a.example"}]);
    json!({"kind": "text", "segments": segments})
}

fn state() -> MessageState {
    MessageState {
        conversation: ConversationId(5),
        seq: Seq(12),
        count: CountNo(9),
        at: Millis(1_000),
        author: Uid(BIG),
        key: key("k1"),
        body: Some(body()),
        reply_to: Some(Seq(3)),
        edited_at: Some(Millis(1_500)),
        reactions: vec![Reaction { emoji: "👍".into(), uids: vec![Uid(7), Uid(8)] }],
    }
}

fn state_json() -> Value {
    json!({
        "conversation": "5", "seq": "12", "at_ms": "1000", "author": "9007199254740991", "count": "9", "key": "k1", "body": body_json(),
        "reply_to": "3", "edited_at_ms": "1500", "recalled": false, "reactions": [{"emoji": "👍", "uids": ["7", "8"]}],
    })
}

fn entry(event: EntryEvent) -> Entry {
    Entry {
        conversation: ConversationId(5),
        seq: Seq(12),
        revision: Revision(98),
        count: CountNo(9),
        at: Millis(1_000),
        author: Uid(7),
        key: key("k1"),
        event,
    }
}

fn entry_json(field: &str, event: Value) -> Value {
    json!({"conversation": "5", "seq": "12", "at_ms": "1000", "author": "7", "count": "9", "key": "k1", field: event})
}

fn friend() -> Friend {
    Friend {
        uid: Uid(8),
        nickname: "Bob".into(),
        remark: "b".into(),
        friend: true,
        blocked: false,
        since: Millis(3),
        conversation: Some(ConversationId(5)),
    }
}

fn friend_json() -> Value {
    json!({"uid": "8", "nickname": "Bob", "remark": "b", "friend": true, "blocked": false, "since_ms": "3", "conversation": "5"})
}

fn friend_request() -> FriendRequest {
    FriendRequest {
        id: RequestId(4),
        from: Uid(7),
        to: Uid(8),
        greeting: "hello".into(),
        state: RequestState::Pending,
        at: Millis(2),
        nickname: "Bob".into(),
    }
}

fn friend_request_json() -> Value {
    json!({"id": "4", "from": "7", "to": "8", "greeting": "hello", "state": "pending", "at_ms": "2", "nickname": "Bob"})
}

#[tokio::test]
async fn messages() {
    let send = |body, reply_to, after| Command::Send { conversation: ConversationId(5), key: key("k1"), body, reply_to, after };
    let ack = Reply::Ack { conversation: ConversationId(5), key: key("k1"), seq: Seq(12), at: Millis(1_000), epoch: Epoch(u64::MAX) };
    let ack_json = json!({"conversation": "5", "key": "k1", "seq": "12", "at_ms": "1000", "epoch": "18446744073709551615"});
    let line = "POST /api/v1/conversations/5/messages";
    maps(line, json!({"key": "k1", "text": "hi"}), send(Body::text("hi"), None, None), ack.clone(), ack_json.clone()).await;
    let full = json!({"key": "k1", "body": body_json(), "reply_to": 3, "after": "k0", "field_of_a_newer_client": 1});
    maps(line, full, send(body(), Some(Seq(3)), Some(key("k0"))), ack, ack_json).await;

    let read = Command::MarkRead { conversation: ConversationId(5), seq: Seq(8) };
    let reply = Reply::Membership { member: member(), unread: 3 };
    let wanted = json!({"conversation": "5", "me": membership()});
    maps("POST /api/v1/conversations/5/read", json!({"seq": "8"}), read, reply, wanted).await;
}

#[tokio::test]
async fn history() {
    let page = HistoryPage {
        messages: vec![state()],
        events: vec![entry(EntryEvent::Joined { uids: vec![Uid(8)] })],
        has_more: true,
        floor: Seq(2),
    };
    let wanted = json!({
        "conversation": "5", "messages": [state_json()], "events": [entry_json("joined", json!({"uids": ["8"]}))],
        "has_more_messages": true, "floor": "2",
    });
    let queries = [
        ("", None, None, 20),
        ("?before=40&count=5", Some(40), None, 5),
        ("?first_message_id=40", Some(40), None, 20),
        ("?first_message_id=0", None, None, 20),
        ("?after=0&count=100", None, Some(0), 100),
        ("?last_message_id=40", None, Some(40), 20),
    ];
    for (query, before, after, count) in queries {
        let command = Command::History { conversation: ConversationId(5), before: before.map(Seq), after: after.map(Seq), count };
        let reply = Reply::History { conversation: ConversationId(5), page: page.clone() };
        maps(&format!("GET /api/v1/conversations/5/history{query}"), Value::Null, command, reply, wanted.clone()).await;
    }
}

#[tokio::test]
async fn sync_tells_every_kind_of_change() {
    let target = Seq(3);
    let events = [
        (EntryEvent::Message { body: Some(body()), reply_to: None }, "message", json!({"body": body_json()})),
        (EntryEvent::Message { body: None, reply_to: Some(target) }, "message", json!({"reply_to": "3"})),
        (EntryEvent::Edited { target, body: None }, "edited", json!({"target": "3"})),
        (EntryEvent::Recalled { target }, "recalled", json!({"target": "3"})),
        (EntryEvent::Reacted { target, emoji: "👍".into(), on: false }, "reacted", json!({"target": "3", "emoji": "👍", "on": false})),
        (EntryEvent::Joined { uids: vec![Uid(8)] }, "joined", json!({"uids": ["8"]})),
        (EntryEvent::Left { uid: Uid(8) }, "left", json!({"uid": "8"})),
        (EntryEvent::RoleChanged { uid: Uid(8), role: Role::Admin }, "role", json!({"uid": "8", "role": "admin"})),
        (
            EntryEvent::InfoChanged { title: Some("t".into()), announcement: None, muted_all: Some(true) },
            "info",
            json!({"title": "t", "muted_all": true}),
        ),
        (EntryEvent::Silenced { uid: Uid(8), until: Millis(9) }, "muted", json!({"uid": "8", "until_ms": "9"})),
    ];
    let entries = events.iter().map(|(event, ..)| entry(event.clone())).collect();
    let entries_json: Vec<Value> = events.into_iter().map(|(_, field, event)| entry_json(field, event)).collect();
    let profile = Profile {
        uid: Uid(7),
        nickname: "Ann".into(),
        signature: "s".into(),
        email: Some("ann@example.org".into()),
        findable_by_email: true,
    };
    let page = SyncPage {
        cursor: "next".into(),
        more: true,
        reset: false,
        conversations: vec![ConversationChange { view: view(), entries, limited: true }],
        events: vec![
            UserEvent::Request { request: friend_request() },
            UserEvent::Friend { friend: friend() },
            UserEvent::Membership { member: member(), unread: 3 },
            UserEvent::Profile { profile },
            UserEvent::Conversation { view: Box::new(view()) },
        ],
    };
    let wanted = json!({
        "cursor": "next", "more": true, "reset": false,
        "conversations": [{"conversation": conversation(), "entries": entries_json, "limited": true}],
        "events": [
            {"request": friend_request_json()}, {"friend": friend_json()}, {"membership": {"conversation": "5", "me": membership()}},
            {"profile": {"uid": "7", "nickname": "Ann", "signature": "s", "email": "ann@example.org", "findable_by_email": true}},
            {"conversation": conversation()},
        ],
    });
    let command = Command::Sync { cursor: "abc".into() };
    maps("GET /api/v1/sync?cursor=abc", Value::Null, command, Reply::Sync { page }, wanted).await;
    let empty = json!({"cursor": "", "more": false, "reset": false, "conversations": [], "events": []});
    maps("GET /api/v1/sync", Value::Null, Command::Sync { cursor: String::new() }, Reply::Sync { page: SyncPage::default() }, empty).await;
}

#[tokio::test]
async fn conversations() {
    let one = || Reply::Conversation { view: Box::new(view()) };
    let id = ConversationId(5);
    maps("POST /api/v1/conversations/direct", json!({"uid": "8"}), Command::OpenDirect { uid: Uid(8) }, one(), conversation()).await;
    let create = Command::CreateGroup { key: key("k"), title: "team".into(), uids: vec![Uid(8), Uid(BIG)] };
    maps("POST /api/v1/groups", json!({"key": "k", "title": "team", "uids": [8, "9007199254740991"]}), create, one(), conversation()).await;
    for title in ["title", "room_name"] {
        let create = Command::CreateRoom { key: key("k"), title: "plaza".into() };
        maps("POST /api/v1/rooms", json!({"key": "k", title: "plaza"}), create, one(), conversation()).await;
    }
    maps("POST /api/v1/rooms/5/join", Value::Null, Command::JoinRoom { conversation: id }, one(), conversation()).await;
    maps("GET /api/v1/conversations/5", Value::Null, Command::GetConversation { conversation: id }, one(), conversation()).await;

    let reply = Reply::Members { members: vec![(member(), "Ann".into())], cursor: "c2".into() };
    let wanted = json!({"members": [{"uid": "7", "nickname": "Ann", "role": "owner", "read": "8", "delivered": "9", "silenced_until_ms": "0"}], "cursor": "c2"});
    let list = Command::ListMembers { conversation: id, cursor: "c1".into(), count: 50 };
    maps("GET /api/v1/conversations/5/members?cursor=c1&count=50", Value::Null, list, reply, wanted).await;

    let room = RoomInfo { conversation: id, title: "plaza".into(), owner: None, members: 2, created_at: Millis(500) };
    let wanted = json!({"rooms": [{"conversation": "5", "title": "plaza", "members": 2, "created_at_ms": "500"}], "cursor": ""});
    let list = Command::ListRooms { cursor: String::new(), count: 20 };
    maps("GET /api/v1/rooms", Value::Null, list, Reply::Rooms { rooms: vec![room], cursor: String::new() }, wanted).await;
}

#[tokio::test]
async fn contacts() {
    let friends = || Reply::Friends { friends: vec![friend()], cursor: "c2".into() };
    let friends_json = json!({"friends": [friend_json()], "cursor": "c2"});
    let list = Command::ListFriends { cursor: "c1".into(), count: 100 };
    maps("GET /api/v1/friends?cursor=c1&count=100", Value::Null, list, friends(), friends_json.clone()).await;
    let list = Command::ListBlocked { cursor: String::new(), count: 20 };
    maps("GET /api/v1/blocked", Value::Null, list, friends(), friends_json).await;

    let reply = Reply::Requests { requests: vec![friend_request()], cursor: String::new() };
    let wanted = json!({"requests": [friend_request_json()], "cursor": ""});
    maps("GET /api/v1/requests", Value::Null, Command::ListRequests { cursor: String::new() }, reply, wanted).await;
    let one = || Reply::Request { request: friend_request() };
    let apply = |greeting: &str| Command::Apply { uid: Uid(8), greeting: greeting.into() };
    maps("POST /api/v1/requests", json!({"uid": 8, "greeting": "hello"}), apply("hello"), one(), friend_request_json()).await;
    maps("POST /api/v1/requests", json!({"uid": "8"}), apply(""), one(), friend_request_json()).await;
    for accept in [true, false] {
        let answer = Command::Answer { request: RequestId(4), accept };
        maps("POST /api/v1/requests/4", json!({"accept": accept}), answer, one(), friend_request_json()).await;
    }

    let one = || Reply::Friend { friend: friend() };
    let remark = Command::ChangeRemark { uid: Uid(8), remark: "b".into() };
    maps("PATCH /api/v1/friends/8", json!({"remark": "b"}), remark, one(), friend_json()).await;
    maps("DELETE /api/v1/friends/8", Value::Null, Command::DeleteFriend { uid: Uid(8) }, Reply::Done, Value::Null).await;
    maps("PUT /api/v1/blocks/8", Value::Null, Command::Block { uid: Uid(8), on: true }, one(), friend_json()).await;
    maps("DELETE /api/v1/blocks/8", Value::Null, Command::Block { uid: Uid(8), on: false }, one(), Value::Null).await;
}

#[tokio::test]
async fn profiles() {
    let bob = Profile { uid: Uid(8), nickname: "Bob".into(), signature: String::new(), email: None, findable_by_email: false };
    let page = || Reply::Profiles { profiles: vec![bob.clone()], cursor: "c2".into() };
    let bob_json = json!({"uid": "8", "nickname": "Bob", "signature": ""});
    let page_json = json!({"profiles": [bob_json], "cursor": "c2"});
    let get = |uids: &[i64]| Command::GetProfiles { uids: uids.iter().copied().map(Uid).collect() };
    maps("GET /api/v1/profile", Value::Null, get(&[7]), page(), bob_json.clone()).await;
    maps("GET /api/v1/profiles?uids=8,%209", Value::Null, get(&[8, 9]), page(), page_json.clone()).await;
    let change = ProfileChange { nickname: Some("Bob".into()), signature: None, findable_by_email: Some(false) };
    maps(
        "PATCH /api/v1/profile",
        json!({"nickname": "Bob", "findable_by_email": false}),
        Command::ChangeProfile { change },
        page(),
        bob_json,
    )
    .await;

    let searches = [
        ("uid=8&cursor=c1", SearchBy::Uid(Uid(8)), "c1"),
        ("email=bob%40example.org", SearchBy::Email("bob@example.org".into()), ""),
        ("nickname=%E9%B2%8D%E5%8B%83", SearchBy::NicknamePrefix("鲍勃".into()), ""),
    ];
    for (query, by, cursor) in searches {
        let search = Command::Search { by, cursor: cursor.into() };
        maps(&format!("GET /api/v1/search?{query}"), Value::Null, search, page(), page_json.clone()).await;
    }
}

#[tokio::test]
async fn devices() {
    let reply = Reply::Devices { sessions: vec![session()], current: SessionId(70) };
    let wanted = json!({"devices": [{
        "session": "70", "device_class": "cli", "client": "curl", "created_at_ms": "1000", "seen_at_ms": "2000", "expires_at_ms": "3000", "current": true,
    }]});
    maps("GET /api/v1/devices", Value::Null, Command::ListDevices, reply, wanted).await;
    let end = Command::LogOut { session: Some(SessionId(71)) };
    maps("DELETE /api/v1/devices/71", Value::Null, end, Reply::Done, Value::Null).await;
}

/// Account commands have no `Debug`; they are compared as what crosses the door.
async fn maps_account(line: &str, body: Value, command: AccountCommand, reply: AccountReply, wanted: Value, status: u16) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let heard = asked.clone();
    let script = on_account(move |command| {
        heard.lock().unwrap().push(serde_json::to_value(&command).unwrap());
        Ok(reply.clone())
    });
    let answer = ask(&app(&script), line, body).await;
    assert_eq!(*asked.lock().unwrap(), [serde_json::to_value(&command).unwrap()], "{line}: {}", answer.text);
    assert_eq!(answer.status, status, "{line}");
    if wanted.is_null() { assert_eq!(answer.text, "") } else { assert_eq!(answer.json(), wanted) }
}

#[tokio::test]
async fn accounts() {
    let email = || "ann@example.org".to_owned();
    for (purpose, word) in [(CodePurpose::Register, "register"), (CodePurpose::Reset, "reset")] {
        let command = AccountCommand::RequestCode { email: email(), purpose };
        maps_account("POST /api/v1/code", json!({"email": email(), "purpose": word}), command, AccountReply::Done, Value::Null, 204).await;
    }
    let command = AccountCommand::Register { email: email(), code: "012345".into(), password: "p".into(), nickname: "Ann".into() };
    let body = json!({"email": email(), "code": "012345", "password": "p", "nickname": "Ann"});
    maps_account("POST /api/v1/register", body, command, AccountReply::Registered { uid: Uid(7) }, json!({"uid": "7"}), 201).await;
    let command = AccountCommand::ResetPassword { email: email(), code: "012345".into(), password: "p".into() };
    let body = json!({"email": email(), "code": "012345", "password": "p"});
    maps_account("POST /api/v1/password/reset", body, command, AccountReply::Done, Value::Null, 204).await;

    let command = AccountCommand::LogIn { email: email(), password: "p".into(), class: DeviceClass::Mobile, client: String::new() };
    let logged_in = LoggedIn { uid: Uid(7), nickname: "Ann".into(), session: session(), token: "t".into(), comet: None };
    let wanted = json!({"uid": "7", "nickname": "Ann", "session": "70", "device_class": "cli", "expires_at_ms": "3000", "token": "t"});
    let body = json!({"email": email(), "password": "p", "device_class": "mobile"});
    maps_account("POST /api/v1/login", body, command, AccountReply::LoggedIn(Box::new(logged_in)), wanted, 200).await;
}

#[tokio::test]
async fn tickets() {
    let comet = CometAddress { node: "n2".into(), tcp: String::new(), websocket: "wss://n2.example/ws".into() };
    let reply = AccountReply::Ticket { ticket: "t1".into(), comet: Some(comet) };
    let wanted = json!({"ticket": "t1", "comet": {"node": "n2", "tcp": "", "websocket": "wss://n2.example/ws"}});
    for node in [None, Some("n2")] {
        let command = AccountCommand::Ticket { secret: TOKEN.into(), node: node.map(|node| NodeId(node.into())) };
        maps_account("POST /api/v1/ticket", json!({ "node": node }), command, reply.clone(), wanted.clone(), 200).await;
    }
}
