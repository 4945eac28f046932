//! goim's frame: a 16-byte header and a body (goim `api/protocol/protocol.go`), all integers signed and big-endian.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | packLen: 16 + length of the body |
//! | 4 | 2 | headerLen: 16 |
//! | 6 | 2 | ver |
//! | 8 | 4 | op |
//! | 12 | 4 | seq: chosen by the requester, echoed in the reply, 0 in pushes |
//!
//! **Invariant:** what a decoder hands out depends on the bytes alone, never on how reads cut them.
//!
//! **Invariant:** a frame over the limit is refused from its header; nothing is reserved for a body that has not arrived.
//!
//! Meaning of `op` and body is left to [`crate::table`], order and pairing of `seq` to the session.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::close::CloseCode;
use crate::codec::{Codec, EncodeError};
use crate::deflate::{self, InflateError};
use crate::error::ErrorCode;
use crate::op::Op;
use crate::table::{Push, Reply, Request};

pub const HEADER_BYTES: usize = 16;

/// `ver` of every frame the server and our clients send. goim writes it but never looks at it; its own clients send 1, or 0.
pub const VERSION: u16 = 1;

/// Bit of `ver` in a Skein session: the body is deflated. Sent only to a peer that said it reads that: a client with
/// `deflate` in op 7, a server with [`FEATURE_DEFLATE`] in `hello`. Decoders hand out the body as it was before.
pub const DEFLATED: u16 = 0x0100;

/// See [`DEFLATED`].
pub const FEATURE_DEFLATE: &str = "deflate";

/// Longest body before log-in and in a goim session (goim `api/protocol/protocol.go`, `MaxBodySize`).
pub const GOIM_BODY_BYTES_MAX: usize = 4096;

/// Longest body of a Skein session: the whole frame fits 64 KiB.
pub const SKEIN_BODY_BYTES_MAX: usize = 64 * 1024 - HEADER_BYTES;

/// A body below this is copied out, so that a small message does not keep a whole read buffer alive.
pub(crate) const COPY_BELOW_BYTES: usize = 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub body_bytes_max: usize,
}

impl Limits {
    pub const GOIM: Limits = Limits { body_bytes_max: GOIM_BODY_BYTES_MAX };
    pub const SKEIN: Limits = Limits { body_bytes_max: SKEIN_BODY_BYTES_MAX };
}

/// How much of goim's tolerance applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// As goim reads: packLen below 16 is an empty body (negative only on TCP), any `ver`, bytes behind the frame of
    /// a WebSocket message are ignored.
    Goim,
    /// A length or tail that no Skein client sends is an error, and so is a `ver` other than 0, 1 and 1 with [`DEFLATED`].
    Skein,
}

/// One unit between client and server.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub ver: u16,
    pub op: Op,
    pub seq: i32,
    pub body: Bytes,
}

impl Frame {
    pub fn new(op: Op, seq: i32, body: Bytes) -> Self {
        Self { ver: VERSION, op, seq, body }
    }

    pub fn request(request: &Request, seq: i32, codec: Codec) -> Result<Self, EncodeError> {
        Ok(Self::new(request.op(), seq, request.encode(codec)?))
    }

    /// `request` and `seq` are those of the frame that is answered.
    pub fn reply(reply: &Reply, request: Op, seq: i32, codec: Codec) -> Result<Self, EncodeError> {
        let (op, body) = reply.encode(request, codec)?;
        Ok(Self::new(op, seq, body))
    }

    pub fn push(push: &Push, codec: Codec) -> Result<Self, EncodeError> {
        Ok(Self::new(push.op(), 0, push.encode(codec)?))
    }

    /// For a frame that was read as goim reads and is a Skein session's after all.
    pub fn check_version(&self) -> Result<(), FrameError> {
        check_version(self.ver)
    }

    /// The header of this frame with a body of so many bytes.
    pub(crate) fn header(&self, body_bytes: usize) -> [u8; HEADER_BYTES] {
        FrameHeader { pack_len: pack_len(body_bytes), ..FrameHeader::of(self) }.encode()
    }

    pub fn encoded_len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    pub fn encode_into(&self, out: &mut BytesMut) {
        out.reserve(self.encoded_len());
        out.put_slice(&FrameHeader::of(self).encode());
        out.put_slice(&self.body);
    }

    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.encode_into(&mut out);
        out.freeze()
    }

    /// As [`Frame::encode`], with the body deflated where that makes it shorter. A body that mixes a secret with somebody
    /// else's words must not be deflated: its length would tell about the secret. Op 7 and its reply never are.
    pub fn encode_deflated(&self) -> Bytes {
        match deflate::deflate(&self.body) {
            Some(body) => Frame { ver: self.ver | DEFLATED, body: body.into(), ..self.clone() }.encode(),
            None => self.encode(),
        }
    }

    /// The one frame of a WebSocket message. A packLen that promises more than the message holds is refused.
    pub fn from_message(message: &Bytes, limits: Limits, strictness: Strictness) -> Result<Self, FrameError> {
        let Some(header) = FrameHeader::peek(message) else {
            return Err(FrameError::Incomplete { needed: HEADER_BYTES, got: message.len() });
        };
        if header.pack_len < 0 {
            return Err(FrameError::PackLen(header.pack_len));
        }
        let body_len = header.body_len(limits, strictness)?;
        let end = HEADER_BYTES + body_len;
        if end > message.len() {
            return Err(FrameError::Incomplete { needed: end, got: message.len() });
        }
        if strictness == Strictness::Skein && end < message.len() {
            return Err(FrameError::Trailing(message.len() - end));
        }
        if header.is_deflated(strictness) {
            return header.with_deflated(&message[HEADER_BYTES..end], limits);
        }
        Ok(header.with_body(message.slice(HEADER_BYTES..end)))
    }
}

/// Shows the length of the body only: it may hold a token or somebody's words.
impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("ver", &self.ver)
            .field("op", &self.op.0)
            .field("seq", &self.seq)
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// The 16 bytes in front of a body, as they are on the wire: nothing is checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub pack_len: i32,
    pub header_len: u16,
    pub ver: u16,
    pub op: Op,
    pub seq: i32,
}

impl FrameHeader {
    fn of(frame: &Frame) -> Self {
        Self { pack_len: pack_len(frame.body.len()), header_len: HEADER_BYTES as u16, ver: frame.ver, op: frame.op, seq: frame.seq }
    }

    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.pack_len.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.header_len.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.ver.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.op.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }

    /// Reads without consuming; `None` while fewer than 16 bytes are there.
    pub fn peek(bytes: &[u8]) -> Option<Self> {
        let mut header = bytes.get(..HEADER_BYTES)?;
        Some(Self {
            pack_len: header.get_i32(),
            header_len: header.get_u16(),
            ver: header.get_u16(),
            op: Op(header.get_i32()),
            seq: header.get_i32(),
        })
    }

    fn body_len(&self, limits: Limits, strictness: Strictness) -> Result<usize, FrameError> {
        if usize::from(self.header_len) != HEADER_BYTES {
            return Err(FrameError::HeaderLen(self.header_len));
        }
        if strictness == Strictness::Skein {
            check_version(self.ver)?;
        }
        match usize::try_from(self.pack_len).ok().and_then(|len| len.checked_sub(HEADER_BYTES)) {
            Some(len) if len > limits.body_bytes_max => Err(FrameError::TooLarge { len, max: limits.body_bytes_max }),
            Some(len) => Ok(len),
            None if strictness == Strictness::Goim => Ok(0),
            None => Err(FrameError::PackLen(self.pack_len)),
        }
    }

    fn is_deflated(&self, strictness: Strictness) -> bool {
        strictness == Strictness::Skein && self.ver & DEFLATED != 0
    }

    fn with_deflated(self, deflated: &[u8], limits: Limits) -> Result<Frame, FrameError> {
        let max = limits.body_bytes_max;
        let body = deflate::inflate(deflated, max).map_err(|error| match error {
            InflateError::TooLarge { len } => FrameError::TooLarge { len, max },
            InflateError::Damaged => FrameError::Deflate,
        })?;
        Ok(Self { ver: self.ver & !DEFLATED, ..self }.with_body(body))
    }

    fn with_body(self, body: Bytes) -> Frame {
        Frame { ver: self.ver, op: self.op, seq: self.seq, body }
    }
}

fn check_version(ver: u16) -> Result<(), FrameError> {
    if ver != 0 && ver & !DEFLATED != VERSION { Err(FrameError::Version(ver)) } else { Ok(()) }
}

/// Every producer bounds its bodies far below the 2 GiB that packLen can say.
fn pack_len(body_bytes: usize) -> i32 {
    i32::try_from(HEADER_BYTES + body_bytes).unwrap_or(i32::MAX)
}

/// Cuts a TCP byte stream into frames. Keeps no bytes of its own, so an idle connection can drop its buffer.
#[derive(Clone, Copy, Debug)]
pub struct FrameDecoder {
    /// May be changed between frames: log-in raises it.
    pub limits: Limits,
    /// May be changed between frames.
    pub strictness: Strictness,
}

impl FrameDecoder {
    pub fn new(limits: Limits, strictness: Strictness) -> Self {
        Self { limits, strictness }
    }

    /// Takes the next frame off the front of `buf`; `None` when more bytes are needed. After an error the stream has
    /// lost its rhythm: nothing is consumed, the error repeats, and the connection must be closed.
    pub fn decode(&self, buf: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(header) = FrameHeader::peek(buf) else {
            return Ok(None);
        };
        let body_len = header.body_len(self.limits, self.strictness)?;
        if buf.len() < HEADER_BYTES + body_len {
            return Ok(None);
        }
        if header.is_deflated(self.strictness) {
            let frame = header.with_deflated(&buf[HEADER_BYTES..HEADER_BYTES + body_len], self.limits)?;
            buf.advance(HEADER_BYTES + body_len);
            return Ok(Some(frame));
        }
        buf.advance(HEADER_BYTES);
        Ok(Some(header.with_body(take(buf, body_len).freeze())))
    }
}

/// The first `len` bytes of `buf`: as a copy if they are few, else as the front part of the buffer itself.
pub(crate) fn take(buf: &mut BytesMut, len: usize) -> BytesMut {
    if len >= COPY_BELOW_BYTES {
        return buf.split_to(len);
    }
    let copy = BytesMut::from(&buf[..len]);
    buf.advance(len);
    copy
}

/// Why a byte stream or message is not frames. The connection ends with [`FrameError::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("header length is {0}, not 16")]
    HeaderLen(u16),
    #[error("frame length {0} is below 16")]
    PackLen(i32),
    #[error("body of {len} bytes is over the limit of {max}")]
    TooLarge { len: usize, max: usize },
    #[error("frame version {0} is not spoken here")]
    Version(u16),
    #[error("message of {got} bytes does not hold its frame of {needed}")]
    Incomplete { needed: usize, got: usize },
    #[error("deflated body is damaged")]
    Deflate,
    #[error("{0} bytes behind the frame of a message")]
    Trailing(usize),
}

impl FrameError {
    pub fn code(self) -> ErrorCode {
        match self {
            FrameError::TooLarge { .. } => ErrorCode::TooLarge,
            FrameError::Version(_) => ErrorCode::UnsupportedVersion,
            _ => ErrorCode::BadRequest,
        }
    }

    pub fn close_code(self) -> CloseCode {
        match self {
            FrameError::TooLarge { .. } => CloseCode::TooBig,
            FrameError::Version(_) => CloseCode::UnsupportedVersion,
            _ => CloseCode::ProtocolError,
        }
    }
}
