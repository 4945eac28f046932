//! What travels inside an envelope, and how failures do.

use crate::proto;
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_domain::{Code, Error, Result};

pub fn pack<T: Serialize>(value: &T) -> Result<prost::bytes::Bytes> {
    serde_json::to_vec(value).map(Into::into).map_err(|error| {
        tracing::error!(%error, "encode door message");
        Error::internal()
    })
}

/// A body this build cannot read is of a newer peer: `unsupported`, never a panic.
pub fn unpack<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        tracing::warn!(%error, "unreadable door message");
        Error::new(Code::Unsupported, "the peer does not know this command")
    })
}

pub fn reply<T: Serialize>(id: u64, outcome: Result<T>) -> proto::Reply {
    match outcome.and_then(|value| pack(&value)) {
        Ok(body) => proto::Reply { id, body, error: None },
        Err(error) => proto::Reply { id, body: Default::default(), error: Some(error.into()) },
    }
}

pub fn outcome<T: DeserializeOwned>(reply: proto::Reply) -> Result<T> {
    match reply.error {
        Some(error) => Err(error.into()),
        None => unpack(&reply.body),
    }
}

impl From<Error> for proto::Error {
    fn from(error: Error) -> Self {
        Self { code: error.code.as_str().into(), message: error.message.into_owned(), retry_after_ms: error.retry_after_ms }
    }
}

impl From<proto::Error> for Error {
    fn from(error: proto::Error) -> Self {
        Self { code: Code::parse(&error.code), message: error.message.into(), retry_after_ms: error.retry_after_ms }
    }
}

/// How a failed call reads to the caller of a door.
pub fn failure(status: tonic::Status) -> Error {
    use tonic::Code as Grpc;
    match status.code() {
        Grpc::Unauthenticated => Error::new(Code::Unauthorized, "the peer refused the internal secret"),
        Grpc::DeadlineExceeded => Error::new(Code::Timeout, "the peer did not answer in time"),
        Grpc::ResourceExhausted | Grpc::OutOfRange => Error::new(Code::TooLarge, "the message exceeds the door's size limit"),
        Grpc::Unimplemented => Error::new(Code::Unsupported, "the peer does not know this call"),
        // Also `Cancelled`: the link was gone before the call left, for example because the peer speaks TLS and we do not.
        _ => Error::new(Code::Unavailable, "the peer cannot be reached").retry_after(1_000),
    }
}
