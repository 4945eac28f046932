//! Bytes ↔ what a session understands, for both transports. No IO.
//!
//! **Invariant:** the two transports carry the same requests, replies and pushes; nothing behind this module asks which.
//!
//! A push is encoded once per [`Variant`] and its bytes are shared by all who get it.

use bytes::{Bytes, BytesMut};
use skein_protocol::frame::{self, GOIM_BODY_BYTES_MAX, HEADER_BYTES, SKEIN_BODY_BYTES_MAX};
use skein_protocol::websocket::{self, CloseFrame, Message, Opcode, Role, close_payload, server_frame};
use skein_protocol::{CloseCode, Codec, Frame, FrameDecoder, FrameError, Op, Push, Reply, Strictness, envelope, goim, v1};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    WebSocket,
}

impl Transport {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::WebSocket => "websocket",
        }
    }
}

/// How a request came, and so how its reply goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Frame(Codec),
    /// JSON envelope in a WebSocket text message.
    Text,
    /// goim's: no request of an account's session comes so.
    Goim,
}

impl Form {
    pub fn as_str(self) -> &'static str {
        match self {
            Form::Frame(Codec::Protobuf) => "protobuf",
            Form::Frame(Codec::Json) => "json",
            Form::Text => "text",
            Form::Goim => "goim",
        }
    }
}

/// What a peer said. Control frames of WebSocket exist on TCP only as its end.
pub(super) enum Inbound {
    Frame(Frame),
    Text(Bytes),
    Ping(Bytes),
    Pong,
    Close(Option<CloseFrame>),
}

/// The reading side of one connection.
pub(super) enum Wire {
    Tcp(FrameDecoder),
    // Boxed: it is the larger one, and only WebSockets should pay for it.
    WebSocket(Box<WebSocketWire>),
}

pub(super) struct WebSocketWire {
    decoder: websocket::Decoder,
    limits: frame::Limits,
}

impl Wire {
    /// With the limits that hold before log-in.
    pub fn new(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Wire::Tcp(FrameDecoder::new(frame::Limits::GOIM, Strictness::Skein)),
            Transport::WebSocket => {
                let limits = websocket::Limits::of_message(HEADER_BYTES + GOIM_BODY_BYTES_MAX);
                let decoder = websocket::Decoder::new(Role::Server, limits);
                Wire::WebSocket(Box::new(WebSocketWire { decoder, limits: frame::Limits::GOIM }))
            }
        }
    }

    /// After log-in.
    pub fn raise_limits(&mut self) {
        match self {
            Wire::Tcp(decoder) => decoder.limits = frame::Limits::SKEIN,
            Wire::WebSocket(wire) => {
                wire.limits = frame::Limits::SKEIN;
                wire.decoder.set_limits(websocket::Limits::of_message(HEADER_BYTES + SKEIN_BODY_BYTES_MAX));
            }
        }
    }

    /// Takes the next message off the front of `unread`; `None` when more bytes are needed.
    pub fn next(&mut self, unread: &mut BytesMut) -> Result<Option<Inbound>, CloseCode> {
        match self {
            Wire::Tcp(decoder) => Ok(decoder.decode(unread).map_err(FrameError::close_code)?.map(Inbound::Frame)),
            Wire::WebSocket(wire) => match wire.decoder.decode(unread).map_err(websocket::WebSocketError::close_code)? {
                Some(message) => wire.inbound(message).map(Some).map_err(FrameError::close_code),
                None => Ok(None),
            },
        }
    }
}

impl WebSocketWire {
    fn inbound(&self, message: Message) -> Result<Inbound, FrameError> {
        Ok(match message {
            Message::Binary(bytes) => Inbound::Frame(Frame::from_message(&bytes, self.limits, Strictness::Skein)?),
            Message::Text(text) => Inbound::Text(text),
            Message::Ping(payload) => Inbound::Ping(payload),
            Message::Pong(_) => Inbound::Pong,
            Message::Close(close) => Inbound::Close(close),
        })
    }
}

/// One of the ways a push or reply looks on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variant {
    pub transport: Transport,
    pub form: Form,
    /// The peer reads deflated bodies.
    pub deflate: bool,
}

impl Variant {
    pub const COUNT: usize = 16;

    pub fn index(self) -> u8 {
        let form = match self.form {
            Form::Frame(Codec::Protobuf) => 0,
            Form::Frame(Codec::Json) => 1,
            Form::Text => 2,
            Form::Goim => 3,
        };
        form | (u8::from(self.transport == Transport::WebSocket) << 2) | (u8::from(self.deflate) << 3)
    }

    pub fn from_index(index: u8) -> Self {
        let form = match index & 3 {
            0 => Form::Frame(Codec::Protobuf),
            1 => Form::Frame(Codec::Json),
            2 => Form::Text,
            _ => Form::Goim,
        };
        let transport = if index & 4 == 0 { Transport::Tcp } else { Transport::WebSocket };
        Self { transport, form, deflate: index & 8 != 0 }
    }

    /// `None` when it has no form there: an enum number without a JSON name, what is not for guests, or a live message over
    /// the size of a frame.
    pub fn push(self, push: &Push) -> Option<Bytes> {
        match (self.form, push) {
            (Form::Goim, Push::LivePush(push)) => Some(self.goim(push)),
            (Form::Goim, _) => None,
            (_, Push::LivePush(push)) => self.live(push),
            _ => self.whole(push).map(|(bytes, _)| bytes),
        }
    }

    /// And how large it is to its reader.
    fn whole(self, push: &Push) -> Option<(Bytes, usize)> {
        let encoded = match self.form {
            Form::Frame(codec) => Frame::push(push, codec).map(|frame| (self.dress(&frame), frame.encoded_len())),
            Form::Text => envelope::push(push).map(|text| (server_frame(Opcode::Text, &text), text.len())),
            Form::Goim => return None,
        };
        encoded.inspect_err(|error| tracing::error!(%error, op = push.op().0, "push has no encoding")).ok()
    }

    /// Accounts read frames up to a size: more messages than fit come in several, and one that fits into none is left out.
    fn live(self, push: &v1::LivePush) -> Option<Bytes> {
        let (bytes, size) = self.whole(&Push::LivePush(push.clone()))?;
        if size <= HEADER_BYTES + SKEIN_BODY_BYTES_MAX {
            return Some(bytes);
        }
        let (first, second) = push.messages.split_at(push.messages.len() / 2);
        if first.is_empty() {
            return None;
        }
        let part = |messages: &[v1::LiveMessage]| self.live(&v1::LivePush { room: push.room.clone(), messages: messages.to_vec() });
        match (part(first), part(second)) {
            (Some(first), Some(second)) => Some([first, second].concat().into()),
            (one, other) => one.or(other),
        }
    }

    pub fn reply(self, reply: &Reply, request: Op, seq: i32) -> Option<Bytes> {
        let encoded = match self.form {
            Form::Frame(codec) => Frame::reply(reply, request, seq, codec).map(|frame| self.dress(&frame)),
            Form::Text => envelope::reply(reply, request, seq).map(|text| server_frame(Opcode::Text, &text)),
            Form::Goim => return None,
        };
        encoded.inspect_err(|error| tracing::error!(%error, op = request.0, "reply has no encoding")).ok()
    }

    /// On TCP the frames themselves; a WebSocket has them in containers, which are messages of their own.
    fn goim(self, push: &v1::LivePush) -> Bytes {
        match self.transport {
            Transport::Tcp => goim::push_frames(push),
            Transport::WebSocket => {
                let mut containers = goim::push_containers(push).map(|container| server_frame(Opcode::Binary, &container.encode()));
                let first = containers.next().unwrap_or_default();
                containers
                    .fold(BytesMut::from(first), |mut all, next| {
                        all.extend_from_slice(&next);
                        all
                    })
                    .freeze()
            }
        }
    }

    fn dress(self, frame: &Frame) -> Bytes {
        let bytes = if self.deflate { frame.encode_deflated() } else { frame.encode() };
        match self.transport {
            Transport::Tcp => bytes,
            Transport::WebSocket => server_frame(Opcode::Binary, &bytes),
        }
    }

    /// The last thing a peer hears: the number on a WebSocket, an error on TCP, where an orderly end needs no word.
    pub fn close(self, code: CloseCode) -> Option<Bytes> {
        match self.transport {
            Transport::WebSocket => Some(close_frame(code.number(), code.name())),
            Transport::Tcp if code == CloseCode::Normal => None,
            Transport::Tcp => self.push(&Push::Error(code.to_error())),
        }
    }
}

pub(super) fn close_frame(code: u16, reason: &str) -> Bytes {
    server_frame(Opcode::Close, &close_payload(code, reason))
}

/// A push on its way to many: each variant is encoded when the first receiver needs it.
pub(super) struct Encoded {
    push: Push,
    bytes: [Option<Bytes>; Variant::COUNT],
}

impl Encoded {
    pub fn new(push: Push) -> Self {
        Self { push, bytes: Default::default() }
    }

    /// A push of the push API: nothing makes up for it, and nothing needs to.
    pub fn is_live(&self) -> bool {
        matches!(self.push, Push::LivePush(_) | Push::Presence(_))
    }

    /// See [`Variant::push`].
    pub fn bytes(&mut self, variant: Variant) -> Option<&Bytes> {
        let slot = &mut self.bytes[usize::from(variant.index())];
        if slot.is_none() {
            *slot = variant.push(&self.push);
        }
        slot.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variant_has_an_index_of_its_own() {
        for index in 0..Variant::COUNT as u8 {
            assert_eq!(Variant::from_index(index).index(), index);
        }
    }

    #[test]
    fn a_push_is_encoded_once_per_variant() {
        let mut encoded = Encoded::new(Push::Notice(v1::Notice { title: "a".into(), ..Default::default() }));
        let variant = Variant { transport: Transport::WebSocket, form: Form::Text, deflate: false };
        let first = encoded.bytes(variant).cloned().expect("encodes");
        let second = encoded.bytes(variant).cloned().expect("encodes");
        assert_eq!(first.as_ptr(), second.as_ptr(), "the bytes are shared");
        let tcp = encoded.bytes(Variant { transport: Transport::Tcp, form: Form::Frame(Codec::Protobuf), deflate: false });
        assert_ne!(tcp.cloned(), Some(first));
    }

    #[test]
    fn guests_share_one_encoding_per_transport_and_get_live_pushes_only() {
        let messages = vec![v1::LiveMessage { operation: 7, content: None }];
        let mut live = Encoded::new(Push::LivePush(v1::LivePush { room: "live://1".into(), messages }));
        let guest = |transport| Variant { transport, form: Form::Goim, deflate: false };
        for transport in [Transport::Tcp, Transport::WebSocket] {
            let first = live.bytes(guest(transport)).cloned().expect("encodes");
            let second = live.bytes(guest(transport)).cloned().expect("encodes");
            assert_eq!(first.as_ptr(), second.as_ptr(), "the bytes are shared");
        }
        assert!(live.is_live());
        let mut notice = Encoded::new(Push::Notice(v1::Notice::default()));
        assert!(notice.bytes(guest(Transport::Tcp)).is_none() && !notice.is_live());
    }
}
