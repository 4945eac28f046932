//! From bytes to messages: one frame at a time off the front of a read buffer, fragments put together.
//!
//! **Invariant:** after an error or a close frame a decoder hands out nothing more.

use bytes::{Buf, Bytes, BytesMut};

use super::{CONTROL_BYTES_MAX, CloseFrame, Limits, Message, Opcode, Role, WebSocketError, apply_mask};
use crate::frame::{Strictness, take};

/// Decoder of one connection. Its only memory is a message whose last fragment has not arrived.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    strictness: Strictness,
    limits: Limits,
    partial: Option<Partial>,
    state: State,
}

/// The fragments so far.
#[derive(Debug)]
struct Partial {
    opcode: Opcode,
    data: BytesMut,
    fragments: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open,
    Closed,
    Failed(WebSocketError),
}

impl Decoder {
    pub fn new(role: Role, limits: Limits) -> Self {
        Self { role, strictness: Strictness::Skein, limits, partial: None, state: State::Open }
    }

    /// A server that reads as goim does (goim `pkg/websocket/conn.go`): masked or not, and text that is any bytes; both
    /// come out as [`Message::Binary`].
    pub fn goim(limits: Limits) -> Self {
        Self { strictness: Strictness::Goim, ..Self::new(Role::Server, limits) }
    }

    /// Log-in raises the limits. They hold from the next frame on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Takes frames off the front of `buf` up to the next whole message; `None` when more bytes are needed. After an
    /// error the connection must be closed, the error repeats. After a close frame the rest is discarded.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Option<Message>, WebSocketError> {
        match self.state {
            State::Open => {}
            State::Failed(error) => return Err(error),
            State::Closed => {
                buf.clear();
                return Ok(None);
            }
        }
        let message = self.next_message(buf);
        match &message {
            Ok(Some(Message::Close(_))) => self.state = State::Closed,
            Ok(_) => {}
            Err(error) => {
                self.state = State::Failed(*error);
                self.partial = None;
            }
        }
        message
    }

    fn next_message(&mut self, buf: &mut BytesMut) -> Result<Option<Message>, WebSocketError> {
        while let Some(head) = Head::peek(buf, self.role, self.strictness)? {
            let len = self.admit(&head)?;
            if buf.len() - head.len < len {
                return Ok(None);
            }
            buf.advance(head.len);
            let mut payload = take(buf, len);
            if let Some(mask) = head.mask {
                apply_mask(&mut payload, mask);
            }
            if let Some(message) = self.accept(&head, payload)? {
                return Ok(Some(message));
            }
        }
        Ok(None)
    }

    /// Judges a frame by its header alone, before its payload is waited for.
    fn admit(&self, head: &Head) -> Result<usize, WebSocketError> {
        let before = match (&self.partial, head.opcode) {
            (_, opcode) if opcode.is_control() => return Ok(head.payload_len as usize),
            (Some(_), Opcode::Text | Opcode::Binary) => return Err(WebSocketError::Interleaved),
            (None, Opcode::Continuation) => return Err(WebSocketError::StrayContinuation),
            (Some(partial), _) if partial.fragments >= self.limits.fragments_max => {
                return Err(WebSocketError::TooManyFragments(self.limits.fragments_max));
            }
            (Some(partial), _) => partial.data.len(),
            (None, _) => 0,
        };
        let max = self.limits.message_bytes_max;
        let whole = head.payload_len.saturating_add(before as u64);
        if whole > max as u64 {
            return Err(WebSocketError::TooLarge { len: whole, max });
        }
        Ok(head.payload_len as usize)
    }

    fn accept(&mut self, head: &Head, payload: BytesMut) -> Result<Option<Message>, WebSocketError> {
        match head.opcode {
            Opcode::Ping => return Ok(Some(Message::Ping(payload.freeze()))),
            Opcode::Pong => return Ok(Some(Message::Pong(payload.freeze()))),
            Opcode::Close => return parse_close(&payload).map(|close| Some(Message::Close(close))),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {}
        }
        let whole = match self.partial.take() {
            None => Partial { opcode: head.opcode, data: payload, fragments: 1 },
            Some(mut partial) => {
                partial.data.extend_from_slice(&payload);
                partial.fragments += 1;
                partial
            }
        };
        if !head.fin {
            self.partial = Some(whole);
            return Ok(None);
        }
        if self.strictness == Strictness::Goim {
            return Ok(Some(Message::Binary(whole.data.freeze())));
        }
        finish(whole.opcode, whole.data.freeze()).map(Some)
    }
}

fn finish(opcode: Opcode, data: Bytes) -> Result<Message, WebSocketError> {
    if opcode != Opcode::Text {
        return Ok(Message::Binary(data));
    }
    match std::str::from_utf8(&data) {
        Ok(_) => Ok(Message::Text(data)),
        Err(_) => Err(WebSocketError::InvalidText),
    }
}

/// Section 5.5.1: no payload, or a code and a reason in UTF-8.
fn parse_close(payload: &[u8]) -> Result<Option<CloseFrame>, WebSocketError> {
    if payload.is_empty() {
        return Ok(None);
    }
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return Err(WebSocketError::BadClose);
    };
    let code = u16::from_be_bytes(*code);
    if !may_be_sent(code) {
        return Err(WebSocketError::BadClose);
    }
    match std::str::from_utf8(reason) {
        Ok(reason) => Ok(Some(CloseFrame { code, reason: reason.to_owned() })),
        Err(_) => Err(WebSocketError::InvalidText),
    }
}

/// Codes that may appear in a close frame: those of section 7.4.1 that are not for local use only, the later ones of
/// its registry, and the ranges of section 7.4.2 for libraries and applications.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The header of a frame (section 5.2), checked as far as it can be without the frames before it.
#[derive(Debug)]
struct Head {
    fin: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    payload_len: u64,
    /// Bytes of the header itself.
    len: usize,
}

impl Head {
    /// Reads without consuming; `None` while the header is not whole. Errors show as early as the bytes allow.
    fn peek(bytes: &[u8], role: Role, strictness: Strictness) -> Result<Option<Self>, WebSocketError> {
        let &[first, second, ref rest @ ..] = bytes else {
            return Ok(None);
        };
        let fin = first & 0x80 != 0;
        let masked = second & 0x80 != 0;
        let short_len = second & 0x7f;
        let opcode = check_first_bytes(first, fin, short_len)?;
        check_mask(masked, role, strictness)?;
        let (payload_len, rest) = match (short_len, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), rest),
            (126 | 127, _) => return Ok(None),
            (len, rest) => (u64::from(len), rest),
        };
        check_length(short_len, payload_len)?;
        let (mask, rest) = match (masked, rest) {
            (false, rest) => (None, rest),
            (true, [a, b, c, d, rest @ ..]) => (Some([*a, *b, *c, *d]), rest),
            (true, _) => return Ok(None),
        };
        Ok(Some(Self { fin, opcode, mask, payload_len, len: bytes.len() - rest.len() }))
    }
}

fn check_mask(masked: bool, role: Role, strictness: Strictness) -> Result<(), WebSocketError> {
    match role {
        Role::Server if !masked && strictness == Strictness::Skein => Err(WebSocketError::Unmasked),
        Role::Client if masked => Err(WebSocketError::Masked),
        Role::Server | Role::Client => Ok(()),
    }
}

fn check_first_bytes(first: u8, fin: bool, short_len: u8) -> Result<Opcode, WebSocketError> {
    if first & 0x70 != 0 {
        return Err(WebSocketError::ReservedBits);
    }
    let bits = first & 0x0f;
    let opcode = Opcode::from_bits(bits).ok_or(WebSocketError::ReservedOpcode(bits))?;
    if opcode.is_control() && !fin {
        return Err(WebSocketError::FragmentedControl);
    }
    if opcode.is_control() && usize::from(short_len) > CONTROL_BYTES_MAX {
        return Err(WebSocketError::LongControl);
    }
    Ok(opcode)
}

/// "The minimal number of bytes MUST be used", "the most significant bit MUST be 0" (section 5.2).
fn check_length(short_len: u8, payload_len: u64) -> Result<(), WebSocketError> {
    let fits = match short_len {
        126 => payload_len > 125,
        127 => payload_len > 0xffff && payload_len >> 63 == 0,
        _ => true,
    };
    if fits { Ok(()) } else { Err(WebSocketError::BadLength) }
}
