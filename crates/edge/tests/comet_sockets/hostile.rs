//! Clients that mean harm or know no better: each costs little and ends with the documented code.

use super::client::*;
use super::script::Script;
use super::websocket::{Raw, code_of};
use super::world::*;
use bytes::Bytes;
use skein_edge::comet::Config;
use skein_protocol::websocket::encode::{Fin, client_fragment};
use skein_protocol::websocket::{Opcode, client_frame, server_frame};
use skein_protocol::{Codec, Frame, Op, Request, v1};
use tokio::io::AsyncWriteExt;

const MASK: [u8; 4] = [1, 2, 3, 4];

fn header(pack_len: i32, header_len: u16, ver: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(pack_len.to_be_bytes());
    bytes.extend(header_len.to_be_bytes());
    bytes.extend(ver.to_be_bytes());
    bytes.extend(2i32.to_be_bytes());
    bytes.extend(1i32.to_be_bytes());
    bytes
}

#[tokio::test]
async fn tcp_rubbish_ends_with_its_code() {
    let world = World::plain().await;
    let rubbish = |logged_in: bool| {
        let body_max = if logged_in { 65_520 } else { 4_096 };
        [
            ("a header length", header(16, 15, 1), "protocol_error"),
            ("a huge length", header(i32::MAX, 16, 1), "too_big"),
            ("one byte too much", header(16 + body_max + 1, 16, 1), "too_big"),
            ("a negative length", header(-1, 16, 1), "protocol_error"),
            ("a length below the header's", header(15, 16, 1), "protocol_error"),
            ("another version", header(16, 16, 2), "unsupported_version"),
            ("another version's flag", header(16, 16, 0x0201), "unsupported_version"),
            ("text", b"GET / HTTP/1.1\r\n\r\n".to_vec(), "protocol_error"),
            ("a body that does not inflate", [header(20, 16, 0x0101), vec![0xff; 4]].concat(), "protocol_error"),
        ]
    };
    for logged_in in [false, true] {
        for (what, bytes, wanted) in rubbish(logged_in) {
            let mut client = world.client().await;
            if logged_in {
                client.log_in("1").await;
            }
            client.send(&bytes).await;
            assert_eq!(client.closed().await, wanted, "{what}, logged in: {logged_in}");
        }
    }
    world.is_empty_again().await;
}

/// goim's clients write 0 or 1 there, and its server never looks.
#[tokio::test]
async fn a_frame_of_version_0_is_one_of_version_1() {
    let world = World::plain().await;
    let mut client = world.client().await;
    client.send(&header(16, 16, 0)).await;
    let frame = client.frame().await.expect("a reply");
    assert_eq!((frame.op, frame.seq, frame.ver), (Op(3), 1, 1));
}

#[tokio::test]
async fn the_largest_allowed_body_is_taken() {
    let world = World::plain().await;
    let mut client = world.client().await;
    client.send(&Frame::new(Op::HEARTBEAT, 1, Bytes::from(vec![0x7a; 4_096])).encode()).await;
    assert_eq!(client.error(1).await, "bad_request", "understood as a frame, and not as its message");
    let mut client = world.user("1").await;
    client.send(&Frame::new(Op::SYNC, 9, Bytes::from(vec![0x7a; 65_520])).encode()).await;
    assert_eq!(client.error(9).await, "bad_request");
    client.beat().await;
}

#[tokio::test]
async fn silence_and_half_a_frame_end_by_the_clock() {
    let config = Config { auth_timeout_ms: 100, heartbeat_interval_ms: 50, ping_after_ms: 50, heartbeat_timeout_ms: 200, ..patient() };
    let world = World::new(config, Script::plain()).await;
    let half = &header(100, 16, 1)[..9];
    for bytes in [&b""[..], half] {
        let mut client = world.client().await;
        client.send(bytes).await;
        assert_eq!(client.closed().await, "auth_timeout");
        let mut client = world.user("1").await;
        client.send(bytes).await;
        assert_eq!(client.closed().await, "heartbeat_timeout");
    }
    world.is_empty_again().await;
}

#[tokio::test]
async fn whoever_never_reads_is_slow() {
    let config = Config { stall_timeout_ms: 200, ..patient() };
    let world = World::narrow(config, Script::plain()).await;
    let mut client = Client::narrow(world.tcp).await;
    client.log_in("1").await;
    // Each is more than the kernel takes in, so one stays half-written.
    let text = "x".repeat(50_000);
    while world.notify(&text).await.resynced == 0 {}
    eventually("the session has ended", || world.hub.counts().sessions == 0).await;
    assert_eq!(client.closed().await, "slow");
    world.is_empty_again().await;
}

#[tokio::test]
async fn websocket_rubbish_ends_with_its_code() {
    let world = World::plain().await;
    let text = |payload: &[u8]| client_frame(Opcode::Text, payload, MASK);
    let mut reserved_bits = text(b"{}").to_vec();
    reserved_bits[0] |= 0x40;
    let mut reserved_opcode = text(b"{}").to_vec();
    reserved_opcode[0] = 0x83;
    let mut top_bit = vec![0x82, 0xff];
    top_bit.extend(u64::MAX.to_be_bytes());
    let fragments = std::iter::once(client_fragment(Opcode::Text, Fin::More, b"", MASK))
        .chain((0..200).map(|_| client_fragment(Opcode::Continuation, Fin::More, b"", MASK)))
        .flatten();
    let long_frame = Frame { body: Bytes::new(), ..Frame::new(Op::SYNC, 1, Bytes::new()) };
    let mut lying = long_frame.encode().to_vec();
    lying[3] = 200;
    let rubbish: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", server_frame(Opcode::Text, b"{}").to_vec(), 1002),
        ("reserved bits", reserved_bits, 1002),
        ("a reserved opcode", reserved_opcode, 1002),
        ("a length with its top bit", top_bit, 1002),
        ("a fragmented ping", client_fragment(Opcode::Ping, Fin::More, b"", MASK).to_vec(), 1002),
        ("a stray continuation", client_fragment(Opcode::Continuation, Fin::Last, b"", MASK).to_vec(), 1002),
        ("text that is not UTF-8", text(&[0xff, 0xfe]).to_vec(), 1007),
        ("a message over the limit", client_frame(Opcode::Binary, &[0; 65_537], MASK)[..14].to_vec(), 1009),
        ("a flood of fragments", fragments.collect(), 1009),
        ("a frame that promises more than its message", client_frame(Opcode::Binary, &lying, MASK).to_vec(), 1002),
        ("a frame of another version", client_frame(Opcode::Binary, &header(16, 16, 2), MASK).to_vec(), 4108),
        ("half a header in a message", client_frame(Opcode::Binary, &[0; 7], MASK).to_vec(), 1002),
        ("bytes behind a frame", client_frame(Opcode::Binary, &[&long_frame.encode()[..], b"x"].concat(), MASK).to_vec(), 1002),
    ];
    for (what, bytes, wanted) in rubbish {
        let mut raw = Raw::log_in(&world, "1").await;
        raw.stream.write_all(&bytes).await.unwrap();
        assert_eq!(code_of(raw.closed().await), wanted, "{what}");
    }
    world.is_empty_again().await;
}

#[tokio::test]
async fn before_log_in_a_websocket_message_is_small() {
    let world = World::plain().await;
    let mut raw = Raw::connect(&world, &[]).await;
    raw.stream.write_all(&client_frame(Opcode::Text, &[b'x'; 4_113], MASK)).await.unwrap();
    assert_eq!(code_of(raw.closed().await), 1009);
}

#[tokio::test]
async fn a_websocket_that_ignores_pings_is_dropped() {
    let config = Config { heartbeat_interval_ms: 50, ping_after_ms: 50, heartbeat_timeout_ms: 200, ..patient() };
    let world = World::new(config, Script::plain()).await;
    let mut raw = Raw::log_in(&world, "1").await;
    let mut pings = 0;
    let code = loop {
        match raw.next().await {
            Some((0x9, _)) => pings += 1,
            Some((0x8, payload)) => break code_of(Some(payload)),
            other => panic!("unexpected {other:?}"),
        }
    };
    assert_eq!(code, 4105);
    assert!(pings >= 1);
    drop(raw);
    world.is_empty_again().await;
}

/// The same bytes mean the same, wherever reads cut them.
#[tokio::test]
async fn a_stream_may_be_cut_anywhere() {
    let world = World::plain().await;
    let auth = Request::Auth(v1::Auth { token: "1".into(), major: 1, ..Default::default() });
    let requests = [auth, Request::Heartbeat(v1::Heartbeat {}), send("k"), sync()];
    let stream: Vec<u8> =
        (1..).zip(&requests).flat_map(|(seq, request)| Frame::request(request, seq, Codec::Protobuf).unwrap().encode()).collect();
    let wanted = [(Op(8), 1), (Op(3), 2), (Op(4), 3), (Op(102), 4)];
    let cuts = (1..stream.len()).map(|at| vec![at]).chain([(1..stream.len()).collect()]);
    for cuts in cuts {
        let mut client = world.client().await;
        let mut from = 0;
        for at in cuts.iter().copied().chain([stream.len()]) {
            client.send(&stream[from..at]).await;
            tokio::task::yield_now().await;
            from = at;
        }
        for wanted in wanted {
            let frame = client.frame().await.expect("a reply");
            assert_eq!((frame.op, frame.seq), wanted, "cut at {cuts:?}");
        }
    }
    eventually("all are gone", || world.hub.counts().connections == 0).await;
}
