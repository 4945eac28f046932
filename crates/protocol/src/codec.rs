//! How the body of a frame is encoded, and what can be wrong with one.
//!
//! **Invariant:** a message means the same in both codecs: what decodes from one encodes to the other.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ErrorCode;
use crate::json::{JsonError, from_json_object};
use crate::op::Op;

/// Encoding of frame bodies. Each connection chooses one at log-in; text envelopes are always [`Codec::Json`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Codec {
    #[default]
    Protobuf,
    Json,
}

impl Codec {
    /// The name that op 7 carries in `codec`; an empty one is the default.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "" | "protobuf" => Some(Codec::Protobuf),
            "json" => Some(Codec::Json),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Codec::Protobuf => "protobuf",
            Codec::Json => "json",
        }
    }

    /// The codec of an op 7 body, which comes before one was chosen. `{` would start a Protobuf group of field 15,
    /// and no message here has groups, so the first byte decides.
    pub fn of_auth_body(body: &[u8]) -> Self {
        match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Codec::Json,
            _ => Codec::Protobuf,
        }
    }

    /// An empty JSON body reads as `{}`, as an empty Protobuf body is a message with every field at its default.
    pub fn decode<M>(self, body: &[u8]) -> Result<M, DecodeError>
    where
        M: prost::Message + Default + DeserializeOwned,
    {
        match self {
            Codec::Protobuf => Ok(M::decode(body)?),
            Codec::Json if body.is_empty() => Ok(M::default()),
            Codec::Json => Ok(from_json_object(body)?),
        }
    }

    /// Fails only where JSON has no word for a value: an enum number outside the schema.
    pub fn encode<M>(self, message: &M) -> Result<Bytes, EncodeError>
    where
        M: prost::Message + Serialize,
    {
        match self {
            Codec::Protobuf => Ok(message.encode_to_vec().into()),
            Codec::Json => Ok(serde_json::to_vec(message)?.into()),
        }
    }
}

/// Why a body or an envelope was not understood. The connection stays; the answer is an `error` reply.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("op {0} is not known here")]
    UnknownOp(Op),
    #[error("type {0:?} is not known here")]
    UnknownType(String),
    #[error("body is not the message of its op: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("{0}")]
    Json(#[from] JsonError),
}

impl DecodeError {
    /// Quotes at most 64 characters of a peer's `type`.
    pub(crate) fn unknown_type(name: &str) -> Self {
        DecodeError::UnknownType(name.chars().take(64).collect())
    }

    pub fn code(&self) -> ErrorCode {
        match self {
            DecodeError::UnknownOp(_) | DecodeError::UnknownType(_) => ErrorCode::Unsupported,
            DecodeError::Protobuf(_) => ErrorCode::BadRequest,
            DecodeError::Json(error) => error.code(),
        }
    }
}

/// A message that cannot be sent: a mistake of the program that built it.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("message has no json form: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{reply} is not the reply to op {request}")]
    WrongReply { request: Op, reply: &'static str },
}

impl EncodeError {
    pub fn code(&self) -> ErrorCode {
        ErrorCode::Internal
    }
}
