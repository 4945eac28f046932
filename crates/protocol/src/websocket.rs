//! The framing of RFC 6455 for both roles, without IO: bytes in, messages out, and the other way round.
//!
//! [`Decoder`] turns what was read into whole messages; [`encode`] builds frames. Answering pings, the closing
//! handshake, time limits and the HTTP upgrade (except [`accept_key`]) are left to the connection.
//!
//! **Invariant:** what a decoder hands out depends on the bytes alone, never on how reads cut them.
//!
//! **Invariant:** a message over the limit is refused from a frame's header; a decoder keeps at most one message, of at
//! most [`Limits::message_bytes_max`].
//!
//! No extension is negotiated, so reserved bits are errors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha1::{Digest, Sha1};

use crate::close::CloseCode;

mod decode;
pub mod encode;

pub use decode::Decoder;
pub use encode::{FrameHead, client_frame, close_payload, server_frame};

/// Payload limit of control frames (RFC 6455 section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455 section 4.2.2).
pub fn accept_key(key: &str) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(key.as_bytes());
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(sha1.finalize())
}

/// Which end this is. A server reads masked frames and writes unmasked ones, a client the reverse (section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Payload of a whole message, however it is fragmented.
    pub message_bytes_max: usize,
    /// Frames that one message may come in. A flood of empty fragments ends here.
    pub fragments_max: u32,
}

impl Limits {
    /// goim reads up to about 100 fragments (goim `pkg/websocket/conn.go`).
    pub const FRAGMENTS_MAX: u32 = 100;

    pub const fn of_message(message_bytes_max: usize) -> Self {
        Self { message_bytes_max, fragments_max: Self::FRAGMENTS_MAX }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0x0 => Some(Opcode::Continuation),
            0x1 => Some(Opcode::Text),
            0x2 => Some(Opcode::Binary),
            0x8 => Some(Opcode::Close),
            0x9 => Some(Opcode::Ping),
            0xA => Some(Opcode::Pong),
            _ => None,
        }
    }

    pub(crate) fn bits(self) -> u8 {
        match self {
            Opcode::Continuation => 0x0,
            Opcode::Text => 0x1,
            Opcode::Binary => 0x2,
            Opcode::Close => 0x8,
            Opcode::Ping => 0x9,
            Opcode::Pong => 0xA,
        }
    }

    pub fn is_control(self) -> bool {
        matches!(self, Opcode::Close | Opcode::Ping | Opcode::Pong)
    }
}

/// What the peer said, unmasked and reassembled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Valid UTF-8.
    Text(Bytes),
    Binary(Bytes),
    /// Answered by a pong with the same payload.
    Ping(Bytes),
    Pong(Bytes),
    /// Nothing follows it. Answered by a close frame with the same code, unless one was sent already.
    Close(Option<CloseFrame>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseFrame {
    pub code: u16,
    pub reason: String,
}

/// Why a byte stream is not WebSocket. The connection ends with [`WebSocketError::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketError {
    #[error("reserved bits are set")]
    ReservedBits,
    #[error("opcode {0:#x} is reserved")]
    ReservedOpcode(u8),
    #[error("client frame is not masked")]
    Unmasked,
    #[error("server frame is masked")]
    Masked,
    #[error("control frame is fragmented")]
    FragmentedControl,
    #[error("control frame is longer than 125 bytes")]
    LongControl,
    #[error("length is not in its shortest form, or has the top bit set")]
    BadLength,
    #[error("continuation without a message to continue")]
    StrayContinuation,
    #[error("new message before the end of a fragmented one")]
    Interleaved,
    #[error("close frame has no valid code")]
    BadClose,
    #[error("text is not utf-8")]
    InvalidText,
    #[error("message of {len} bytes and more is over the limit of {max}")]
    TooLarge { len: u64, max: usize },
    #[error("message comes in more than {0} fragments")]
    TooManyFragments(u32),
}

impl WebSocketError {
    pub fn close_code(self) -> CloseCode {
        match self {
            WebSocketError::InvalidText => CloseCode::InvalidText,
            WebSocketError::TooLarge { .. } | WebSocketError::TooManyFragments(_) => CloseCode::TooBig,
            _ => CloseCode::ProtocolError,
        }
    }
}

/// XORs `data` with the mask of its frame, eight bytes at a time (section 5.3). Masking and unmasking are the same.
pub(crate) fn apply_mask(data: &mut [u8], mask: [u8; 4]) {
    let word = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let mut words = data.chunks_exact_mut(8);
    for chunk in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(bytes) ^ word).to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_key_is_that_of_the_rfc() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn mask_by_words_equals_mask_by_bytes() {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..40 {
            let plain: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let expected: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ mask[i % 4]).collect();
            let mut masked = plain.clone();
            apply_mask(&mut masked, mask);
            assert_eq!(masked, expected, "length {len}");
        }
    }
}
