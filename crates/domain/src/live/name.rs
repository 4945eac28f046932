//! Names: of live rooms, guests, operations and pushes. Those that a client chooses are bounded and free of control characters.

use crate::account::DeviceClass;
use crate::id::{Generation, Uid};
use crate::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// Name of a live room, by convention `type://name`: 1 to 256 bytes, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoomName(String);

impl RoomName {
    pub const BYTES_MAX: usize = 256;

    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > Self::BYTES_MAX || text.chars().any(char::is_control) {
            return Err(Error::new(Code::BadRequest, "a room name has 1 to 256 bytes and no control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// As goim's HTTP calls name it.
    pub fn of(kind: &str, name: &str) -> Result<Self> {
        Self::parse(&format!("{kind}://{name}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Business type of a push: goim's `operation`.
pub type Operation = i32;

/// goim's user number of a guest; 0 is anonymous. Not a [`Uid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mid(pub i64);

/// Name of one guest connection: 1 to 128 bytes, no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GuestKey(String);

impl GuestKey {
    pub const BYTES_MAX: usize = 128;

    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > Self::BYTES_MAX || text.chars().any(char::is_control) {
            return Err(Error::new(Code::BadRequest, "a key has 1 to 128 bytes and no control characters"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One guest connection; a newer one with the same key has a larger generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GuestRef {
    pub key: GuestKey,
    pub generation: Generation,
}

/// Id of a push: what a receipt is asked by. 26 characters, not guessable, sortable by time.
pub type PushId = String;

/// Somebody in a live room, as presence tells of them.
///
/// A session is in a room from its `JoinLive` until its `LeaveLive` or the end of its connection; its Comet subscribes it
/// before it asks, and takes that back when it is refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Somebody {
    User { uid: Uid, class: DeviceClass },
    Guest { mid: Mid },
}
