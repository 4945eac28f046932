//! Bytes between client and server, and nothing else: no IO, no clock, no randomness, no runtime.
//!
//! - [`frame`]: goim's 16-byte header, for TCP and inside WebSocket binary messages; [`deflate`] makes bodies shorter.
//! - [`envelope`]: the same requests, replies and pushes as JSON in WebSocket text messages.
//! - [`table`]: which op, JSON type and message belong together. [`codec`] turns a message into a body and back.
//! - [`json`]: reading JSON, and saying what is wrong with it.
//! - [`schema`]: the messages, generated from `proto/skein.proto`.
//! - [`websocket`]: the framing of RFC 6455, both roles. The HTTP upgrade is the edge's.
//! - [`goim`]: what goim's clients say beyond the frame: their upgrade, their ops, and who of two kinds logs in.
//! - [`error`] and [`close`]: the codes that replies and closed connections carry, with what a client does about them.
//!
//! **Invariant:** no input makes this crate panic, read past what it was given, or keep more than the limits it was given.
//!
//! **Invariant:** one table is the only place where an op, its JSON type and its message meet; frames and envelopes,
//! documentation, JSON Schema and golden vectors follow from it.

pub mod close;
pub mod codec;
pub mod deflate;
pub mod envelope;
pub mod error;
pub mod frame;
pub mod fuzzing;
pub mod goim;
pub mod json;
pub mod op;
pub mod schema;
pub mod table;
pub mod websocket;

pub use close::{Advice, CloseCode};
pub use codec::{Codec, DecodeError, EncodeError};
pub use envelope::Envelope;
pub use error::{ErrorCode, Retry};
pub use frame::{Frame, FrameDecoder, FrameError, Strictness};
pub use json::{JsonError, from_json_object, from_parameters, from_strict_json_object};
pub use op::Op;
pub use schema::v1;
pub use table::{Incoming, Push, Reply, Request};

/// Protocol version of this build: another major is refused, a minor only adds.
pub const MAJOR: u32 = 1;
/// See [`MAJOR`].
pub const MINOR: u32 = 0;
