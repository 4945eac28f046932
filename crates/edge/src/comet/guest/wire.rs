//! Bytes → what a guest says, as tolerant as goim is. No IO.

use crate::comet::wire::Transport;
use bytes::{Bytes, BytesMut};
use skein_protocol::frame::{self, FrameError};
use skein_protocol::goim::{self, Upgrade};
use skein_protocol::websocket::{self, Message, WebSocketError};
use skein_protocol::{CloseCode, Frame, FrameDecoder, Strictness};

/// goim reads a WebSocket frame into a buffer of this size.
const MESSAGE_BYTES_MAX: usize = 8192;

pub(super) enum Inbound {
    Upgraded(Upgrade),
    Frame(Frame),
    Ping(Bytes),
    Pong,
    Close,
}

/// The reading side.
pub(super) enum Wire {
    Tcp(FrameDecoder),
    /// The request that begins a WebSocket.
    Upgrade,
    WebSocket(Box<websocket::Decoder>),
}

impl Wire {
    pub fn new(transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Wire::Tcp(FrameDecoder::new(frame::Limits::GOIM, Strictness::Goim)),
            Transport::WebSocket => Wire::Upgrade,
        }
    }

    /// Takes the next message off the front of `unread`; `None` when more bytes are needed.
    pub fn next(&mut self, unread: &mut BytesMut) -> Result<Option<Inbound>, CloseCode> {
        match self {
            Wire::Tcp(decoder) => Ok(decoder.decode(unread).map_err(FrameError::close_code)?.map(Inbound::Frame)),
            Wire::Upgrade => {
                let upgrade = goim::upgrade(unread).map_err(|_| CloseCode::ProtocolError)?;
                if upgrade.is_some() {
                    let limits = websocket::Limits::of_message(MESSAGE_BYTES_MAX);
                    *self = Wire::WebSocket(Box::new(websocket::Decoder::goim(limits)));
                }
                Ok(upgrade.map(Inbound::Upgraded))
            }
            Wire::WebSocket(decoder) => match decoder.decode(unread).map_err(WebSocketError::close_code)? {
                None => Ok(None),
                Some(Message::Ping(payload)) => Ok(Some(Inbound::Ping(payload))),
                Some(Message::Pong(_)) => Ok(Some(Inbound::Pong)),
                Some(Message::Close(_)) => Ok(Some(Inbound::Close)),
                Some(Message::Binary(message) | Message::Text(message)) => {
                    let frame = Frame::from_message(&message, frame::Limits::GOIM, Strictness::Goim);
                    frame.map(|frame| Some(Inbound::Frame(frame))).map_err(FrameError::close_code)
                }
            },
        }
    }
}
