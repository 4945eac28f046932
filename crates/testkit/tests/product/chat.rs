//! Order, restarts, cut links, and whoever is away.

use crate::line::Line;
use crate::town::Town;
use skein_protocol::{Codec, Op, Push, Reply, Request, v1};
use skein_server::admin::Verb;
use skein_testkit::cluster::Topology;
use skein_testkit::device::timeline::text_body;
use skein_testkit::scenario::World;
use skein_testkit::wire::Transport;
use std::time::{Duration, Instant};

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("message {n}")).collect()
}

fn texts(messages: &[(i64, String)]) -> Vec<&str> {
    messages.iter().map(|(_, text)| text.as_str()).collect()
}

fn is_ascending(messages: &[(i64, String)]) -> bool {
    messages.is_sorted_by(|one, next| one.0 < next.0)
}

#[tokio::test]
async fn thirty_messages_survive_a_crash_in_order() {
    let mut town = Town::of(&["ann", "bob"]).start().await;
    let mut ann = town.line("ann").await;
    let chat = ann.direct_with(town.uid("bob")).await;
    for text in numbered(0..30) {
        ann.send(chat, &text).await;
    }
    let epoch = ann.hello.epoch;
    town.crash().await;
    let mut bob = town.line("bob").await;
    let history = bob.history_after(chat, 0).await;
    assert_eq!(texts(&history), numbered(0..30));
    assert!(is_ascending(&history));
    assert_eq!(bob.hello.epoch, epoch, "it is the same store");
}

#[tokio::test]
async fn messages_for_whoever_is_away_come_once_and_in_order() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let mut ann = town.line("ann").await;
    let chat = ann.direct_with(town.uid("bob")).await;
    let mut bob = town.line("bob").await;
    let (before, _) = bob.sync("", chat).await;
    drop(bob);
    for text in numbered(0..20) {
        ann.send(chat, &text).await;
    }
    let mut bob = town.line("bob").await;
    let (after, missed) = bob.sync(&before, chat).await;
    assert_eq!(texts(&missed), numbered(0..20));
    drop(bob);

    // Whoever kept the new cursor is told nothing twice; whoever died before is told again, the same seqs.
    let mut bob = town.line("bob").await;
    assert_eq!(bob.sync(&after, chat).await.1, []);
    drop(bob);
    let mut bob = town.line("bob").await;
    assert_eq!(bob.sync(&before, chat).await.1, missed);
}

#[tokio::test]
async fn a_link_cut_during_two_hundred_messages_loses_nothing() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let mut ann = town.line("ann").await;
    let chat = ann.direct_with(town.uid("bob")).await;
    let mut bob = town.line_over(Transport::WebSocketText, "bob").await;
    for text in numbered(0..80) {
        ann.send(chat, &text).await;
    }
    let mut shown = bob.messages(chat, 40).await;
    drop(bob);
    for text in numbered(80..200) {
        ann.send(chat, &text).await;
    }
    let mut bob = town.line_over(Transport::WebSocketText, "bob").await;
    let last_message_id = shown.last().unwrap().0;
    shown.extend(bob.history_after(chat, last_message_id).await);
    assert_eq!(texts(&shown), numbered(0..200));
    assert!(is_ascending(&shown));
}

/// Online or not is decided while it changes all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_and_goes_has_everything_once() {
    let draft = World::new(Topology::AllInOne).user("ann", Transport::Tcp).user("bob", Transport::WebSocket);
    let world = draft.direct("chat", "ann", "bob").start().await.unwrap();
    let all = numbered(0..300);
    for texts in all.chunks(30) {
        let mut last = String::new();
        for text in texts {
            last = world.user("ann").says("chat", text).await;
        }
        world.user("bob").goes_offline().await;
        world.user("ann").acked(&last).await;
        world.user("bob").comes_back().await;
    }
    world.user("bob").expects("chat", &all).await;
    assert!(world.user("bob").connections() > 10, "the receiver came and went");
}

/// Counted where it passes: received, run, published, fanned out, queued, written.
#[tokio::test]
async fn one_message_passes_every_stage_once() {
    const STAGES: [&str; 4] = [
        "skein_commands_total{command=\"send\"",
        "skein_relay_records_total",
        "skein_fanout_batches_total",
        "skein_comet_pushes_queued_total",
    ];
    let town = Town::of(&["ann", "bob"]).start().await;
    let (mut ann, mut bob) = (town.line("ann").await, town.line("bob").await);
    let chat = ann.direct_with(town.uid("bob")).await;
    ann.send(chat, "before").await;
    bob.messages(chat, 1).await;
    ann.messages(chat, 1).await;
    let counts = async || {
        let mut counts = Vec::new();
        for stage in STAGES {
            counts.push(town.metric(stage).await);
        }
        counts
    };
    let before = counts().await;
    ann.send(chat, "the one").await;
    bob.messages(chat, 1).await;
    ann.messages(chat, 1).await;
    let passed: Vec<f64> = counts().await.iter().zip(&before).map(|(after, before)| after - before).collect();
    // Both sides have it in their stream.
    assert_eq!(passed, [1.0, 1.0, 1.0, 2.0], "{STAGES:?}");
    assert!(town.metric("skein_comet_bytes_out_total").await > 0.0 && town.metric("skein_comet_frames_in_total").await > 0.0);
}

#[tokio::test]
async fn one_process_delivers_without_grpc() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let listening = town.listening();
    assert_eq!((listening.comet_rpc, listening.logic_rpc), (None, None), "internal gRPC is closed");
    let (mut ann, mut bob) = (town.line("ann").await, town.line("bob").await);
    let chat = ann.direct_with(town.uid("bob")).await;
    ann.send(chat, "straight").await;
    assert_eq!(bob.messages(chat, 1).await[0].1, "straight");
}

#[tokio::test]
async fn a_notice_of_the_operator_reaches_everybody_who_is_online() {
    let town = Town::of(&["ann", "bob", "cat"]).start().await;
    let mut lines = Vec::new();
    for (name, transport) in [("ann", Transport::Tcp), ("bob", Transport::WebSocket), ("cat", Transport::WebSocketText)] {
        lines.push(town.line_over(transport, name).await);
    }
    town.admin(Verb::Notice { text: "we restart at noon".into(), title: "Maintenance".into() }).await;
    for line in &mut lines {
        let text = line.push(|push| if let Push::Notice(notice) = push { Some(notice.text) } else { None }).await;
        assert_eq!(text, "we restart at noon");
    }
    let audits = town.admin(Verb::Audit { count: 10 }).await;
    assert!(audits.to_string().contains("Maintenance"), "{audits}");
    // Nobody else can: the socket belongs to the owner of the folder, and no path leads there.
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(town.data().join("admin.sock")).unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
    for path in ["/api/v1/notice", "/api/v1/admin/notice", "/admin/notice"] {
        assert_eq!(town.api_of("ann").post(path, serde_json::json!({"text": "x"})).await.status, 404, "{path}");
    }
}

/// Fails as a whole or is seen by everybody: the same key is the same message, whatever happens in between.
#[tokio::test]
async fn a_retry_over_a_crash_is_the_same_message() {
    let mut town = Town::of(&["ann", "bob"]).start().await;
    let mut ann = town.line("ann").await;
    let chat = ann.direct_with(town.uid("bob")).await;
    let send = |key: &str| v1::Send { conversation: chat, key: key.into(), body: Some(text_body("once")), ..v1::Send::default() };
    let Reply::Ack(first) = ann.ask(Request::Send(send("k"))).await else { panic!("no ack") };
    town.crash().await;
    let mut ann = town.line("ann").await;
    let Reply::Ack(again) = ann.ask(Request::Send(send("k"))).await else { panic!("no ack") };
    assert_eq!((first.seq, first.at_ms), (again.seq, again.at_ms));
    assert_eq!(ann.history_after(chat, 0).await.len(), 1);
}

/// Requests of one connection overlap; each reply names the request it belongs to.
#[tokio::test]
async fn overlapping_requests_are_answered_by_their_numbers() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let mut ann = town.line("ann").await;
    let chat = ann.direct_with(town.uid("bob")).await;
    let mut asked = Vec::new();
    for n in 0..20 {
        let seq = ann.mouth.ask(&Request::Heartbeat(v1::Heartbeat {})).await.unwrap();
        asked.push((seq, "heartbeat"));
        let send = v1::Send { conversation: chat, key: format!("n{n}"), body: Some(text_body("x")), ..v1::Send::default() };
        asked.push((ann.mouth.ask(&Request::Send(send)).await.unwrap(), "ack"));
        let unknown = v1::GetConversation { conversation: 999_999 };
        asked.push((ann.mouth.ask(&Request::GetConversation(unknown)).await.unwrap(), "error"));
    }
    let mut answered = Vec::new();
    while answered.len() < asked.len() {
        if let Some(answer) = reply_of(&mut ann).await {
            answered.push(answer);
        }
    }
    answered.sort_unstable();
    assert_eq!(answered, asked);
}

async fn reply_of(line: &mut Line) -> Option<(i32, &'static str)> {
    use skein_testkit::wire::Heard;
    match line.ears.hear().await.unwrap() {
        Heard::Reply { seq, reply: Reply::HeartbeatReply(_) } => Some((seq, "heartbeat")),
        Heard::Reply { seq, reply: Reply::Ack(_) } => Some((seq, "ack")),
        Heard::Reply { seq, reply: Reply::Error(_) } => Some((seq, "error")),
        Heard::Reply { seq, reply } => panic!("{seq}: {reply:?}"),
        _ => None,
    }
}

#[tokio::test]
async fn a_room_is_heard_and_synced_by_its_members_alone() {
    let town = Town::of(&["ann", "bob", "cat"]).start().await;
    let (mut ann, mut bob, mut cat) = (town.line("ann").await, town.line("bob").await, town.line("cat").await);
    let room = match ann.ask(Request::CreateRoom(v1::CreateRoom { key: "r".into(), room_name: "hall".into(), ..Default::default() })).await
    {
        Reply::ConversationReply(reply) => reply.conversation.unwrap().id,
        other => panic!("{other:?}"),
    };
    let joined = bob.ask(Request::JoinRoom(v1::JoinRoom { conversation: room, key: "j".into() })).await;
    assert!(matches!(joined, Reply::ConversationReply(_)), "{joined:?}");
    ann.send(room, "for members").await;
    assert_eq!(texts(&bob.messages(room, 1).await), ["for members"]);
    // What comes next on the outsider's line is the direct message, and nothing of the room before it.
    let chat = ann.direct_with(town.uid("cat")).await;
    ann.send(chat, "for cat").await;
    let first = cat.push(|push| if let Push::ServerMessages(pushed) = push { Some(pushed.conversation) } else { None }).await;
    assert_eq!(first, chat);
    let page = cat.ask(Request::Sync(v1::Sync::default())).await;
    let Reply::SyncPage(page) = page else { panic!("{page:?}") };
    assert!(page.conversations.iter().all(|change| change.conversation.as_ref().is_none_or(|c| c.id != room)));
}

/// Half of all sessions ask so every five minutes of quiet: it must cost next to nothing.
#[tokio::test]
async fn a_sync_that_has_nothing_to_tell_costs_fifty_bytes() {
    const ANSWER_BYTES_MAX: usize = 50;
    let town = Town::of(&["ann", "bob"]).start().await;
    let (mut ann, mut bob) = (town.line("ann").await, town.line("bob").await);
    let chat = ann.direct_with(town.uid("bob")).await;
    for text in numbered(0..5) {
        ann.send(chat, &text).await;
    }
    let (cursor, messages) = bob.sync("", chat).await;
    assert_eq!(messages.len(), 5);
    let answer = match bob.ask(Request::Sync(v1::Sync { cursor: cursor.clone() })).await {
        Reply::SyncPage(page) => page,
        other => panic!("{other:?}"),
    };
    assert!(answer.conversations.is_empty() && !answer.more, "{answer:?}");
    let body = skein_protocol::Frame::reply(&Reply::SyncPage(answer), Op::SYNC, 1, Codec::Protobuf).unwrap().body;
    assert!(body.len() <= ANSWER_BYTES_MAX, "{} bytes, {} of them the cursor", body.len(), cursor.len());
}

#[tokio::test]
async fn new_rooms_are_told_once_a_second_to_whoever_has_the_directory_open() {
    const ROOMS: usize = 9;
    let town = Town::of(&["ann", "bob", "cat"]).start().await;
    let (mut ann, mut bob, mut cat) = (town.line("ann").await, town.line("bob").await, town.line("cat").await);
    let directory = bob.ask(Request::ListRooms(v1::ListRooms { watch: true, ..v1::ListRooms::default() })).await;
    assert!(matches!(directory, Reply::Rooms(_)), "{directory:?}");
    let creating = async {
        for n in 0..ROOMS {
            let room = Request::CreateRoom(v1::CreateRoom { key: format!("r{n}"), room_name: format!("room {n}"), ..Default::default() });
            assert!(matches!(ann.ask(room).await, Reply::ConversationReply(_)));
        }
    };
    let hearing = async {
        let (mut heard, mut told) = (Vec::new(), Vec::new());
        while heard.len() < ROOMS {
            let rooms = bob.push(|push| if let Push::RoomsChanged(changed) = push { Some(changed.rooms) } else { None }).await;
            heard.extend(rooms.into_iter().map(|room| room.title));
            told.push(Instant::now());
        }
        (heard, told)
    };
    let ((), (heard, told)) = tokio::join!(creating, hearing);
    assert_eq!(heard, (0..ROOMS).map(|n| format!("room {n}")).collect::<Vec<_>>(), "each once");
    assert!(told.len() < ROOMS, "several at a time");
    for pair in told.windows(2) {
        assert!(pair[1] - pair[0] > Duration::from_millis(900), "more than once a second: {told:?}");
    }
    // Cat, who looks at no directory, is told of a message and of nothing before it.
    let chat = ann.direct_with(town.uid("cat")).await;
    ann.send(chat, "hello").await;
    let first = cat
        .push(|push| match push {
            Push::RoomsChanged(_) => Some("rooms"),
            Push::ServerMessages(_) => Some("message"),
            _ => None,
        })
        .await;
    assert_eq!(first, "message");
}
