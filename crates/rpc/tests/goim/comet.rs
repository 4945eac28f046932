//! `goim.comet.Comet` by bytes: goim's job pushes to our connections.

use super::world::*;
use skein_domain::delivery::{Envelope, Push, Target};
use skein_domain::live::{Audience, GuestKey, LiveMessage, RoomName};
use skein_domain::{Code, Error};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PUSH: &str = "/goim.comet.Comet/PushMsg";
const BROADCAST: &str = "/goim.comet.Comet/Broadcast";
const ROOM: &str = "/goim.comet.Comet/BroadcastRoom";
const ROOMS: &str = "/goim.comet.Comet/Rooms";

/// Proto {ver 1, op 9, body = frames "hello" (op 1000) and "hi" (op 1001)}: 08 01, 10 09, 22 27 …
const TWO: &str = "08 01 10 09 22 27 \
    00000015 0010 0001 000003e8 00000000 68656c6c6f 00000012 0010 0001 000003e9 00000000 6869";
/// Proto {ver 1, op 1000, body "hi"}.
const PLAIN: &str = "08 01 10 e807 22 02 6869";

fn message(operation: i32, body: &str) -> LiveMessage {
    LiveMessage { operation, body: body.into() }
}

fn envelopes(world: &World) -> Vec<Envelope> {
    let batches = std::mem::take(&mut *world.batches.lock().unwrap());
    batches.into_iter().flat_map(|batch| batch.envelopes).collect()
}

fn live(message: LiveMessage) -> Push {
    Push::Live { room: None, messages: vec![message] }
}

/// A message as field `number` of another.
fn field(number: u8, hex: &str) -> String {
    let bytes = unhex(hex);
    assert!(bytes.len() < 128);
    format!("{:02x}{:02x}{hex}", number << 3 | 2, bytes.len())
}

#[tokio::test]
async fn keys_are_field_1_proto_2_and_proto_op_3() {
    let world = Arc::new(World::default());
    let client = Client::of(&world).await;
    let request = format!("0a 02 6b31 0a 02 6b32 {} 18 e807", field(2, TWO));
    assert_eq!(client.call(PUSH, &request).await.unwrap(), "");
    let target = Target::Guests(vec![GuestKey::parse("k1").unwrap(), GuestKey::parse("k2").unwrap()]);
    let expected = [(1000, "hello"), (1001, "hi")];
    let expected = expected.map(|(op, body)| Envelope { target: target.clone(), push: live(message(op, body)) });
    assert_eq!(envelopes(&world), expected);
}

#[tokio::test]
async fn a_message_of_another_op_is_one_message() {
    let world = Arc::new(World::default());
    let client = Client::of(&world).await;
    client.call(PUSH, &format!("0a 01 6b {}", field(2, PLAIN))).await.unwrap();
    assert_eq!(envelopes(&world)[0].push, live(message(1000, "hi")));
}

#[tokio::test]
async fn a_broadcast_has_its_op_proto_and_speed_in_1_2_and_3() {
    let world = Arc::new(World::default());
    let client = Client::of(&world).await;
    for (speed, expected) in [("18 32", Some(50)), ("", None), ("18 ffffffffffffffffff01", None)] {
        assert_eq!(client.call(BROADCAST, &format!("08 e807 {} {speed}", field(2, PLAIN))).await.unwrap(), "");
        let audience = Audience { speed: expected, ..Audience::default() };
        assert_eq!(envelopes(&world), [Envelope { target: Target::Audience(audience), push: live(message(1000, "hi")) }]);
    }
}

#[tokio::test]
async fn a_room_gets_the_whole_container_at_once() {
    let world = Arc::new(World::default());
    let client = Client::of(&world).await;
    assert_eq!(client.call(ROOM, &format!("0a 08 6c6976653a2f2f31 {}", field(2, TWO))).await.unwrap(), "");
    let room = RoomName::parse("live://1").unwrap();
    let push = Push::Live { room: Some(room.clone()), messages: vec![message(1000, "hello"), message(1001, "hi")] };
    assert_eq!(envelopes(&world), [Envelope { target: Target::LiveRoom(room), push }]);
}

#[tokio::test]
async fn rooms_are_a_map_in_field_1() {
    let world = Arc::new(World::default());
    // {"live://1": true}
    assert_eq!(Client::of(&world).await.call(ROOMS, "").await.unwrap(), "0a0c0a086c6976653a2f2f311001");
}

#[tokio::test]
async fn what_goim_refuses_is_refused_with_unknown_and_its_words() {
    let world = Arc::new(World::default());
    let client = Client::of(&world).await;
    let calls = [
        (PUSH, field(2, PLAIN), "rpc pushmsg arg error"),
        (PUSH, "0a 01 6b".into(), "rpc pushmsg arg error"),
        (BROADCAST, "08 01".into(), "rpc broadcast arg error"),
        (ROOM, "0a 01 61".into(), "rpc broadcast  room arg error"),
        (ROOM, field(2, PLAIN), "rpc broadcast  room arg error"),
    ];
    for (path, request, words) in calls {
        let status = client.call(path, &request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (tonic::Code::Unknown, words), "{path}");
    }
    assert!(world.batches.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_container_that_is_no_frames_and_a_door_that_fails_are_statuses() {
    let world = Arc::new(World::default());
    let client = Client::of(&world).await;
    // Header length 15; a frame cut short; a length of 2 GiB.
    for body in ["00000010 000f 0001 00000001 00000000", "00000015 0010 0001 00000001 00000000 68", "7fffffff 0010 0001 00000001 00000000"]
    {
        let proto = format!("10 09 {}", field(4, body));
        let status = client.call(PUSH, &format!("0a 01 6b {}", field(2, &proto))).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Unknown, "{body}");
    }
    assert!(world.batches.lock().unwrap().is_empty());
    let failing = Arc::new(World { deliver: Box::new(|_| Err(Error::new(Code::Busy, "later"))), ..World::default() });
    let status = Client::of(&failing).await.call(PUSH, &format!("0a 01 6b {}", field(2, PLAIN))).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn messages_may_have_16_mib_and_no_more() {
    let world = Arc::new(World::default());
    let client = Client::of(&world).await;
    let request = |body: usize| {
        let proto = [vec![0x10, 1, 0x22], varint(body), vec![b'x'; body]].concat();
        [vec![0x0a, 1, b'k', 0x12], varint(proto.len()), proto].concat()
    };
    client.call_bytes(PUSH, request(15 << 20)).await.unwrap();
    let status = client.call_bytes(PUSH, request(16 << 20)).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::OutOfRange);
    assert_eq!(world.batches.lock().unwrap().len(), 1);
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push(number as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// goim's job pings an idle link every 10 s; Go's servers cut such a link. Ours answers each of many pings.
#[tokio::test]
async fn pings_on_an_idle_link_are_answered_and_never_cut_it() {
    const PINGS: usize = 50;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const ACK: u8 = 1;
    let world = Arc::new(World::default());
    let mut stream = tokio::net::TcpStream::connect(serve(&world).await).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let (mut answered, mut next) = (0, 0_u64);
    stream.write_all(&ping(next)).await.unwrap();
    while answered < PINGS {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await.unwrap();
        assert_ne!(head[3], GOAWAY);
        if head[3] == PING && head[4] & ACK != 0 {
            assert_eq!(payload, next.to_be_bytes());
            (answered, next) = (answered + 1, next + 1);
            stream.write_all(&ping(next)).await.unwrap();
        }
    }
}

fn ping(number: u64) -> Vec<u8> {
    [vec![0, 0, 8, 6, 0, 0, 0, 0, 0], number.to_be_bytes().to_vec()].concat()
}
