//! From payloads to frames. Servers never mask and never fragment; a payload shared by many receivers is framed once.

use std::ops::Deref;

use bytes::{BufMut, Bytes, BytesMut};

use super::{CONTROL_BYTES_MAX, Opcode, apply_mask};

/// Longest header of an unmasked frame.
const HEAD_BYTES_MAX: usize = 10;

/// The header of an unmasked frame, to be written in front of a payload that stays where it is.
#[derive(Clone, Copy, Debug)]
pub struct FrameHead {
    bytes: [u8; HEAD_BYTES_MAX],
    len: usize,
}

impl FrameHead {
    /// For a whole message of a server.
    pub fn server(opcode: Opcode, payload_len: usize) -> Self {
        Self::new(opcode, payload_len, Fin::Last, 0)
    }

    fn new(opcode: Opcode, payload_len: usize, fin: Fin, mask_bit: u8) -> Self {
        let mut bytes = [0; HEAD_BYTES_MAX];
        bytes[0] = opcode.bits() | if fin == Fin::Last { 0x80 } else { 0 };
        let len = match payload_len {
            0..=125 => {
                bytes[1] = payload_len as u8;
                2
            }
            126..=0xffff => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&(payload_len as u16).to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
                10
            }
        };
        bytes[1] |= mask_bit;
        Self { bytes, len }
    }
}

impl Deref for FrameHead {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// Whether more fragments of the message follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fin {
    Last,
    More,
}

/// A whole unmasked frame: what a server sends, and shares among the receivers of a push.
pub fn server_frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let head = FrameHead::server(opcode, payload.len());
    let mut out = BytesMut::with_capacity(head.len() + payload.len());
    out.put_slice(&head);
    out.put_slice(payload);
    out.freeze()
}

/// A whole masked frame. `mask` comes fresh from a good random source each time (RFC 6455 section 5.3).
pub fn client_frame(opcode: Opcode, payload: &[u8], mask: [u8; 4]) -> Bytes {
    client_fragment(opcode, Fin::Last, payload, mask)
}

/// One of several frames of a message: the first has its opcode, the others [`Opcode::Continuation`].
pub fn client_fragment(opcode: Opcode, fin: Fin, payload: &[u8], mask: [u8; 4]) -> Bytes {
    let head = FrameHead::new(opcode, payload.len(), fin, 0x80);
    let mut out = BytesMut::with_capacity(head.len() + mask.len() + payload.len());
    out.put_slice(&head);
    out.put_slice(&mask);
    let start = out.len();
    out.put_slice(payload);
    apply_mask(&mut out[start..], mask);
    out.freeze()
}

/// Payload of a close frame; a reason over 123 bytes is cut at a character.
pub fn close_payload(code: u16, reason: &str) -> Bytes {
    let end = reason.floor_char_boundary(CONTROL_BYTES_MAX - 2);
    let mut out = BytesMut::with_capacity(2 + end);
    out.put_u16(code);
    out.put_slice(&reason.as_bytes()[..end]);
    out.freeze()
}
