//! WebSocket as an independent client and as raw bytes see it.

use super::client::*;
use super::script::Script;
use super::world::*;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use skein_domain::delivery::Target;
use skein_edge::comet::Config;
use skein_protocol::websocket::encode::{Fin, client_fragment};
use skein_protocol::websocket::{Opcode, client_frame};
use skein_protocol::{Codec, Frame, Op, Push, Request, v1};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_websockets::{ClientBuilder, Limits, MaybeTlsStream, Message, WebSocketStream};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(world: &World, headers: &[(&'static str, String)]) -> Socket {
    let mut builder = ClientBuilder::new().uri(&format!("ws://{}/ws", world.http)).unwrap().limits(Limits::unlimited());
    for (name, value) in headers {
        builder = builder.add_header(name.parse().unwrap(), value.parse().unwrap()).unwrap();
    }
    builder.connect().await.unwrap().0
}

fn cookie(world: &World, token: &str) -> [(&'static str, String); 2] {
    [("cookie", format!("skein_session={token}")), ("origin", format!("http://{}", world.http))]
}

async fn next(socket: &mut Socket) -> Option<Message> {
    let next = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("the server says something");
    next.and_then(Result::ok)
}

async fn json_of(socket: &mut Socket) -> Value {
    let message = next(socket).await.expect("a message");
    serde_json::from_str(message.as_text().expect("text")).unwrap()
}

async fn close_of(socket: &mut Socket) -> (u16, String) {
    loop {
        let message = next(socket).await.expect("a close frame");
        if let Some((code, reason)) = message.as_close() {
            return (code.into(), reason.to_owned());
        }
    }
}

async fn say(socket: &mut Socket, value: Value) {
    socket.send(Message::text(value.to_string())).await.unwrap();
}

#[tokio::test]
async fn a_cookie_logs_in_and_hello_is_the_first_message() {
    let world = World::plain().await;
    let mut socket = open(&world, &cookie(&world, "7")).await;
    let hello = json_of(&mut socket).await;
    assert_eq!((&hello["type"], &hello["payload"]["uid"]), (&json!("hello"), &json!("7")));
    assert_eq!(hello["payload"]["epoch"], json!(u64::MAX.to_string()), "64-bit numbers are strings");
    say(&mut socket, json!({"type": "requestRoomHistory", "seq": 5, "payload": {"conversation": "5", "count": 20}})).await;
    let answer = json_of(&mut socket).await;
    assert_eq!((&answer["type"], &answer["seq"]), (&json!("error"), &json!(5)), "the script answers done, which is no history");
    world.notify("x").await;
    assert_eq!(json_of(&mut socket).await["payload"]["text"], "x");
}

#[tokio::test]
async fn a_cookie_that_is_not_valid_is_told_after_the_upgrade() {
    let world = World::plain().await;
    let mut socket = open(&world, &cookie(&world, "nobody")).await;
    assert_eq!(close_of(&mut socket).await, (1008, "auth_failed".into()));
    let foreign = [("cookie", "skein_session=7".to_owned()), ("origin", "https://evil.example".to_owned())];
    let mut socket = open(&world, &foreign).await;
    assert_eq!(close_of(&mut socket).await, (1008, "forbidden".into()));
    assert!(world.logic.connects.lock().unwrap().iter().all(|connect| connect.node.0 == "node-1"));
    assert_eq!(world.logic.connects.lock().unwrap().len(), 1, "logic is not asked about a foreign page's cookie");
    drop(socket);
    world.is_empty_again().await;
}

#[tokio::test]
async fn trouble_of_the_server_lets_a_browser_come_back() {
    let world = World::plain().await;
    let mut socket = open(&world, &cookie(&world, "down")).await;
    assert_eq!(close_of(&mut socket).await.0, 1011);
}

#[tokio::test]
async fn a_bearer_token_logs_in_at_the_upgrade() {
    let world = World::plain().await;
    let mut socket = open(&world, &[("authorization", "Bearer 8".to_owned())]).await;
    assert_eq!(json_of(&mut socket).await["payload"]["uid"], "8");
}

#[tokio::test]
async fn without_either_op_7_logs_in_as_text_or_binary_and_chooses_the_form() {
    let world = World::plain().await;
    let mut text = open(&world, &[]).await;
    say(&mut text, json!({"type": "auth", "seq": 3, "payload": {"token": "1", "major": 1}})).await;
    let hello = json_of(&mut text).await;
    assert_eq!((&hello["type"], &hello["seq"]), (&json!("hello"), &json!(3)));

    let mut binary = open(&world, &[]).await;
    let auth = Request::Auth(v1::Auth { token: "2".into(), major: 1, ..Default::default() });
    binary.send(Message::binary(Frame::request(&auth, 4, Codec::Protobuf).unwrap().encode())).await.unwrap();
    let hello = Bytes::copy_from_slice(next(&mut binary).await.unwrap().as_payload());
    let hello = Frame::from_message(&hello, skein_protocol::frame::Limits::SKEIN, skein_protocol::Strictness::Skein).unwrap();
    assert_eq!((hello.op, hello.seq), (Op(8), 4));

    world.notify("x").await;
    assert_eq!(json_of(&mut text).await["type"], "notice");
    assert!(next(&mut binary).await.unwrap().is_binary());
    // Each message is answered as it came, whatever the form of pushes.
    say(&mut binary, json!({"type": "heartbeat", "seq": 9})).await;
    assert_eq!(json_of(&mut binary).await["type"], "heartbeatReply");
}

#[tokio::test]
async fn a_first_message_that_is_no_log_in_ends_with_1008() {
    let world = World::plain().await;
    for first in [json!({"type": "sync", "seq": 1}), json!({"type": "fly", "seq": 1}), json!(7)] {
        let mut socket = open(&world, &[]).await;
        say(&mut socket, first).await;
        assert_eq!(json_of(&mut socket).await["type"], "error");
        assert_eq!(close_of(&mut socket).await.0, 1008);
    }
    let config = Config { auth_timeout_ms: 100, ..patient() };
    let world = World::new(config, Script::plain()).await;
    let mut silent = open(&world, &[]).await;
    assert_eq!(close_of(&mut silent).await, (4106, "auth_timeout".into()));
}

#[tokio::test]
async fn text_that_is_not_understood_is_answered_and_the_connection_stays() {
    let world = World::plain().await;
    let mut socket = open(&world, &cookie(&world, "1")).await;
    json_of(&mut socket).await;
    for (said, code) in [("{nonsense", "bad_json"), ("[]", "bad_request"), (r#"{"type":"fly","seq":6}"#, "unsupported")] {
        socket.send(Message::text(said.to_owned())).await.unwrap();
        assert_eq!(json_of(&mut socket).await["payload"]["code"], code, "{said}");
    }
    say(&mut socket, json!({"type": "heartbeat", "seq": 2})).await;
    assert_eq!(json_of(&mut socket).await["seq"], 2);
}

#[tokio::test]
async fn lengths_of_all_three_sizes_arrive_whole() {
    let world = World::plain().await;
    let mut socket = open(&world, &cookie(&world, "1")).await;
    json_of(&mut socket).await;
    for len in [0, 1, 60, 125, 126, 127, 60_000, 65_535, 65_536, 200_000] {
        world.notify(&"x".repeat(len)).await;
        let notice = json_of(&mut socket).await;
        assert_eq!(notice["payload"]["text"].as_str().unwrap_or_default().len(), len);
    }
}

#[tokio::test]
async fn a_tcp_user_and_a_websocket_user_hear_each_other() {
    let world = World::plain().await;
    let mut ann = world.user("1").await;
    let mut bob = open(&world, &cookie(&world, "2")).await;
    json_of(&mut bob).await;
    let both = Target::Connections(vec![world.connection(1), world.connection(2)]);
    let typing = skein_domain::delivery::Push::Typing { conversation: skein_domain::id::ConversationId(5), uid: skein_domain::id::Uid(1) };
    assert_eq!(world.push(both, typing).await.queued, 2);
    assert!(matches!(ann.push().await, Push::TypingPush(push) if push.uid == 1));
    assert_eq!(json_of(&mut bob).await, json!({"type": "typing", "seq": 0, "payload": {"conversation": "5", "uid": "1"}}));
    say(&mut bob, json!({"type": "clientMessages", "seq": 3, "payload": {"conversation": "5", "key": "k", "body": {"kind": "text", "segments": [{"text": "hi"}]}}})).await;
    assert_eq!(json_of(&mut bob).await["type"], "ack");
    let seq = ann.ask(send("k")).await;
    ann.reply(seq).await;
    let asked = world.logic.asked.lock().unwrap().clone();
    assert_eq!(asked[0], asked[1], "one command, whatever it came by");
}

#[tokio::test]
async fn fragments_with_a_ping_between_are_one_message() {
    let world = World::plain().await;
    let mut raw = Raw::log_in(&world, "1").await;
    let mask = [9, 8, 7, 6];
    let pieces = [
        client_fragment(Opcode::Text, Fin::More, br#"{"type":"heart"#, mask),
        client_frame(Opcode::Ping, b"are you there", mask),
        client_fragment(Opcode::Continuation, Fin::Last, br#"beat","seq":4}"#, mask),
    ];
    for byte in pieces.concat() {
        raw.stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(raw.next().await, Some((0xA, b"are you there".to_vec())));
    let (opcode, payload) = raw.next().await.unwrap();
    assert_eq!((opcode, serde_json::from_slice::<Value>(&payload).unwrap()["seq"].clone()), (0x1, json!(4)));
}

#[tokio::test]
async fn a_close_is_answered_with_its_code() {
    let world = World::plain().await;
    let mut raw = Raw::log_in(&world, "1").await;
    raw.stream.write_all(&client_frame(Opcode::Close, &[0x03, 0xe9], [1, 1, 1, 1])).await.unwrap();
    assert_eq!(code_of(raw.closed().await), 1001);
    world.is_empty_again().await;
}

#[tokio::test]
async fn everything_else_is_the_gates() {
    let world = World::plain().await;
    let mut stream = TcpStream::connect(world.http).await.unwrap();
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\nGET /ws HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("from the gate"), "{answer}");
    assert!(answer.contains("HTTP/1.1 426") && answer.contains("problem+json"), "{answer}");
}

/// A client that says exactly the bytes it is told, and reads frames by hand.
pub struct Raw {
    pub stream: TcpStream,
    buf: BytesMut,
}

impl Raw {
    pub async fn connect(world: &World, headers: &[(&'static str, String)]) -> Self {
        let mut stream = TcpStream::connect(world.http).await.unwrap();
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request = format!(
            "GET /ws HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n",
            world.http
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut buf = BytesMut::new();
        let end = loop {
            if let Some(at) = buf.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert_ne!(stream.read_buf(&mut buf).await.unwrap(), 0, "no answer to the upgrade");
        };
        let head = String::from_utf8_lossy(&buf[..end]).into_owned();
        assert!(head.starts_with("HTTP/1.1 101") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        buf.advance(end);
        Self { stream, buf }
    }

    pub async fn log_in(world: &World, token: &str) -> Self {
        let mut raw = Self::connect(world, &[("authorization", format!("Bearer {token}"))]).await;
        assert_eq!(raw.next().await.map(|(opcode, _)| opcode), Some(0x1), "hello");
        raw
    }

    /// Opcode and payload; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        next_in(&mut self.stream, &mut self.buf, parse).await
    }

    /// Payload of the close frame; nothing follows it.
    pub async fn closed(&mut self) -> Option<Vec<u8>> {
        loop {
            let (opcode, payload) = self.next().await?;
            if opcode == 0x8 {
                assert_eq!(self.next().await, None);
                return Some(payload);
            }
        }
    }
}

pub fn code_of(payload: Option<Vec<u8>>) -> u16 {
    payload.as_deref().and_then(<[u8]>::first_chunk).map_or(0, |code| u16::from_be_bytes(*code))
}

/// One unmasked frame, read without the codec under test.
fn parse(buf: &mut BytesMut) -> Option<(u8, Vec<u8>)> {
    let (head, len) = match *buf.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(buf.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(buf.get(2..10)?.try_into().ok()?) as usize),
        len => (2, usize::from(len)),
    };
    if buf.len() < head + len {
        return None;
    }
    let opcode = buf[0] & 0x0f;
    buf.advance(head);
    Some((opcode, buf.split_to(len).to_vec()))
}
