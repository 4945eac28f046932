//! What the fuzz targets in `fuzz/` check, as functions, so that ordinary tests replay their corpus.
//!
//! Each takes rubbish and panics when a promise of this crate is broken; for callers outside of tests they are useless.

use bytes::{Bytes, BytesMut};

use crate::codec::Codec;
use crate::envelope::{self, Envelope};
use crate::frame::{self, Frame, FrameDecoder, FrameError, Strictness};
use crate::goim::{self, Asked, LogIn};
use crate::op::Op;
use crate::table::{Incoming, Push, Reply, Request};
use crate::websocket::{self, Decoder, Message, Role, WebSocketError};

/// A TCP stream decodes alike in bulk and cut anywhere, and what decodes, once encoded, decodes again.
pub fn frame(data: &[u8]) {
    for (limits, strictness) in [(frame::Limits::GOIM, Strictness::Goim), (frame::Limits::SKEIN, Strictness::Skein)] {
        let bulk = frames_of(&[data], limits, strictness);
        assert_eq!(bulk, frames_of(&halves(data), limits, strictness));
        assert_eq!(bulk, frames_of(&data.chunks(1).collect::<Vec<_>>(), limits, strictness));
        for encode in [Frame::encode, Frame::encode_deflated] {
            let again: Vec<u8> = bulk.0.iter().flat_map(encode).collect();
            let limits = frame::Limits { body_bytes_max: usize::MAX };
            if strictness == Strictness::Skein {
                assert_eq!(frames_of(&[&again], limits, strictness), (bulk.0.clone(), None));
            }
        }
        for frame in &bulk.0 {
            assert!(frame.body.len() <= limits.body_bytes_max);
            decode_bodies(frame);
        }
        // In a WebSocket message the same bytes hold one frame, or none.
        if let Ok(frame) = Frame::from_message(&Bytes::copy_from_slice(data), limits, strictness) {
            assert_eq!(bulk.0.first(), Some(&frame));
        }
    }
}

/// A WebSocket stream decodes alike in bulk and cut anywhere, within its limits, in both roles.
pub fn websocket(data: &[u8]) {
    let limits = websocket::Limits { message_bytes_max: 4112, fragments_max: 8 };
    for role in [Role::Server, Role::Client] {
        let bulk = messages_of(&[data], role, limits);
        assert_eq!(bulk, messages_of(&halves(data), role, limits));
        assert_eq!(bulk, messages_of(&data.chunks(1).collect::<Vec<_>>(), role, limits));
        for message in &bulk.0 {
            match message {
                Message::Text(text) => {
                    assert!(text.len() <= limits.message_bytes_max);
                    assert!(std::str::from_utf8(text).is_ok());
                }
                Message::Binary(data) => assert!(data.len() <= limits.message_bytes_max),
                Message::Ping(data) | Message::Pong(data) => assert!(data.len() <= websocket::CONTROL_BYTES_MAX),
                Message::Close(_) => {}
            }
        }
    }
}

/// What a stranger sends to goim's WebSocket port means the same in bulk and cut anywhere: the upgrade, the messages, the
/// frames in them and their replies. No reply is longer than what it answers, and a count.
pub fn goim(data: &[u8]) {
    let bulk = goim_of(&[data]);
    assert_eq!(bulk, goim_of(&halves(data)));
    assert_eq!(bulk, goim_of(&data.chunks(1).collect::<Vec<_>>()));
    for frame in &bulk.0 {
        let reply = goim::reply(frame, 5);
        assert!(reply.encoded_len() <= frame.encoded_len() + 4);
        assert_eq!((reply.ver, reply.seq), (frame.ver, frame.seq));
        assert!(reply.body.is_empty() || reply.body == frame.body || reply.op == Op(3));
        if let Asked::Subscribe(operations) | Asked::Unsubscribe(operations) = Asked::of(frame) {
            assert!(operations.len() <= frame.body.len().div_ceil(2));
        }
        let _ = LogIn::of(&frame.body);
    }
}

/// The frames behind an upgrade, or without one, and whether they end in an error.
fn goim_of(pieces: &[&[u8]]) -> (Vec<Frame>, bool) {
    let mut decoder = Decoder::goim(websocket::Limits::of_message(goim::HEAD_BYTES_MAX));
    let (mut buf, mut frames, mut is_upgraded) = (BytesMut::new(), Vec::new(), false);
    for piece in pieces {
        buf.extend_from_slice(piece);
        if !is_upgraded && !b"GET /sub ".starts_with(&buf[..buf.len().min(9)]) {
            is_upgraded = true;
        } else if !is_upgraded {
            match goim::upgrade(&mut buf) {
                Ok(None) => continue,
                Ok(Some(upgrade)) => assert!(upgrade.response.starts_with(b"HTTP/1.1 101 ")),
                Err(_) => return (frames, true),
            }
            is_upgraded = true;
        }
        loop {
            let message = match decoder.decode(&mut buf) {
                Ok(Some(Message::Binary(message))) => message,
                Ok(Some(Message::Text(_))) => panic!("text is any bytes"),
                Ok(Some(_)) => continue,
                Ok(None) => break,
                Err(_) => return (frames, true),
            };
            match Frame::from_message(&message, frame::Limits::GOIM, Strictness::Goim) {
                Ok(frame) => frames.push(frame),
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}

/// Text that decodes as an envelope means the same in both codecs.
pub fn envelope(data: &[u8]) {
    let Ok(parsed) = Envelope::parse(data) else {
        return;
    };
    if let Ok(request) = parsed.request() {
        request_means_the_same(&request, parsed.seq);
    }
    match parsed.incoming() {
        Ok(Incoming::Reply(reply)) => reply_means_the_same(&reply),
        Ok(Incoming::Push(push)) => push_means_the_same(&push),
        Err(_) => {}
    }
}

fn decode_bodies(frame: &Frame) {
    for codec in [Codec::Protobuf, Codec::Json] {
        if let Ok(request) = Request::decode(frame.op, codec, &frame.body) {
            request_means_the_same(&request, frame.seq);
        }
        match Incoming::decode(frame.op, frame.seq, codec, &frame.body) {
            Ok(Incoming::Reply(reply)) => reply_means_the_same(&reply),
            Ok(Incoming::Push(push)) => push_means_the_same(&push),
            Err(_) => {}
        }
    }
}

/// An enum number outside the schema has a Protobuf form and no JSON form; those are skipped.
fn request_means_the_same(request: &Request, seq: i32) {
    for codec in [Codec::Protobuf, Codec::Json] {
        if let Ok(body) = request.encode(codec) {
            assert_eq!(&Request::decode(request.op(), codec, &body).expect("own encoding"), request);
        }
    }
    if let Ok(text) = envelope::request(request, seq) {
        let parsed = Envelope::parse(&text).expect("own envelope");
        assert_eq!((parsed.seq, &parsed.request().expect("own payload")), (seq, request));
    }
}

fn reply_means_the_same(reply: &Reply) {
    for row in crate::table::REQUESTS {
        for codec in [Codec::Protobuf, Codec::Json] {
            if let Ok((op, body)) = reply.encode(row.op, codec) {
                assert_eq!(&Reply::decode(op, codec, &body).expect("own encoding"), reply);
            }
        }
    }
}

fn push_means_the_same(push: &Push) {
    for codec in [Codec::Protobuf, Codec::Json] {
        if let Ok(body) = push.encode(codec) {
            assert_eq!(&Push::decode(push.op(), codec, &body).expect("own encoding"), push);
        }
    }
}

fn halves(data: &[u8]) -> [&[u8]; 2] {
    let (first, second) = data.split_at(data.len() / 2);
    [first, second]
}

/// Everything a decoder makes of a stream that arrives in these pieces, and how it ends.
pub fn frames_of(pieces: &[&[u8]], limits: frame::Limits, strictness: Strictness) -> (Vec<Frame>, Option<FrameError>) {
    let decoder = FrameDecoder::new(limits, strictness);
    let mut buf = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// As [`frames_of`], of a WebSocket's stream.
pub fn messages_of(pieces: &[&[u8]], role: Role, limits: websocket::Limits) -> (Vec<Message>, Option<WebSocketError>) {
    let mut decoder = Decoder::new(role, limits);
    let mut buf = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        buf.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut buf) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}
