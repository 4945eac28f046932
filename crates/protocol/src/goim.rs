//! goim's side of the protocol beyond its frame: what its ops mean, what answers them, and how its pushes look.
//!
//! Behaviour is goim's to the byte (goim `internal/comet/operation.go`, `internal/comet/server_tcp.go`): a reply has
//! `ver` and `seq` of its request, whatever they are; a list of operations that does not parse changes nothing and is
//! answered as if it had.
//!
//! **Invariant:** a reply is made of its request alone and of a number; no other connection's bytes get into it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::codec::Codec;
use crate::frame::{Frame, HEADER_BYTES};
use crate::json::from_json_object;
use crate::op::Op;
use crate::schema::v1;
use crate::schema::v1::live_message::Content;

mod handshake;

pub use handshake::{HEAD_BYTES_MAX, HandshakeError, Upgrade, upgrade};

/// Inner frames of one op 9 container (goim's `batch`).
pub const CONTAINER_FRAMES_MAX: usize = 20;

/// What a frame of a logged-in client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Heartbeat,
    /// To the room of this name, as it came; empty: to none.
    ChangeRoom(Bytes),
    /// A list that does not parse is an empty one.
    Subscribe(Vec<i32>),
    Unsubscribe(Vec<i32>),
    /// A message to the server. Also a second op 7, and the numbers that goim reserves for itself.
    Message,
}

impl Asked {
    pub fn of(frame: &Frame) -> Self {
        match frame.op {
            Op(2) => Asked::Heartbeat,
            Op::GOIM_CHANGE_ROOM => Asked::ChangeRoom(frame.body.clone()),
            Op::GOIM_SUBSCRIBE => Asked::Subscribe(operations(&frame.body)),
            Op::GOIM_UNSUBSCRIBE => Asked::Unsubscribe(operations(&frame.body)),
            _ => Asked::Message,
        }
    }
}

/// `"1000,1001"`. One bad item, or a space, and there is none.
fn operations(list: &[u8]) -> Vec<i32> {
    let text = std::str::from_utf8(list).unwrap_or_default();
    text.split(',').map(|item| item.parse().ok()).collect::<Option<_>>().unwrap_or_default()
}

/// The reply to a frame of a logged-in client; `online` are those in its room.
pub fn reply(request: &Frame, online: i32) -> Frame {
    let (op, body) = match request.op {
        // goim's writer takes an op 3 for its own reply.
        Op(2 | 3) => (Op(3), Bytes::copy_from_slice(&online.to_be_bytes())),
        Op::GOIM_CHANGE_ROOM => (Op::GOIM_CHANGE_ROOM_REPLY, request.body.clone()),
        Op::GOIM_SUBSCRIBE => (Op::GOIM_SUBSCRIBE_REPLY, request.body.clone()),
        Op::GOIM_UNSUBSCRIBE => (Op::GOIM_UNSUBSCRIBE_REPLY, request.body.clone()),
        op => (op, Bytes::new()),
    };
    Frame { op, body, ..request.clone() }
}

/// Op 8, the answer to an op 7 that was let in.
pub fn auth_reply(request: &Frame) -> Frame {
    Frame { op: Op(8), body: Bytes::new(), ..request.clone() }
}

/// A frame to a TCP client. Of op 9 only the body is written, and a reply of op 9 has none.
pub fn on_tcp(frame: &Frame) -> Bytes {
    if frame.op == Op::GOIM_RAW { frame.body.clone() } else { frame.encode() }
}

/// The frames of a push, back to back.
pub fn push_frames(push: &v1::LivePush) -> Bytes {
    concatenate(&push.messages)
}

/// The messages of a WebSocket client for a push: containers of at most [`CONTAINER_FRAMES_MAX`] frames.
pub fn push_containers(push: &v1::LivePush) -> impl Iterator<Item = Frame> {
    push.messages.chunks(CONTAINER_FRAMES_MAX).map(|some| Frame::new(Op::GOIM_RAW, 0, concatenate(some)))
}

fn concatenate(messages: &[v1::LiveMessage]) -> Bytes {
    let bytes = messages.iter().map(|message| HEADER_BYTES + content(message).len()).sum();
    let mut frames = BytesMut::with_capacity(bytes);
    for message in messages {
        frames.put_slice(&Frame::new(Op(message.operation), 0, Bytes::new()).header(content(message).len()));
        frames.put_slice(content(message));
    }
    frames.freeze()
}

fn content(message: &v1::LiveMessage) -> &[u8] {
    match &message.content {
        Some(Content::Text(text)) => text.as_bytes(),
        Some(Content::Body(bytes)) => bytes,
        None => &[],
    }
}

/// Whose op 7 this is, on a port that both kinds use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogIn {
    /// A JSON object that names neither a token nor a ticket.
    Goim,
    Skein,
    /// Neither understands it.
    Nobody,
}

impl LogIn {
    pub fn of(body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Secrets {
            token: Option<serde::de::IgnoredAny>,
            ticket: Option<serde::de::IgnoredAny>,
        }
        match from_json_object::<Secrets>(body) {
            Ok(Secrets { token: None, ticket: None }) => LogIn::Goim,
            Ok(_) => LogIn::Skein,
            Err(_) => match Codec::Protobuf.decode::<v1::Auth>(body) {
                Ok(auth) if !auth.token.is_empty() || !auth.ticket.is_empty() => LogIn::Skein,
                _ => LogIn::Nobody,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(op: i32, body: &'static [u8]) -> Frame {
        Frame { ver: 7, op: Op(op), seq: -3, body: Bytes::from_static(body) }
    }

    #[test]
    fn every_reply_echoes_as_goim_does() {
        let answers = [
            (2, &b"ignored"[..], 3, &[0, 0, 0, 5][..]),
            (3, b"", 3, &[0, 0, 0, 5]),
            (4, b"hello", 4, b""),
            (7, b"{}", 7, b""),
            (9, b"x", 9, b""),
            (12, b"live://1", 13, b"live://1"),
            (14, b"1000,x", 15, b"1000,x"),
            (16, b"", 17, b""),
            (0, b"x", 0, b""),
            (1_000, b"x", 1_000, b""),
        ];
        for (op, body, reply_op, reply_body) in answers {
            let answer = reply(&frame(op, body), 5);
            assert_eq!((answer.ver, answer.op.0, answer.seq, &answer.body[..]), (7, reply_op, -3, reply_body), "op {op}");
        }
        assert!(on_tcp(&reply(&frame(9, b"x"), 0)).is_empty());
    }

    #[test]
    fn one_bad_item_spoils_the_list() {
        for (list, wanted) in [
            (&b"1000,1001"[..], &[1000, 1001][..]),
            (b"-1,+2", &[-1, 2]),
            (b"", &[]),
            (b"1000,x", &[]),
            (b"1000, 1001", &[]),
            (b"1000,", &[]),
            (b"2147483648", &[]),
            (b"\xff", &[]),
        ] {
            assert_eq!(operations(list), wanted, "{list:?}");
        }
    }

    #[test]
    fn twenty_one_messages_are_two_containers_and_twenty_one_frames() {
        let message = |operation| v1::LiveMessage { operation, content: Some(Content::Text("x".into())) };
        let push = v1::LivePush { room: String::new(), messages: (0..21).map(message).collect() };
        let lengths: Vec<usize> = push_containers(&push).map(|container| container.body.len()).collect();
        assert_eq!(lengths, [20 * 17, 17]);
        assert_eq!(push_frames(&push).len(), 21 * 17);
    }

    #[test]
    fn a_log_in_belongs_to_whom_it_speaks_for() {
        let skein = Codec::Protobuf.encode(&v1::Auth { token: "t".into(), major: 1, ..Default::default() }).unwrap();
        for (body, wanted) in [
            (&b"{}"[..], LogIn::Goim),
            (br#" {"Mid":1,"KEY":"k","room_id":"live://1","accepts":[1000],"unknown":{"token":1}}"#, LogIn::Goim),
            (br#"{"token":"t"}"#, LogIn::Skein),
            (br#"{"ticket":"t","mid":1}"#, LogIn::Skein),
            (&skein, LogIn::Skein),
            (b"", LogIn::Nobody),
            (b"{", LogIn::Nobody),
            (b"[]", LogIn::Nobody),
            (b"hello", LogIn::Nobody),
        ] {
            assert_eq!(LogIn::of(body), wanted, "{body:?}");
        }
    }
}
