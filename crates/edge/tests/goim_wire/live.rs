//! Sessions of accounts in live rooms, beside guests.

use super::client::*;
use super::world::*;
use bytes::BytesMut;
use skein_domain::command::Command;
use skein_domain::delivery::{Envelope, Push as Told, Target};
use skein_domain::id::{Millis, Uid};
use skein_domain::live::{Mid, RoomName, Somebody};
use skein_protocol::table::Incoming;
use skein_protocol::v1::live_message::Content;
use skein_protocol::{Codec, Frame, FrameDecoder, Push, Reply, Request, Strictness, frame::Limits, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

struct Account {
    stream: TcpStream,
    buf: BytesMut,
    seq: i32,
}

impl Account {
    async fn log_in(world: &World, token: &str) -> Self {
        let mut me = Self { stream: TcpStream::connect(world.tcp).await.unwrap(), buf: BytesMut::new(), seq: 0 };
        let auth = v1::Auth { token: token.into(), major: 1, ..Default::default() };
        assert!(matches!(me.ask(Request::Auth(auth)).await, Reply::Hello(_)));
        me
    }

    async fn hear(&mut self) -> Incoming {
        let decoder = FrameDecoder::new(Limits::SKEIN, Strictness::Skein);
        let frame = tokio::time::timeout(std::time::Duration::from_secs(10), async {
            loop {
                if let Some(frame) = decoder.decode(&mut self.buf).unwrap() {
                    return frame;
                }
                assert_ne!(self.stream.read_buf(&mut self.buf).await.unwrap(), 0, "closed");
            }
        });
        let frame = frame.await.expect("the server says something");
        Incoming::decode(frame.op, frame.seq, Codec::Protobuf, &frame.body).unwrap()
    }

    async fn ask(&mut self, request: Request) -> Reply {
        self.seq += 1;
        self.stream.write_all(&Frame::request(&request, self.seq, Codec::Protobuf).unwrap().encode()).await.unwrap();
        match self.hear().await {
            Incoming::Reply(reply) => reply,
            Incoming::Push(push) => panic!("a push before the reply: {push:?}"),
        }
    }

    async fn join(&mut self, room: &str, presence: bool) -> Reply {
        self.ask(Request::JoinLive(v1::JoinLive { room: room.into(), presence })).await
    }

    async fn push(&mut self) -> Push {
        match self.hear().await {
            Incoming::Push(push) => push,
            Incoming::Reply(reply) => panic!("a reply instead of a push: {reply:?}"),
        }
    }

    async fn hears(&mut self, room: &str, operation: i32, text: &str) {
        let messages = vec![v1::LiveMessage { operation, content: Some(Content::Text(text.into())) }];
        assert_eq!(self.push().await, Push::LivePush(v1::LivePush { room: room.into(), messages }));
    }
}

fn code(reply: Reply) -> String {
    if let Reply::Error(error) = reply { error.code } else { format!("{reply:?}") }
}

#[tokio::test]
async fn a_session_hears_the_rooms_it_is_in_and_guests_the_same_push() {
    let world = World::plain().await;
    let mut account = Account::log_in(&world, "7").await;
    let mut guest = world.guest(Via::WebSocket, r#"{"room_id":"live://1"}"#).await;
    for room in ["live://1", "live://2"] {
        assert!(matches!(account.join(room, false).await, Reply::LiveRoomReply(_)));
    }
    guest.beats(2).await;
    assert_eq!(world.push(room("live://1"), &[(1000, b"hi")]).await.queued, 2);
    account.hears("live://1", 1000, "hi").await;
    guest.hears_push(&[(1000, b"hi")]).await;
    world.push(room("live://2"), &[(1000, b"ho")]).await;
    account.hears("live://2", 1000, "ho").await;
    assert!(matches!(account.ask(Request::LeaveLive(v1::LeaveLive { room: "live://1".into() })).await, Reply::Done(_)));
    assert_eq!(world.push(room("live://1"), &[(1000, b"x")]).await.queued, 1);
    assert!(matches!(world.logic.asked.lock().unwrap().last(), Some(Command::LeaveLive { .. })));
    drop((account, guest));
    world.is_empty_again().await;
}

#[tokio::test]
async fn who_is_refused_hears_nothing_and_two_hundred_rooms_are_enough() {
    let world = World::plain().await;
    let mut account = Account::log_in(&world, "7").await;
    assert_eq!(code(account.join("closed://1", false).await), "forbidden");
    assert_eq!(world.push(room("closed://1"), &[(1, b"x")]).await.found, 0);
    assert_eq!(code(account.join("", false).await), "bad_request");
    for nth in 0..200 {
        assert!(matches!(account.join(&format!("live://{nth}"), false).await, Reply::LiveRoomReply(_)));
    }
    let asked = world.logic.asked.lock().unwrap().len();
    assert_eq!(code(account.join("live://one more", false).await), "rooms_full");
    assert_eq!(world.logic.asked.lock().unwrap().len(), asked, "logic is not asked");
    assert!(matches!(account.join("live://5", false).await, Reply::LiveRoomReply(_)), "again is not one more");
    account.ask(Request::LeaveLive(v1::LeaveLive { room: "live://5".into() })).await;
    assert!(matches!(account.join("live://one more", false).await, Reply::LiveRoomReply(_)));
}

#[tokio::test]
async fn a_session_hears_of_pushes_to_all_what_it_named() {
    let world = World::plain().await;
    let mut account = Account::log_in(&world, "7").await;
    assert_eq!(world.push(all(), &[(1000, b"x")]).await.found, 0);
    let accept = |operations: Vec<i32>| Request::AcceptOperations(v1::AcceptOperations { operations });
    assert!(matches!(account.ask(accept(vec![1000, 1001])).await, Reply::Done(_)));
    assert_eq!(world.push(all(), &[(1000, b"x"), (5, b"y"), (1001, b"z")]).await.queued, 2);
    account.hears("", 1000, "x").await;
    account.hears("", 1001, "z").await;
    for (platform, tag, fits) in [("web", "staff", 1), ("desktop", "staff", 0), ("web", "vip", 0)] {
        let audience = skein_domain::live::Audience { platforms: vec![platform.into()], tags: vec![tag.into()], speed: None };
        assert_eq!(world.push(Target::Audience(audience), &[(1000, b"fits")]).await.found, fits, "{platform} {tag}");
    }
    account.hears("", 1000, "fits").await;
    assert!(matches!(account.ask(accept(vec![5])).await, Reply::Done(_)));
    assert_eq!(world.push(all(), &[(1000, b"x")]).await.found, 0, "the later list takes the place of the earlier");
    assert_eq!(code(account.ask(accept((0..129).collect())).await), "bad_request");
    assert_eq!(world.push(all(), &[(5, b"x")]).await.found, 1);
}

#[tokio::test]
async fn presence_is_told_to_those_who_asked() {
    let world = World::plain().await;
    let mut asks = Account::log_in(&world, "7").await;
    let mut does_not = Account::log_in(&world, "8").await;
    let mut guest = world.guest(Via::Tcp, r#"{"room_id":"live://1"}"#).await;
    asks.join("live://1", true).await;
    does_not.join("live://1", false).await;
    let room_name = RoomName::parse("live://1").unwrap();
    let push = Told::Presence { room: room_name.clone(), count: 3, joined: vec![Somebody::Guest { mid: Mid(5) }], left: Vec::new() };
    let delivered = world.deliver(Envelope { target: Target::LiveRoom(room_name), push }).await;
    assert_eq!((delivered.found, delivered.queued), (1, 1));
    assert!(matches!(asks.push().await, Push::Presence(presence) if presence.count == 3 && presence.joined.len() == 1));
    world.push(room("live://1"), &[(1, b"x")]).await;
    does_not.hears("live://1", 1, "x").await;
    guest.hears_push(&[(1, b"x")]).await;
}

/// What an account's client does not read would end its connection.
#[tokio::test]
async fn a_batch_over_the_size_of_a_frame_comes_in_several_and_a_message_over_it_not_at_all() {
    let world = World::plain().await;
    let mut account = Account::log_in(&world, "7").await;
    account.join("live://1", false).await;
    let mut guest = world.guest(Via::Tcp, r#"{"room_id":"live://1"}"#).await;
    let (body, huge) = (vec![b'x'; 10_000], vec![b'y'; 70_000]);
    let mut messages: Vec<(i32, &[u8])> = (0..20).map(|nth| (nth, &body[..])).collect();
    messages[7].1 = &huge;
    assert_eq!(world.push(room("live://1"), &messages).await.queued, 2);
    guest.hears_push(&messages).await;
    let mut heard = Vec::new();
    while heard.len() < 19 {
        match account.push().await {
            Push::LivePush(push) => heard.extend(push.messages.iter().map(|message| message.operation)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard, (0..20).filter(|nth| *nth != 7).collect::<Vec<_>>());
    let delivered = world.push(room("live://1"), &[(1, &huge)]).await;
    assert_eq!((delivered.found, delivered.queued, delivered.dropped), (2, 1, 1));
    guest.hears_push(&[(1, &huge)]).await;
}

/// Chat at the bound is taken back by a resync; a live push is gone, and costs chat nothing.
#[tokio::test]
async fn live_pushes_at_a_full_queue_cause_no_resync() {
    let world = World::narrow(patient()).await;
    let mut account = Account::log_in(&world, "7").await;
    account.join("live://1", false).await;
    let body = [b'x'; 4_000];
    let mut dropped = 0;
    for _ in 0..1_000 {
        let delivered = world.push(room("live://1"), &[(1, &body)]).await;
        assert_eq!(delivered.resynced, 0);
        dropped += delivered.dropped;
    }
    assert!(dropped > 50, "its queue is full");
    let notice = Told::Notice { title: "t".into(), text: "chat".into(), at: Millis(1) };
    let delivered = world.deliver(Envelope { target: Target::Everyone, push: notice }).await;
    assert_eq!((delivered.queued, delivered.resynced), (1, 0), "live pushes make room for it");
    let text = loop {
        match account.push().await {
            Push::LivePush(_) => {}
            Push::Notice(notice) => break notice.text,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((text.as_str(), world.hub.user_of(skein_domain::id::SessionId(7))), ("chat", Some(Uid(7))));
}
