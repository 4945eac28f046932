//! The WebSocket codec: the examples of RFC 6455, sizes, cut streams, fragments, hostile bytes.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use serde::Deserialize;
use skein_protocol::CloseCode;
use skein_protocol::websocket::encode::{Fin, client_fragment};
use skein_protocol::websocket::{
    CloseFrame, Decoder, FrameHead, Limits, Message, Opcode, Role, WebSocketError, client_frame, close_payload, server_frame,
};

use crate::strategies::{cuts, messages, pieces};
use crate::{hex, read};

const LIMITS: Limits = Limits::of_message(65_536);
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Deserialize)]
struct Golden {
    name: String,
    role: String,
    hex: String,
    messages: Vec<GoldenMessage>,
}

#[derive(Deserialize)]
struct GoldenMessage {
    kind: String,
    data: String,
    code: Option<u16>,
}

impl Golden {
    fn role(&self) -> Role {
        if self.role == "server" { Role::Server } else { Role::Client }
    }
}

impl GoldenMessage {
    fn message(&self) -> Message {
        let data = Bytes::from(hex::decode(&self.data));
        match self.kind.as_str() {
            "text" => Message::Text(data),
            "binary" => Message::Binary(data),
            "ping" => Message::Ping(data),
            "pong" => Message::Pong(data),
            "close" => Message::Close(self.code.map(|code| CloseFrame { code, reason: String::from_utf8(data.to_vec()).expect("reason") })),
            kind => panic!("unknown kind {kind}"),
        }
    }
}

fn golden() -> Vec<Golden> {
    serde_json::from_str(&read("vectors/websocket.json")).expect("websocket.json")
}

/// Bytes no honest peer sends, and the close code they end with.
#[derive(Deserialize)]
pub struct Hostile {
    transport: String,
    pub name: String,
    hex: String,
    pub close: u16,
}

impl Hostile {
    pub fn bytes(&self) -> Vec<u8> {
        hex::decode(&self.hex)
    }
}

pub fn hostile(transport: &str) -> Vec<Hostile> {
    let all: Vec<Hostile> = serde_json::from_str(&read("vectors/hostile.json")).expect("hostile.json");
    let some: Vec<_> = all.into_iter().filter(|hostile| hostile.transport == transport).collect();
    assert!(!some.is_empty());
    some
}

#[test]
fn golden_streams_decode() {
    for vector in golden() {
        let expected: Vec<Message> = vector.messages.iter().map(GoldenMessage::message).collect();
        let bytes = hex::decode(&vector.hex);
        assert_eq!(messages(&[&bytes], vector.role(), LIMITS), (expected, None), "{}", vector.name);
    }
}

#[test]
fn golden_frames_are_what_the_encoders_write() {
    assert_eq!(hex::encode(&server_frame(Opcode::Text, b"Hello")), "810548656c6c6f");
    assert_eq!(hex::encode(&client_frame(Opcode::Text, b"Hello", MASK)), "818537fa213d7f9f4d5158");
    assert_eq!(hex::encode(&client_frame(Opcode::Pong, b"Hello", MASK)), "8a8537fa213d7f9f4d5158");
    for (len, head) in [(0, "8200"), (125, "827d"), (126, "827e007e"), (65_535, "827effff"), (65_536, "827f0000000000010000")] {
        assert_eq!(hex::encode(&FrameHead::server(Opcode::Binary, len)), head, "{len} bytes");
    }
}

#[test]
fn payloads_of_every_length_form_pass_in_both_directions() {
    for len in [0, 1, 125, 126, 127, 1023, 1024, 65_535, 65_536] {
        let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let expected = (vec![Message::Binary(payload.clone().into())], None);
        let from_server = server_frame(Opcode::Binary, &payload);
        assert_eq!(messages(&[&from_server], Role::Client, LIMITS), expected, "{len} bytes");
        let apart = [&FrameHead::server(Opcode::Binary, len)[..], &payload].concat();
        assert_eq!(from_server, apart, "header and shared payload written apart");
        let from_client = client_frame(Opcode::Binary, &payload, MASK);
        assert_eq!(messages(&[&from_client], Role::Server, LIMITS), expected, "{len} bytes");
    }
}

/// Small frames of every kind with fragments and a control frame between them.
fn client_stream() -> Vec<u8> {
    [
        client_frame(Opcode::Text, "你好".as_bytes(), MASK),
        client_fragment(Opcode::Text, Fin::More, &"é".as_bytes()[..1], MASK),
        client_frame(Opcode::Ping, b"p", MASK),
        client_fragment(Opcode::Continuation, Fin::Last, &"é".as_bytes()[1..], MASK),
        client_frame(Opcode::Binary, &[9; 130], MASK),
        client_frame(Opcode::Close, &close_payload(1000, "bye"), MASK),
    ]
    .concat()
}

#[test]
fn a_stream_cut_at_every_byte_decodes_as_in_bulk() {
    let stream = client_stream();
    let whole = messages(&[&stream], Role::Server, LIMITS);
    assert_eq!((whole.0.len(), whole.1), (5, None));
    for first in 0..=stream.len() {
        for second in first..=stream.len() {
            let cut = [&stream[..first], &stream[first..second], &stream[second..]];
            assert_eq!(messages(&cut, Role::Server, LIMITS), whole, "cut at {first} and {second}");
        }
    }
}

fn client_message() -> impl Strategy<Value = (Vec<u8>, Vec<Message>)> {
    let text = ("\\PC{0,60}", any::<[u8; 4]>())
        .prop_map(|(text, mask)| (client_frame(Opcode::Text, text.as_bytes(), mask).to_vec(), vec![Message::Text(text.into())]));
    let ping = (proptest::collection::vec(any::<u8>(), 0..=125), any::<[u8; 4]>())
        .prop_map(|(data, mask)| (client_frame(Opcode::Ping, &data, mask).to_vec(), vec![Message::Ping(data.into())]));
    let fragments =
        proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..1500), any::<[u8; 4]>()), 1..6).prop_map(|parts| {
            let last = parts.len() - 1;
            let frame = |(at, (data, mask)): (usize, &(Vec<u8>, [u8; 4]))| {
                let opcode = if at == 0 { Opcode::Binary } else { Opcode::Continuation };
                client_fragment(opcode, if at == last { Fin::Last } else { Fin::More }, data, *mask)
            };
            let stream: Vec<u8> = parts.iter().enumerate().flat_map(frame).collect();
            let data: Vec<u8> = parts.iter().flat_map(|(data, _)| data.clone()).collect();
            (stream, vec![Message::Binary(data.into())])
        });
    prop_oneof![text, ping, fragments]
}

proptest! {
    #[test]
    fn any_messages_survive_any_cuts(sent in proptest::collection::vec(client_message(), 0..8), cuts in cuts()) {
        let stream: Vec<u8> = sent.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        let expected: Vec<Message> = sent.into_iter().flat_map(|(_, messages)| messages).collect();
        prop_assert_eq!(messages(&pieces(&stream, &cuts), Role::Server, LIMITS), (expected, None));
    }

    #[test]
    fn rubbish_ends_alike_however_it_is_cut(rubbish in proptest::collection::vec(any::<u8>(), 0..300), cuts in cuts()) {
        for role in [Role::Server, Role::Client] {
            let whole = messages(&[&rubbish], role, LIMITS);
            prop_assert_eq!(messages(&pieces(&rubbish, &cuts), role, LIMITS), whole);
        }
    }
}

#[test]
fn hostile_bytes_end_with_the_documented_code() {
    for hostile in hostile("websocket") {
        let (messages, error) = messages(&[&hostile.bytes()], Role::Server, LIMITS);
        let error = error.unwrap_or_else(|| panic!("{} was not refused: {messages:?}", hostile.name));
        assert_eq!(error.close_code().number(), hostile.close, "{}", hostile.name);
        assert!(messages.is_empty(), "{}", hostile.name);
    }
}

#[test]
fn a_server_that_masks_is_refused_by_a_client() {
    let masked = client_frame(Opcode::Text, b"Hello", MASK);
    assert_eq!(messages(&[&masked], Role::Client, LIMITS), (vec![], Some(WebSocketError::Masked)));
    assert_eq!(WebSocketError::Masked.close_code(), CloseCode::ProtocolError);
}

#[test]
fn the_limit_counts_the_whole_message_and_is_judged_from_the_header() {
    let limits = Limits::of_message(10);
    let parts =
        [client_fragment(Opcode::Binary, Fin::More, &[1; 6], MASK), client_fragment(Opcode::Continuation, Fin::Last, &[2; 4], MASK)]
            .concat();
    assert_eq!(messages(&[&parts], Role::Server, limits).0.len(), 1);
    let too_long = client_fragment(Opcode::Continuation, Fin::Last, &[2; 5], MASK);
    let header_only = [&parts[..12], &too_long[..6]].concat();
    let error = WebSocketError::TooLarge { len: 11, max: 10 };
    assert_eq!(messages(&[&header_only], Role::Server, limits), (vec![], Some(error)));
}

#[test]
fn limits_may_be_raised_between_messages() {
    let mut decoder = Decoder::new(Role::Server, Limits::of_message(4));
    let mut buf = BytesMut::from(&client_frame(Opcode::Binary, &[0; 4], MASK)[..]);
    assert!(matches!(decoder.decode(&mut buf), Ok(Some(Message::Binary(_)))));
    decoder.set_limits(Limits::of_message(5));
    buf.extend_from_slice(&client_frame(Opcode::Binary, &[0; 5], MASK));
    assert!(matches!(decoder.decode(&mut buf), Ok(Some(Message::Binary(_)))));
}

#[test]
fn an_error_repeats_and_nothing_follows_a_close() {
    let mut decoder = Decoder::new(Role::Server, LIMITS);
    let good = client_frame(Opcode::Text, b"late", MASK);
    let mut buf = BytesMut::from(&client_frame(Opcode::Text, &[0xff], MASK)[..]);
    assert_eq!(decoder.decode(&mut buf), Err(WebSocketError::InvalidText));
    buf.extend_from_slice(&good);
    assert_eq!(decoder.decode(&mut buf), Err(WebSocketError::InvalidText));

    let mut decoder = Decoder::new(Role::Server, LIMITS);
    let mut buf = BytesMut::from(&client_frame(Opcode::Close, b"", MASK)[..]);
    assert_eq!(decoder.decode(&mut buf), Ok(Some(Message::Close(None))));
    buf.extend_from_slice(&good);
    assert_eq!(decoder.decode(&mut buf), Ok(None));
    assert!(buf.is_empty());
}

#[test]
fn a_long_close_reason_is_cut_at_a_character() {
    let payload = close_payload(4103, &"你".repeat(60));
    assert_eq!(payload.len(), 2 + 41 * 3);
    let frame = client_frame(Opcode::Close, &payload, MASK);
    let expected = CloseFrame { code: 4103, reason: "你".repeat(41) };
    assert_eq!(messages(&[&frame], Role::Server, LIMITS), (vec![Message::Close(Some(expected))], None));
}

#[test]
fn every_close_code_of_the_table_may_be_sent() {
    for code in CloseCode::ALL {
        let frame = server_frame(Opcode::Close, &close_payload(code.number(), code.name()));
        let expected = CloseFrame { code: code.number(), reason: code.name().to_owned() };
        assert_eq!(messages(&[&frame], Role::Client, LIMITS), (vec![Message::Close(Some(expected))], None));
        assert_eq!(CloseCode::from_number(code.number()), Some(*code));
        assert_eq!(CloseCode::from_name(code.name()), Some(*code));
    }
}
