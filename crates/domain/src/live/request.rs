//! What is to be pushed, to whom, and when.
//!
//! Bounds: [`REQUESTS_MAX`] requests a command, [`RECEIVERS_MAX`] receivers a request.

use super::name::{GuestKey, Mid, Operation, RoomName};
use crate::id::{IdempotencyKey, Millis, Uid};
use serde::{Deserialize, Serialize};

/// Requests of one [`PushCommand::Push`].
pub const REQUESTS_MAX: usize = 100;

/// Keys, mids or uids of one request.
pub const RECEIVERS_MAX: usize = 1_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushRequest {
    pub target: PushTarget,
    pub message: LiveMessage,
    /// Stored, acked with a seq and replayed by sync: to uids, and to live rooms that are bound to a chat room; another
    /// target is `bad_request`. Otherwise to whoever is connected now.
    #[serde(default)]
    pub durable: bool,
    /// A repetition with the same content answers what the first answered; with other content
    /// `idempotency_conflict`. Durable pushes need one (made by the edge when the caller names none).
    #[serde(default)]
    pub key: Option<IdempotencyKey>,
    /// Not before this time; until then it is on disk.
    #[serde(default)]
    pub not_before: Option<Millis>,
    /// Worthless so long after `not_before`, or after now.
    #[serde(default)]
    pub ttl_ms: Option<i64>,
    /// Judge and count, deliver nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// One thing to push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveMessage {
    pub operation: Operation,
    #[serde(with = "base64_body")]
    pub body: Vec<u8>,
}

/// Whom a push is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushTarget {
    /// Guest connections by key.
    Keys(Vec<GuestKey>),
    /// All connections of these guests.
    Mids(Vec<Mid>),
    /// All connections of these accounts.
    Uids(Vec<Uid>),
    /// Whoever is in the room now: guests, and Skein sessions that joined it.
    Room(RoomName),
    /// Everyone whose connection accepts the operation and fits the audience.
    All(Audience),
}

/// Whom a push to all reaches. Empty lists mean "any"; within a list one match is enough, both lists must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Audience {
    #[serde(default)]
    pub platforms: Vec<String>,
    #[serde(default)]
    pub tags: Vec<String>,
    /// Connections per second over all nodes; `None`: as fast as it goes.
    #[serde(default)]
    pub speed: Option<u32>,
}

impl Audience {
    pub fn fits(&self, platform: &str, tags: &[String]) -> bool {
        let any = |wanted: &[String], has: &dyn Fn(&String) -> bool| wanted.is_empty() || wanted.iter().any(has);
        any(&self.platforms, &|wanted| wanted == platform) && any(&self.tags, &|wanted| tags.contains(wanted))
    }
}

/// Bytes as base64 in JSON.
mod base64_body {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        STANDARD.decode(text.as_bytes()).map_err(serde::de::Error::custom)
    }
}
