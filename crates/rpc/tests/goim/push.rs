//! `skein.push.v1.Push`: the same keys, bounds and outcomes as over HTTP.

use super::world::*;
use skein_domain::id::{ConversationId, Millis, NodeId, Seq, Uid};
use skein_domain::live::{
    Audience, GuestKey, LiveNode, Mid, Priority, PushCommand, PushOutcome, PushReply, PushRequest, PushState, PushTarget, Pusher, Receipt,
    RoomName, Stored,
};
use skein_domain::{Code, Error};
use std::sync::Arc;
use std::time::Duration;

/// Far longer than an answer takes, far shorter than a call may.
const PATIENCE: Duration = Duration::from_secs(8);

const PUSH: &str = "/skein.push.v1.Push/Push";
const BATCH: &str = "/skein.push.v1.Push/PushBatch";
const RECEIPT: &str = "/skein.push.v1.Push/GetReceipt";
const ROOMS: &str = "/skein.push.v1.Push/CountRooms";
const TOTAL: &str = "/skein.push.v1.Push/CountTotal";
const NODES: &str = "/skein.push.v1.Push/ListNodes";

fn accepting() -> Arc<World> {
    let push = |command| match command {
        PushCommand::Push { requests } => {
            let stored = || vec![Stored { uid: Some(Uid(7)), conversation: ConversationId(5), seq: Seq(6) }];
            let accepted = |_| PushOutcome::Accepted { push: "id".into(), stored: stored(), would_reach: Some(0), repeated: true };
            Ok(PushReply::Pushed { outcomes: requests.iter().map(accepted).collect() })
        }
        PushCommand::Receipt { push } => Ok(PushReply::Receipt {
            receipt: Receipt { push, app: Uid(1), state: PushState::Delivered, at: Millis(5), found: 3, queued: 2, dropped: 1 },
        }),
        PushCommand::Instances => Ok(PushReply::Nodes { nodes: vec![node()] }),
        PushCommand::Total => Ok(PushReply::Total { connections: 5, addresses: 2 }),
        PushCommand::Top { .. } | PushCommand::Rooms { .. } => Ok(PushReply::Counts { rooms: vec![(RoomName::parse("a").unwrap(), 4)] }),
        _ => Err(Error::internal()),
    };
    World::of_pushes(push)
}

fn node() -> LiveNode {
    let (tcp, websocket) = ("h:1".into(), "w".into());
    LiveNode { node: NodeId("n".into()), tcp, websocket, weight: 1, connections: 2, addresses: 3, draining: true, renewed_at: Millis(5) }
}

async fn client(world: &Arc<World>) -> Client {
    Client { key: Some(API_KEY), ..Client::of(world).await }
}

fn requests(world: &World) -> Vec<PushRequest> {
    let asked = std::mem::take(&mut *world.logic.pushed.lock().unwrap());
    let requests = asked.into_iter().flat_map(|(_, _, command)| match command {
        PushCommand::Push { requests } => requests,
        _ => vec![],
    });
    requests.collect()
}

#[tokio::test]
async fn receivers_and_everything_else_have_their_fields() {
    let world = accepting();
    let client = client(&world).await;
    let audience = Audience { platforms: vec!["web".into()], tags: vec!["vip".into()], speed: Some(5) };
    let targets = [
        ("0a 04 0a02 0708", PushTarget::Uids(vec![Uid(7), Uid(8)])),
        ("12 01 61", PushTarget::Room(RoomName::parse("a").unwrap())),
        ("1a 0c 0a03 776562 1203 766970 1805", PushTarget::All(audience)),
        ("22 03 0a01 6b", PushTarget::Keys(vec![GuestKey::parse("k").unwrap()])),
        ("2a 03 0a01 07", PushTarget::Mids(vec![Mid(7)])),
    ];
    for (to, target) in targets {
        // operation 6, body 7
        let reply = client.call(PUSH, &format!("{to} 30 e807 3a 02 6869")).await.unwrap();
        // push_id 1, stored 2 {uid 7, conversation 5, seq 6}, would_reach 3: 0, repeated_push 4
        assert_eq!(reply, "0a026964 1206080710051806 1800 2001".replace(' ', ""), "{to}");
        let request = requests(&world).pop().unwrap();
        assert_eq!((request.target, request.message.operation, request.message.body), (target, 1000, b"hi".to_vec()));
        assert_eq!((request.durable, request.key, request.not_before, request.ttl_ms, request.dry_run), (false, None, None, None, false));
    }
    client.call(PUSH, "12 01 61 30 12 40 01 4a 01 6b 50 05 58 06 60 01 68 01").await.unwrap();
    let request = requests(&world).pop().unwrap();
    assert_eq!((request.durable, request.dry_run, request.not_before, request.ttl_ms), (true, true, Some(Millis(5)), Some(6)));
    assert_eq!((request.key.unwrap().as_str(), request.priority), ("k", Priority::Urgent));
    client.call(PUSH, "12 01 61 30 12 40 01").await.unwrap();
    assert!(requests(&world).pop().unwrap().key.is_some(), "a durable push has a key");
}

#[tokio::test]
async fn without_a_key_that_is_known_nothing_is_judged() {
    let world = accepting();
    let mut client = Client::of(&world).await;
    for key in [None, Some(""), Some("wrong")] {
        client.key = key;
        for path in [PUSH, BATCH, RECEIPT, ROOMS, TOTAL, NODES] {
            let status = client.call(path, "").await.unwrap_err();
            assert_eq!(
                (status.code(), text(status.metadata(), "skein-code")),
                (tonic::Code::Unauthenticated, Some("unauthorized")),
                "{path}"
            );
        }
    }
    assert!(world.logic.pushed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_key_is_judged_before_any_of_the_message_is_read() {
    let world = accepting();
    let mut client = Client::of(&world).await;
    for key in [None, Some("wrong")] {
        client.key = key;
        for path in [PUSH, BATCH, RECEIPT, ROOMS, TOTAL, NODES] {
            let answered = tokio::time::timeout(PATIENCE, client.call_without_message(path)).await;
            let status = answered.unwrap_or_else(|_| panic!("{path} waits for a message of {key:?}")).unwrap_err();
            let told = (status.code(), text(status.metadata(), "skein-code"));
            assert_eq!(told, (tonic::Code::Unauthenticated, Some("unauthorized")), "{path}");
        }
    }
}

/// Nothing happens on the pipe, so that time goes by at once.
#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_come_is_not_waited_for_for_ever() {
    let world = accepting();
    let client = Client { key: Some(API_KEY), ..Client::through_a_pipe(&world) };
    let began = tokio::time::Instant::now();
    let status = client.call_without_message(PUSH).await.unwrap_err();
    assert_eq!((status.code(), text(status.metadata(), "skein-code")), (tonic::Code::DeadlineExceeded, Some("timeout")));
    assert_eq!(began.elapsed().as_secs(), 10);
    assert!(world.logic.pushed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_key_and_the_address_are_shown_to_the_door() {
    let world = accepting();
    assert_eq!(client(&world).await.call(TOTAL, "").await.unwrap(), "08051002");
    let (pusher, from, _) = world.logic.pushed.lock().unwrap().pop().unwrap();
    assert_eq!((pusher, from.address.as_str()), (Pusher::ApiKey(API_KEY.into()), "127.0.0.1"));
}

#[tokio::test]
async fn calls_of_another_shape_are_refused_before_the_door() {
    let world = accepting();
    let client = client(&world).await;
    let long = format!("12 01 61 30 12 3a 81 80 04 {}", "78".repeat(65_537));
    let many =
        format!("2a e9 07 0a e9 07 {}", "00".repeat(1_001).replacen("00", "01", 1_001)).replace("2a e9 07 0a e9 07", "2a ec07 0a e907");
    let calls = [
        ("30 12", "bad_request"),
        ("12 01 61 30 11", "bad_request"),
        ("12 01 61 30 ffffffffffffffffff01", "bad_request"),
        ("12 00 30 12", "bad_request"),
        ("0a 00 30 12", "bad_request"),
        ("22 02 0a 00 30 12", "bad_request"),
        (&long, "too_large"),
        (&many, "too_large"),
        ("12 01 61 30 12 4a 03 612062", "bad_request"),
    ];
    for (request, code) in calls {
        let status = client.call(PUSH, request).await.unwrap_err();
        assert_eq!((status.code(), text(status.metadata(), "skein-code")), (tonic::Code::InvalidArgument, Some(code)), "{request:.30}");
    }
    assert_eq!(client.call(BATCH, "").await.unwrap_err().code(), tonic::Code::InvalidArgument);
    assert_eq!(client.call(BATCH, &"0a 00".repeat(101)).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    assert_eq!(client.call(ROOMS, "18 e907").await.unwrap_err().code(), tonic::Code::InvalidArgument);
    let huge = [vec![0x3a, 0x80, 0x80, 0x80, 0x01], vec![b'x'; 2 << 20]].concat();
    assert_eq!(client.call_bytes(PUSH, huge).await.unwrap_err().code(), tonic::Code::OutOfRange);
    assert!(world.logic.pushed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn in_a_batch_each_stands_alone() {
    let world = accepting();
    let reply = client(&world).await.call(BATCH, "0a 05 120161 3012 0a 00 0a 05 120162 3012").await.unwrap();
    let accepted = "0a12 0a10 0a026964 1206080710051806 1800 2001".replace(' ', "");
    assert!(reply.starts_with(&accepted) && reply.ends_with(&accepted), "{reply}");
    assert!(reply.contains(&tohex(b"bad_request")), "{reply}");
    assert_eq!(requests(&world).len(), 2);
}

#[tokio::test]
async fn receipts_and_counts_are_told() {
    let client = client(&accepting()).await;
    assert_eq!(client.call(RECEIPT, "0a 02 6964").await.unwrap(), "0a026964 1003 1805 2003 2802 3001".replace(' ', ""));
    for request in ["", "12 01 61 18 05", "0a 01 61"] {
        assert_eq!(client.call(ROOMS, request).await.unwrap(), "0a050a01611004", "{request}");
    }
    let node = "0a 15 0a016e 1203683a31 1a0177 2001 2802 3003 3801 4005".replace(' ', "");
    assert_eq!(client.call(NODES, "").await.unwrap(), node);
}

#[tokio::test]
async fn a_refusal_has_its_code_and_the_time_to_wait() {
    let cases = [
        (Code::RateLimited, tonic::Code::ResourceExhausted),
        (Code::Forbidden, tonic::Code::PermissionDenied),
        (Code::Unauthorized, tonic::Code::Unauthenticated),
        (Code::IdempotencyConflict, tonic::Code::AlreadyExists),
        (Code::Unavailable, tonic::Code::Unavailable),
        (Code::Internal, tonic::Code::Internal),
    ];
    for (code, expected) in cases {
        let world = World::of_pushes(move |_| Err(Error::new(code, "why").retry_after(1_500)));
        let status = client(&world).await.call(TOTAL, "").await.unwrap_err();
        assert_eq!((status.code(), text(status.metadata(), "skein-code")), (expected, Some(code.as_str())));
        assert_eq!(text(status.metadata(), "retry-after-ms"), Some("1500"));
    }
}
