//! The whole client against a scripted server.

use std::path::Path;
use std::time::Duration;

use skein_protocol::v1::entry::Event as EntryEvent;
use skein_protocol::{CloseCode, Op, Request, v1};
use skein_sdk::{Client, EchoState, ErrorCode, Event, Events, Item, text, text_of};
use tokio::time::timeout;

use crate::gate::{self, LOGGED_IN};
use crate::server::{EPOCH, PATIENCE, Peer, Server};

const ROOM: i64 = 5;

fn entry(seq: i64, author: i64, key: &str) -> v1::Entry {
    let message = v1::Message { body: Some(text(format!("message {seq}"))), reply_to: 0 };
    let event = Some(EntryEvent::Message(message));
    v1::Entry { conversation: ROOM, seq, at_ms: seq, author, count: seq, key: key.to_owned(), event }
}

fn entries(seqs: std::ops::RangeInclusive<i64>) -> Vec<v1::Entry> {
    seqs.map(|seq| entry(seq, 2, &format!("k{seq}"))).collect()
}

fn page(cursor: &str, head: i64, entries: Vec<v1::Entry>) -> v1::SyncPage {
    let me = v1::Membership { visible_from: 1, unread: head, ..v1::Membership::default() };
    let conversation =
        v1::Conversation { id: ROOM, kind: v1::ConversationKind::Room.into(), head, count: head, me: Some(me), ..Default::default() };
    let change = v1::ConversationChange { conversation: Some(conversation), entries, limited: false };
    v1::SyncPage { cursor: cursor.to_owned(), conversations: vec![change], ..v1::SyncPage::default() }
}

fn push(entries: Vec<v1::Entry>) -> v1::ServerMessages {
    v1::ServerMessages { conversation: ROOM, entries }
}

async fn client_at(server: &Server, store: Option<&Path>) -> Client {
    let gate = gate::serve(|_, _| (200, LOGGED_IN.to_owned())).await;
    let mut builder = Client::builder().server(gate).comet(server.address());
    if let Some(path) = store {
        builder = builder.store(path);
    }
    builder.build().await.expect("builds")
}

/// A client that is logged in and on line with three messages.
async fn online(server: &Server) -> (Client, Peer) {
    let client = client_at(server, None).await;
    let (account, mut peer) = tokio::join!(client.log_in("ann@example.org", "pw"), server.welcome(EPOCH));
    account.expect("logs in");
    assert_eq!(peer.sync(page("c1", 3, entries(1..=3))).await, "");
    client.synced().await.expect("syncs");
    (client, peer)
}

async fn until<T>(events: &mut Events, pick: impl Fn(Event) -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = pick(events.next().await.expect("the client lives")) {
                return found;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("the event in time")
}

/// Waits until the timeline reads so.
async fn shows(client: &Client, events: &mut Events, expected: &[&str]) {
    let mut shown = Vec::new();
    let wait = async {
        loop {
            shown = lines(client).await;
            if shown == expected {
                return;
            }
            events.next().await.expect("the client lives");
        }
    };
    if timeout(PATIENCE, wait).await.is_err() {
        panic!("shows {shown:?} instead of {expected:?}");
    }
}

async fn lines(client: &Client) -> Vec<String> {
    let view = client.timeline(ROOM).await.expect("reads");
    view.items.iter().map(line).collect()
}

fn line(item: &Item) -> String {
    match item {
        Item::Message(message) => format!("{} {}", message.seq, message.body.as_ref().map(text_of).unwrap_or_default()),
        Item::Event(entry) => format!("{} event", entry.seq),
        Item::Pending(echo) => {
            let state = match &echo.state {
                EchoState::Waiting => "waiting",
                EchoState::Acked { .. } => "acked",
                EchoState::Failed { code } => code,
            };
            format!("{state}: {}", text_of(&echo.body))
        }
    }
}

const THREE: [&str; 3] = ["1 message 1", "2 message 2", "3 message 3"];

#[tokio::test]
async fn pushes_show_at_once_repeated_ones_once() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    peer.push(push(entries(3..=4))).await;
    peer.push(push(entries(4..=4))).await;
    peer.push(push(entries(5..=5))).await;
    shows(&client, &mut events, &["1 message 1", "2 message 2", "3 message 3", "4 message 4", "5 message 5"]).await;
    let conversation = client.conversation(ROOM).await.expect("reads").expect("known");
    assert_eq!(conversation.me.expect("me").unread, 5);
}

#[tokio::test]
async fn a_gap_is_pulled_once_and_closes() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    peer.push(push(entries(6..=6))).await;
    peer.push(push(entries(7..=7))).await;
    let (seq, request) = peer.request().await;
    assert_eq!(request, Request::Pull(v1::Pull { conversation: ROOM, from: 4, to: 5 }));
    peer.reply(seq, Op::PULL, v1::Entries { conversation: ROOM, entries: entries(4..=5), head: 7, floor: 0 }).await;
    let last = until(&mut events, |event| match event {
        Event::Message(message) if message.seq == 7 => Some(message),
        _ => None,
    });
    assert_eq!(last.await.seq, 7);
    assert_eq!(lines(&client).await.len(), 7);
}

#[tokio::test]
async fn an_echo_shows_until_its_entry_and_an_ack_does_not_move_the_position() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    let sent = client.send_text(ROOM, "hi").await.expect("queues");
    assert_eq!(lines(&client).await[3..], ["waiting: hi"]);
    let (seq, send) = peer.send().await;
    assert_eq!((send.key.as_str(), send.after.as_str()), (sent.key(), ""));
    // Somebody else was first: 4 is theirs, 5 mine.
    peer.ack(seq, &send, 5).await;
    assert_eq!(sent.acked().await.expect("acked").seq, 5);
    shows(&client, &mut events, &[THREE[0], THREE[1], THREE[2], "acked: hi"]).await;
    peer.push(push(vec![entry(4, 2, "k4"), entry(5, 1, &send.key)])).await;
    shows(&client, &mut events, &[THREE[0], THREE[1], THREE[2], "4 message 4", "5 message 5"]).await;
    let conversation = client.conversation(ROOM).await.expect("reads").expect("known");
    assert_eq!(conversation.me.expect("me").unread, 0, "writing is reading");
}

#[tokio::test]
async fn an_entry_that_comes_before_its_ack_is_as_good() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let sent = client.send_text(ROOM, "hi").await.expect("queues");
    let (_, send) = peer.send().await;
    peer.push(push(vec![entry(4, 1, &send.key)])).await;
    assert_eq!(sent.acked().await.expect("stored").seq, 4);
    assert_eq!(lines(&client).await.len(), 4);
}

#[tokio::test]
async fn a_kick_stops_and_forgets_the_token_but_not_the_history() {
    let server = Server::bind().await;
    let (client, peer) = online(&server).await;
    let mut events = client.events();
    peer.close(CloseCode::LoggedInElsewhere).await;
    let code = until(&mut events, |event| match event {
        Event::LoggedOut { code, .. } => Some(code),
        _ => None,
    });
    assert_eq!(code.await, "logged_in_elsewhere");
    assert!(server.nobody_comes(Duration::from_millis(600)).await, "no reconnect");
    assert!(!client.account().await.expect("reads").expect("kept").is_logged_in());
    assert_eq!(lines(&client).await, THREE);
    assert_eq!(client.typing(ROOM).await.expect_err("off line").code(), "not_logged_in");
}

#[tokio::test]
async fn a_lost_link_comes_back_syncs_from_its_cursor_and_sends_again_in_order() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    let first = client.send_text(ROOM, "one").await.expect("queues");
    let second = client.send_text(ROOM, "two").await.expect("queues");
    let (_, lost1) = peer.send().await;
    let (_, lost2) = peer.send().await;
    assert_eq!((lost1.after.as_str(), lost2.after.as_str()), ("", first.key()));
    drop(peer);
    let retry_in = until(&mut events, |event| match event {
        Event::Disconnected { retry_in, .. } => Some(retry_in),
        _ => None,
    });
    assert!(retry_in.await <= Duration::from_millis(200));

    let mut peer = server.welcome(EPOCH).await;
    let mut acked = 0;
    let mut is_synced = false;
    // The first send was stored before the link broke, the second was not.
    while acked < 2 || !is_synced {
        match peer.request().await {
            (seq, Request::Sync(sync)) => {
                assert_eq!(sync.cursor, "c1");
                peer.reply(seq, Op::SYNC, page("c2", 4, vec![entry(4, 1, first.key())])).await;
                is_synced = true;
            }
            (seq, Request::Send(send)) => {
                let (expected, position) = if send.key == first.key() { (&lost1, 4) } else { (&lost2, 5) };
                assert_eq!((&send.key, &send.body), (&expected.key, &expected.body));
                peer.ack(seq, &send, position).await;
                acked += 1;
            }
            (_, other) => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(first.acked().await.expect("stored").seq, 4);
    assert_eq!(second.acked().await.expect("stored").seq, 5);
    peer.push(push(vec![entry(5, 1, &lost2.key)])).await;
    shows(&client, &mut events, &[THREE[0], THREE[1], THREE[2], "4 message 4", "5 message 5"]).await;
}

#[tokio::test]
async fn curable_failures_send_again_with_the_same_key() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let sent = client.send_text(ROOM, "hi").await.expect("queues");
    for code in [ErrorCode::RetrySameKey, ErrorCode::OutOfOrder, ErrorCode::Busy] {
        let (seq, send) = peer.send().await;
        assert_eq!(send.key, sent.key());
        peer.reply(seq, Op::SEND, v1::Error { retry_after_ms: 1, ..v1::Error::new(code, "") }).await;
    }
    let (seq, send) = peer.send().await;
    peer.ack(seq, &send, 4).await;
    assert_eq!(sent.acked().await.expect("stored").seq, 4);
}

#[tokio::test]
async fn a_final_refusal_marks_the_echo_and_retrying_sends_it_again() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    let sent = client.send_text(ROOM, "hi").await.expect("queues");
    let key = sent.key().to_owned();
    let (seq, _) = peer.send().await;
    peer.reply(seq, Op::SEND, v1::Error::new(ErrorCode::NotAccepted, "no")).await;
    assert_eq!(sent.acked().await.expect_err("refused").code(), "not_accepted");
    shows(&client, &mut events, &[THREE[0], THREE[1], THREE[2], "not_accepted: hi"]).await;
    assert!(client.retry(&key).await.expect("queues"));
    let (seq, send) = peer.send().await;
    assert_eq!(send.key, key);
    peer.reply(seq, Op::SEND, v1::Error::new(ErrorCode::NotAccepted, "no")).await;
    until(&mut events, |event| matches!(event, Event::SendFailed { .. }).then_some(())).await;
    shows(&client, &mut events, &[THREE[0], THREE[1], THREE[2], "not_accepted: hi"]).await;
    assert!(client.discard(&key).await.expect("discards"));
    assert_eq!(lines(&client).await, THREE);
}

#[tokio::test]
async fn off_line_history_shows_and_what_was_written_is_sent_on_return() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ann.skein");
    let server = Server::bind().await;
    let client = client_at(&server, Some(&path)).await;
    let (account, mut peer) = tokio::join!(client.log_in("ann@example.org", "pw"), server.welcome(EPOCH));
    account.expect("logs in");
    peer.sync(page("c1", 3, entries(1..=3))).await;
    client.synced().await.expect("syncs");
    client.close().await;
    drop(client);
    drop(server);

    let closed = Server::bind().await.address();
    let offline = Client::builder().server("http://127.0.0.1:1").comet(closed).store(&path).build().await.expect("opens off line");
    assert_eq!(offline.account().await.expect("reads").expect("known").uid, 1);
    assert_eq!(offline.conversations().await.expect("reads").len(), 1);
    let sent = offline.send_text(ROOM, "written off line").await.expect("queues");
    let key = sent.key().to_owned();
    assert_eq!(lines(&offline).await, [THREE[0], THREE[1], THREE[2], "waiting: written off line"]);
    offline.close().await;
    assert_eq!(sent.acked().await.expect_err("not yet").code(), "client_closed");
    drop(offline);

    let server = Server::bind().await;
    let client = client_at(&server, Some(&path)).await;
    let mut events = client.events();
    let mut peer = server.welcome(EPOCH).await;
    for _ in 0..2 {
        match peer.request().await {
            (seq, Request::Sync(sync)) => {
                assert_eq!(sync.cursor, "c1");
                // Overlaps what is here.
                peer.reply(seq, Op::SYNC, page("c2", 4, entries(2..=4))).await;
            }
            (seq, Request::Send(send)) => {
                assert_eq!(send.key, key);
                peer.ack(seq, &send, 5).await;
            }
            (_, other) => panic!("unexpected {other:?}"),
        }
    }
    peer.push(push(vec![entry(5, 1, &key)])).await;
    shows(&client, &mut events, &[THREE[0], THREE[1], THREE[2], "4 message 4", "5 message 5"]).await;
}

#[tokio::test]
async fn a_resync_push_syncs_and_pages_go_on_while_there_is_more() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    peer.push(v1::Resync { after_ms: 10 }).await;
    let more = v1::SyncPage { more: true, ..page("c2", 4, entries(4..=4)) };
    assert_eq!(peer.sync(more).await, "c1");
    assert_eq!(peer.sync(page("c3", 5, entries(5..=5))).await, "c2");
    shows(&client, &mut events, &[THREE[0], THREE[1], THREE[2], "4 message 4", "5 message 5"]).await;
}

#[tokio::test]
async fn a_resync_that_comes_while_a_page_is_under_way_is_followed_by_another_sync() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    peer.push(v1::Resync::default()).await;
    let (seq, request) = peer.request().await;
    assert_eq!(request, Request::Sync(v1::Sync { cursor: "c1".to_owned() }));
    // The page was read before the push that this one stands for.
    peer.push(v1::Resync::default()).await;
    peer.push(v1::TypingPush { conversation: ROOM, uid: 2 }).await;
    until(&mut events, |event| matches!(event, Event::Typing { .. }).then_some(())).await;
    peer.reply(seq, Op::SYNC, page("c2", 3, Vec::new())).await;
    assert_eq!(peer.sync(page("c3", 4, entries(4..=4))).await, "c2");
    shows(&client, &mut events, &[THREE[0], THREE[1], THREE[2], "4 message 4"]).await;
}

/// The last push of all may be lost, and nothing comes after it that would tell.
#[tokio::test]
async fn after_five_quiet_minutes_it_asks_whether_a_push_was_lost() {
    const BEAT: Duration = Duration::from_secs(30);
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    let mut quiet = Duration::ZERO;
    let mut asked = None;
    while asked.is_none() {
        quiet += BEAT;
        assert!(quiet < Duration::from_secs(400), "it never asks");
        // The clock stands only while it is moved: sockets need it to run.
        tokio::time::pause();
        tokio::time::advance(BEAT).await;
        tokio::time::resume();
        loop {
            match peer.any_request().await.expect("it stays") {
                (seq, Request::Heartbeat(_)) => {
                    peer.reply(seq, Op::HEARTBEAT, v1::HeartbeatReply::default()).await;
                    break;
                }
                (seq, Request::MarkDelivered(_)) => peer.reply(seq, Op::MARK_DELIVERED, v1::Done {}).await,
                (seq, Request::Sync(sync)) => {
                    peer.reply(seq, Op::SYNC, page("c2", 4, entries(4..=4))).await;
                    asked = Some(sync.cursor);
                    break;
                }
                (_, other) => panic!("unexpected {other:?}"),
            }
        }
    }
    assert_eq!(asked.as_deref(), Some("c1"));
    assert!(quiet >= Duration::from_secs(240), "not for every little pause: {quiet:?}");
    // The first may have passed its deadline when the clock was moved behind it.
    let answering = async {
        while let Some((seq, request)) = peer.any_request().await {
            if matches!(request, Request::Sync(_)) {
                peer.reply(seq, Op::SYNC, page("c2", 4, entries(4..=4))).await;
            }
        }
        panic!("it went away");
    };
    tokio::select! {
        () = shows(&client, &mut events, &[THREE[0], THREE[1], THREE[2], "4 message 4"]) => {}
        () = answering => {}
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_not_asked_for_for_ever() {
    const BREAKS_MAX: u32 = 5;
    let server = Server::bind().await;
    let client = client_at(&server, None).await;
    let mut events = client.events();
    let (account, mut peer) = tokio::join!(client.log_in("ann@example.org", "pw"), server.welcome(EPOCH));
    account.expect("logs in");
    for attempt in 1..=BREAKS_MAX {
        let (seq, request) = peer.request().await;
        assert!(matches!(request, Request::Sync(_)), "{request:?}");
        peer.oversized(seq, Op::SYNC).await;
        peer.gone().await;
        if attempt == BREAKS_MAX {
            break;
        }
        peer = server.welcome(EPOCH).await;
    }
    let stopped = until(&mut events, |event| match event {
        Event::Stopped { code, reason } => Some((code, reason)),
        _ => None,
    });
    let (code, reason) = stopped.await;
    assert!(code == "too_big" && reason.contains("over the limit"), "{code}: {reason}");
    assert!(server.nobody_comes(Duration::from_millis(600)).await, "no reconnect");
    assert!(client.account().await.expect("reads").expect("kept").is_logged_in(), "the session is as good as before");

    client.reconnect().await.expect("asks");
    let mut peer = server.welcome(EPOCH).await;
    peer.sync(page("c1", 3, entries(1..=3))).await;
    shows(&client, &mut events, &THREE).await;
}

#[tokio::test]
async fn another_epoch_begins_windows_anew_and_keeps_the_outbox() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    let sent = client.send_text(ROOM, "hi").await.expect("queues");
    peer.send().await;
    drop(peer);
    let mut peer = server.welcome(EPOCH + 1).await;
    let mut position = 2;
    for _ in 0..2 {
        match peer.request().await {
            (seq, Request::Sync(sync)) => {
                assert_eq!(sync.cursor, "", "the old cursor means nothing");
                peer.reply(seq, Op::SYNC, page("d1", 1, entries(1..=1))).await;
            }
            (seq, Request::Send(send)) => {
                assert_eq!(send.key, sent.key());
                peer.ack(seq, &send, position).await;
                position += 1;
            }
            (_, other) => panic!("unexpected {other:?}"),
        }
    }
    sent.acked().await.expect("stored");
    shows(&client, &mut events, &["1 message 1", "acked: hi"]).await;
}

#[tokio::test]
async fn go_away_moves_to_another_connection_when_it_says() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    peer.push(v1::GoAway { after_ms: 30 }).await;
    let mut next = server.welcome(EPOCH).await;
    assert_eq!(next.sync(page("c2", 3, Vec::new())).await, "c1");
    peer.gone().await;
    client.synced().await.expect("syncs");
}

#[tokio::test]
async fn history_is_fetched_where_it_is_not_here() {
    let server = Server::bind().await;
    let client = client_at(&server, None).await;
    let (account, mut peer) = tokio::join!(client.log_in("ann@example.org", "pw"), server.welcome(EPOCH));
    account.expect("logs in");
    let mut limited = page("c1", 300, entries(299..=300));
    limited.conversations[0].limited = true;
    peer.sync(limited).await;
    client.synced().await.expect("syncs");
    let view = client.timeline(ROOM).await.expect("reads");
    assert_eq!((view.items.len(), view.has_more), (2, true));
    let (view, ()) = tokio::join!(client.history(ROOM, 0, 5), async {
        let (seq, request) = peer.request().await;
        let Request::RequestHistory(request) = request else { panic!("{request:?} instead of history") };
        assert_eq!((request.conversation, request.first_message_id), (ROOM, 299));
        let state = |seq| v1::MessageState { conversation: ROOM, seq, body: Some(text(format!("message {seq}"))), ..Default::default() };
        let messages = (295..=298).map(state).collect();
        peer.reply(seq, Op::HISTORY, v1::HistoryPage { conversation: ROOM, messages, has_more_messages: true, ..Default::default() }).await;
    });
    let view = view.expect("history");
    assert_eq!(view.items.iter().map(line).collect::<Vec<_>>(), (296..=300).map(|seq| format!("{seq} message {seq}")).collect::<Vec<_>>());
    assert_eq!(client.timeline(ROOM).await.expect("reads").items.len(), 6, "it is kept");
}

#[tokio::test]
async fn attempts_go_on_while_the_server_is_down_and_over_all_addresses() {
    let down = Server::bind().await.address();
    let server = Server::bind().await;
    let gate = gate::serve(|_, _| (200, LOGGED_IN.to_owned())).await;
    let client = Client::builder().server(gate).comet(down.as_str()).comet(server.address()).build().await.expect("builds");
    let mut events = client.events();
    let (account, _peer) = tokio::join!(client.log_in("ann@example.org", "pw"), server.welcome(EPOCH));
    account.expect("logs in");
    until(&mut events, |event| matches!(event, Event::Disconnected { .. }).then_some(())).await;
    until(&mut events, |event| matches!(event, Event::Connected).then_some(())).await;
}

#[tokio::test]
async fn a_store_keeps_one_account() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ann.skein");
    let server = Server::bind().await;
    let client = client_at(&server, Some(&path)).await;
    client.log_in("ann@example.org", "pw").await.expect("logs in");
    client.close().await;
    drop(client);
    let gate = gate::serve(|_, _| (200, LOGGED_IN.replace(r#""uid":"1""#, r#""uid":"2""#))).await;
    let other = Client::builder().server(gate).comet(server.address()).store(&path).build().await.expect("builds");
    assert_eq!(other.log_in("bob@example.org", "pw").await.expect_err("refused").code(), "store_of_another");
}

#[tokio::test]
async fn unread_follows_the_read_cursor_here_and_on_other_devices() {
    let server = Server::bind().await;
    let (client, mut peer) = online(&server).await;
    let mut events = client.events();
    let unread = async || client.conversation(ROOM).await.expect("reads").expect("known").me.expect("me").unread;
    assert_eq!(unread().await, 3);
    let (read, ()) = tokio::join!(client.mark_read(ROOM, 2), async {
        let (seq, request) = peer.request().await;
        assert_eq!(request, Request::MarkRead(v1::MarkRead { conversation: ROOM, seq: 2 }));
        let me = v1::Membership { visible_from: 1, read: 2, unread: 1, ..v1::Membership::default() };
        peer.reply(seq, Op::MARK_READ, v1::MembershipReply { conversation: ROOM, me: Some(me) }).await;
    });
    read.expect("marked");
    assert_eq!(unread().await, 1);
    let me = v1::Membership { visible_from: 1, read: 3, ..v1::Membership::default() };
    let event = v1::user_event::Event::Membership(v1::MembershipReply { conversation: ROOM, me: Some(me) });
    peer.push(v1::UserEvents { events: vec![v1::UserEvent { event: Some(event) }] }).await;
    until(&mut events, |event| matches!(event, Event::ConversationChanged(ROOM)).then_some(())).await;
    while unread().await != 0 {
        events.next().await.expect("the client lives");
    }
}
