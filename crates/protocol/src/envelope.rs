//! The JSON envelope of WebSocket text messages: `{"type": "ack", "seq": 7, "payload": {…}}`.
//!
//! **Invariant:** an envelope means what the frame with its op, seq and JSON body means; both go through
//! [`crate::table`].
//!
//! `seq` may be left out (0), `payload` may be left out or null (`{}`), other top-level fields are skipped.
//!
//! **Invariant:** whatever else is wrong, an object with a sound `seq` gives it, so that the answer finds its request.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::codec::{Codec, DecodeError, EncodeError};
use crate::json::{JsonError, from_json_object, starts_an_object};
use crate::op::Op;
use crate::table::{Incoming, Push, Reply, Request};

/// A text message taken apart: `seq` is known here even when the payload turns out to be wrong.
pub struct Envelope<'a> {
    /// Empty when there is none.
    pub name: Cow<'a, str>,
    pub seq: i32,
    /// JSON text of the payload.
    pub payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    pub fn parse(text: &'a [u8]) -> Result<Self, DecodeError> {
        let parts = Parts::read(text)?;
        let seq = parts.seq.map_or(Ok(0), |raw| serde_json::from_str(raw.get()));
        let seq = seq.map_err(|_| JsonError::field("seq", "must be a whole number of 32 bits"))?;
        // A type that is no text is no type.
        let name = parts.name.and_then(|raw| serde_json::from_str::<Name<'a>>(raw.get()).ok());
        let name = name.map_or(Cow::Borrowed(""), |Name(name)| name);
        Ok(Self { name, seq, payload: parts.payload.map_or(b"{}", |raw| raw.get().as_bytes()) })
    }

    fn named(&self) -> Result<&str, JsonError> {
        if self.name.is_empty() { Err(JsonError::field("type", "must be the name of a message")) } else { Ok(&self.name) }
    }

    /// What a server reads.
    pub fn request(&self) -> Result<Request, DecodeError> {
        Request::from_json_type(self.named()?, self.payload)
    }

    /// What a client reads.
    pub fn incoming(&self) -> Result<Incoming, DecodeError> {
        Incoming::from_json_type(self.named()?, self.seq, self.payload)
    }
}

/// Shows no payload: it may hold a token or somebody's words.
impl fmt::Debug for Envelope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope").field("name", &self.name).field("seq", &self.seq).field("payload_bytes", &self.payload.len()).finish()
    }
}

#[derive(Deserialize)]
struct Parts<'a> {
    #[serde(rename = "type", default, borrow)]
    name: Option<&'a RawValue>,
    #[serde(default, borrow)]
    seq: Option<&'a RawValue>,
    #[serde(default, borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Parts<'a> {
    fn read(text: &'a [u8]) -> Result<Self, JsonError> {
        // Left alone, a derived reader takes an array of the fields in order as well.
        let shape = || from_json_object::<serde::de::IgnoredAny>(text).err().unwrap_or_else(JsonError::twice);
        if !starts_an_object(text) {
            return Err(shape());
        }
        serde_json::from_slice(text).map_err(|error| if error.is_data() { shape() } else { JsonError::syntax(&error) })
    }
}

pub fn request(request: &Request, seq: i32) -> Result<Bytes, EncodeError> {
    Ok(wrap(request.name(), seq, &request.encode(Codec::Json)?))
}

/// `answered` and `seq` are those of the request that is answered.
pub fn reply(reply: &Reply, answered: Op, seq: i32) -> Result<Bytes, EncodeError> {
    let (_, name) = reply.placed(answered)?;
    let (_, payload) = reply.encode(answered, Codec::Json)?;
    Ok(wrap(name, seq, &payload))
}

pub fn push(push: &Push) -> Result<Bytes, EncodeError> {
    Ok(wrap(push.name(), 0, &push.encode(Codec::Json)?))
}

/// The envelope around a body that is JSON already, so that one encoding serves JSON frames and text messages.
/// `name` is a type of the table: it is written without escapes.
pub fn wrap(name: &str, seq: i32, payload: &[u8]) -> Bytes {
    let seq = seq.to_string();
    let mut out = BytesMut::with_capacity(name.len() + seq.len() + payload.len() + 32);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\",\"seq\":");
    out.put_slice(seq.as_bytes());
    out.put_slice(b",\"payload\":");
    out.put_slice(if payload.is_empty() { b"{}" } else { payload });
    out.put_u8(b'}');
    out.freeze()
}
