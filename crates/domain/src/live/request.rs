//! What is to be pushed, to whom, and when.
//!
//! Bounds: [`REQUESTS_MAX`] requests a command, [`RECEIVERS_MAX`] receivers a request, [`MESSAGE_BYTES_MAX`] a message,
//! [`WORDS_MAX`] platforms and as many tags of [`WORD_BYTES_MAX`] each. They are judged by what is here, at whichever door a
//! push comes in.

use super::name::{GuestKey, Mid, Operation, RoomName};
use crate::id::{IdempotencyKey, Millis, Uid};
use crate::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// Requests of one [`PushCommand::Push`].
pub const REQUESTS_MAX: usize = 100;

/// Keys, mids or uids of one request.
pub const RECEIVERS_MAX: usize = 1_000;

/// Longest message.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// goim's operations end here.
const CONTROL_OPERATION_MAX: Operation = 17;

/// Platforms or tags of an audience, and the length of each.
const WORDS_MAX: usize = 32;
const WORD_BYTES_MAX: usize = 64;

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
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// Judge and count, deliver nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// Which of the pushes that wait is the next; among those of one priority, the one that was accepted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    #[default]
    Normal,
    Urgent,
}

impl Priority {
    pub fn is_normal(&self) -> bool {
        *self == Self::Normal
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Urgent => "urgent",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Normal, Self::Urgent].into_iter().find(|priority| priority.as_str() == text)
    }
}

/// One thing to push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveMessage {
    pub operation: Operation,
    #[serde(with = "base64_body")]
    pub body: Vec<u8>,
}

impl LiveMessage {
    pub fn of(operation: Operation, body: Vec<u8>) -> Result<Self> {
        if body.len() > MESSAGE_BYTES_MAX {
            return Err(Error::new(Code::TooLarge, format!("a message holds at most {MESSAGE_BYTES_MAX} bytes")));
        }
        Ok(Self { operation, body })
    }

    /// As [`of`](Self::of), for callers who are not goim's: its clients take a message with one of goim's operations for a
    /// word of their protocol.
    pub fn of_business(operation: Operation, body: Vec<u8>) -> Result<Self> {
        if operation <= CONTROL_OPERATION_MAX {
            return Err(bad(format!(
                "operations up to {CONTROL_OPERATION_MAX} are the words of goim's protocol (heartbeat, login, container): choose a \
                 larger one, best 1000 and up"
            )));
        }
        Self::of(operation, body)
    }
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

impl PushTarget {
    /// Names somebody, and not too many.
    pub fn check(&self) -> Result<()> {
        let receivers = match self {
            Self::Keys(keys) => keys.len(),
            Self::Mids(mids) => mids.len(),
            Self::Uids(uids) => uids.len(),
            Self::Room(_) => 1,
            Self::All(audience) => return audience.check(),
        };
        match receivers {
            0 => Err(bad(format!("one push names 1 to {RECEIVERS_MAX} receivers"))),
            1..=RECEIVERS_MAX => Ok(()),
            _ => Err(Error::new(Code::TooLarge, format!("one push names at most {RECEIVERS_MAX} receivers"))),
        }
    }
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

    fn check(&self) -> Result<()> {
        let are_words = |words: &[String]| words.len() <= WORDS_MAX && words.iter().all(|word| (1..=WORD_BYTES_MAX).contains(&word.len()));
        if !are_words(&self.platforms) || !are_words(&self.tags) {
            return Err(bad(format!("an audience has at most {WORDS_MAX} platforms and {WORDS_MAX} tags of 1 to {WORD_BYTES_MAX} bytes")));
        }
        if self.speed == Some(0) {
            return Err(bad("a speed is at least one connection per second"));
        }
        Ok(())
    }
}

fn bad(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::BadRequest, message)
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
