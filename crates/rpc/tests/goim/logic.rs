//! `goim.logic.Logic` by bytes: goim's comet asks our logic.

use super::world::*;
use skein_domain::id::{Generation, NodeId};
use skein_domain::live::{
    Advice, Backoff, Guest, GuestCommand, GuestKey, GuestRef, GuestReply, Mid, PushCommand, PushReply, Pusher, RoomName,
};
use skein_domain::{Code, Error};
use std::sync::Arc;

const CONNECT: &str = "/goim.logic.Logic/Connect";
const DISCONNECT: &str = "/goim.logic.Logic/Disconnect";
const HEARTBEAT: &str = "/goim.logic.Logic/Heartbeat";
const RENEW_ONLINE: &str = "/goim.logic.Logic/RenewOnline";
const RECEIVE: &str = "/goim.logic.Logic/Receive";
const NODES: &str = "/goim.logic.Logic/Nodes";

/// {server "c1", cookie "a=b", token "{}"}
const CONNECT_C1: &str = "0a 02 6331 12 03 613d62 1a 02 7b7d";
/// {mid 123, key "k", server "c1"}
const KEY_AT_C1: &str = "08 7b 12 01 6b 1a 02 6331";

fn key() -> GuestKey {
    GuestKey::parse("k").unwrap()
}

fn node() -> NodeId {
    NodeId("goim:c1".into())
}

/// Everybody is mid 123 with key "k".
fn town() -> Arc<World> {
    let guest = |command| match command {
        GuestCommand::Connect { .. } => Ok(GuestReply::Connected {
            guest: Guest {
                mid: Mid(123),
                key: key(),
                room: Some(RoomName::parse("live://1").unwrap()),
                accepts: vec![1000, 1001],
                platform: "ios".into(),
                tags: vec![],
            },
            heartbeat_ms: 480_000,
            replaced: None,
        }),
        GuestCommand::Online { rooms, .. } => Ok(GuestReply::Online { rooms }),
        _ => Ok(GuestReply::Done),
    };
    World::of_guests(guest)
}

fn asked(world: &World) -> Vec<GuestCommand> {
    std::mem::take(&mut world.logic.guests.lock().unwrap())
}

fn generation_of(command: &GuestCommand) -> Generation {
    match command {
        GuestCommand::Connect { generation, .. } => *generation,
        GuestCommand::Disconnect { guest, .. } => guest.generation,
        other => panic!("no generation in {}", serde_json::to_string(other).unwrap()),
    }
}

#[tokio::test]
async fn a_connection_is_asked_about_and_answered_in_goims_fields() {
    let world = town();
    let reply = Client::of(&world).await.call(CONNECT, CONNECT_C1).await.unwrap();
    // mid 1: 123, key 2: "k", roomID 3, accepts 4 packed: 1000, 1001, heartbeat 5: 480 s in ns.
    assert_eq!(reply, "087b 12016b 1a086c6976653a2f2f31 2204e807e907 288080eb91fc0d".replace(' ', ""));
    let asked = asked(&world);
    let generation = generation_of(&asked[0]);
    let expected =
        GuestCommand::Connect { node: node(), generation, token: b"{}".to_vec(), cookie: "a=b".into(), address: "127.0.0.1".into() };
    assert!(asked == [expected]);
}

#[tokio::test]
async fn the_end_of_an_older_connection_names_the_older_generation() {
    let world = town();
    let client = Client::of(&world).await;
    client.call(CONNECT, CONNECT_C1).await.unwrap();
    client.call(CONNECT, CONNECT_C1).await.unwrap();
    // has 1: true
    assert_eq!(client.call(DISCONNECT, KEY_AT_C1).await.unwrap(), "0801");
    let asked = asked(&world);
    assert!(generation_of(&asked[0]) < generation_of(&asked[1]));
    assert_eq!(generation_of(&asked[2]), generation_of(&asked[0]), "the newer one stays registered");
}

#[tokio::test]
async fn the_end_of_an_unknown_connection_changes_nothing() {
    let world = town();
    assert_eq!(Client::of(&world).await.call(DISCONNECT, KEY_AT_C1).await.unwrap(), "");
    assert!(asked(&world).is_empty());
}

#[tokio::test]
async fn a_heartbeat_renews_also_what_began_before_this_process() {
    let world = town();
    let client = Client::of(&world).await;
    for _ in 0..2 {
        assert_eq!(client.call(HEARTBEAT, KEY_AT_C1).await.unwrap(), "");
    }
    let renewed: Vec<Vec<(Mid, GuestRef)>> = asked(&world)
        .into_iter()
        .map(|command| match command {
            GuestCommand::Renew { node: at, live } if at == node() => live,
            _ => panic!("not renewed"),
        })
        .collect();
    assert_eq!((renewed[0][0].0, &renewed[0][0].1.key), (Mid(123), &key()));
    assert_eq!(renewed[0], renewed[1], "one generation");
}

#[tokio::test]
async fn counts_come_compressed_and_renew_all_guests_of_the_server() {
    let world = town();
    let mut client = Client::of(&world).await;
    client.call(CONNECT, CONNECT_C1).await.unwrap();
    let generation = generation_of(&asked(&world)[0]);
    client.gzip = true;
    // {server "c1", roomCount {"live://1": 5}}, and an empty room.
    let request = "0a 02 6331 12 0c 0a 08 6c6976653a2f2f31 10 05 12 05 0a 01 61 10 00";
    // allRoomCount 1: {"live://1": 5}
    assert_eq!(client.call(RENEW_ONLINE, request).await.unwrap(), "0a0c0a086c6976653a2f2f311005");
    let rooms = vec![(RoomName::parse("live://1").unwrap(), 5)];
    let expected = [
        GuestCommand::Renew { node: node(), live: vec![(Mid(123), GuestRef { key: key(), generation })] },
        GuestCommand::Online { node: node(), rooms, connections: 1, addresses: 0, weight: 0 },
    ];
    assert!(asked(&world) == expected);
}

#[tokio::test]
async fn a_message_of_a_guest_reaches_the_door() {
    let world = town();
    // {mid 123, proto {op 4, body "hi"}}
    assert_eq!(Client::of(&world).await.call(RECEIVE, "08 7b 12 06 10 04 22 02 6869").await.unwrap(), "");
    assert!(asked(&world) == [GuestCommand::Receive { mid: Mid(123), operation: 4, body: b"hi".to_vec() }]);
}

#[tokio::test]
async fn nodes_are_advice_in_goims_fields() {
    let backoff = Backoff { max_delay: 300, base_delay: 3, factor_hundredths: 180, jitter_hundredths: 30 };
    let advice = Advice {
        domain: "d".into(),
        tcp_port: 3101,
        ws_port: 3102,
        wss_port: 3103,
        heartbeat: 240,
        heartbeat_max: 2,
        nodes: vec!["n".into()],
        backoff,
    };
    let world = World::of_pushes(move |_| Ok(PushReply::Advice { advice: advice.clone() }));
    let reply = Client::of(&world).await.call(NODES, "0a 03 776562 12 07 312e322e332e34").await.unwrap();
    let expected = "0a0164 109d18 189e18 209f18 28f001 32016e 3a0f 08ac02 1003 1d6666e63f 259a99993e 4002";
    assert_eq!(reply, expected.replace(' ', ""));
    let (pusher, from, command) = world.logic.pushed.lock().unwrap().pop().unwrap();
    assert_eq!((pusher, from.address.as_str()), (Pusher::Open, "1.2.3.4"));
    assert!(command == PushCommand::Nodes { platform: "web".into(), address: "1.2.3.4".into() });
}

#[tokio::test]
async fn what_the_door_refuses_is_a_status_and_hostile_names_do_not_reach_it() {
    let refusing = World::of_guests(|_| Err(Error::new(Code::BadRequest, "no JSON object")));
    let status = Client::of(&refusing).await.call(CONNECT, CONNECT_C1).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (tonic::Code::Unknown, "no JSON object"));
    let forbidding = World::of_guests(|_| Err(Error::new(Code::Forbidden, "not trusted")));
    assert_eq!(Client::of(&forbidding).await.call(CONNECT, CONNECT_C1).await.unwrap_err().code(), tonic::Code::PermissionDenied);

    let world = town();
    let client = Client::of(&world).await;
    for (path, request) in [(CONNECT, ""), (CONNECT, "0a 02 610a"), (HEARTBEAT, "12 00 1a 02 6331"), (RENEW_ONLINE, "")] {
        assert_eq!(client.call(path, request).await.unwrap_err().code(), tonic::Code::Unknown, "{path} {request}");
    }
    // No message at all, and a length that lies.
    for request in ["ff", "0a 7f 61"] {
        assert_eq!(client.call(CONNECT, request).await.unwrap_err().code(), tonic::Code::Internal, "{request}");
    }
    assert!(asked(&world).is_empty());
}
