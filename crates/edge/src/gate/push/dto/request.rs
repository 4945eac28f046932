//! What is to be pushed.
//!
//! **Invariant:** an unknown field is refused: a misspelt `durable` must not turn into a push that is lost.

use super::super::super::dto::words;
use super::super::super::int64::Int64;
use super::super::key;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use skein_domain::id::{Millis, Uid};
use skein_domain::live::{self, Audience, GuestKey, LiveMessage, Mid, PushRequest, PushTarget, RoomName};
use skein_domain::{Code, Error, Result};
use skein_protocol::{JsonError, from_strict_json_object};
use utoipa::ToSchema;

/// One push. The message is exactly one of `body`, `text` and `base64`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PushBody {
    to: To,
    /// Business type of the message; receivers choose by it what they accept. goim's clients use 1000 and up. Up to 17 and below
    /// zero are words of goim's protocol (heartbeat, login, container) and refused as `bad_request`.
    #[schema(example = 1000)]
    operation: i32,
    /// JSON, sent as it stands here.
    #[serde(default)]
    #[schema(value_type = Object)]
    body: Option<Value>,
    /// The text of `body`.
    #[serde(skip)]
    verbatim: Option<Box<RawValue>>,
    /// Text, sent as UTF-8.
    #[serde(default)]
    #[schema(example = "hello")]
    text: Option<String>,
    /// Any bytes.
    #[serde(default)]
    base64: Option<String>,
    /// Stored and replayed, to users and rooms; otherwise to whoever is connected now.
    #[serde(default)]
    durable: bool,
    /// 1 to 64 printable ASCII characters: a repetition answers what the first answered. The header Idempotency-Key does the same.
    #[serde(default)]
    idempotency_key: Option<String>,
    /// Unix milliseconds. The push is on disk until then.
    #[serde(default)]
    not_before: Option<Int64>,
    /// Worthless so long after `not_before`, or after now.
    #[serde(default)]
    ttl_ms: Option<Int64>,
    /// Which of the pushes that wait is the next; `normal` if nothing is named.
    #[serde(default)]
    priority: Option<Priority>,
    /// Judge and count, deliver nothing.
    #[serde(default)]
    dry_run: bool,
}

words!(
    /// `urgent`: before all that wait and are not.
    Priority = live::Priority { Normal, Urgent }
);

/// Exactly one of these.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct To {
    /// All connections of these accounts.
    #[serde(default)]
    pub users: Option<Vec<Int64>>,
    /// Whoever is in the room now, whatever they accept.
    #[serde(default)]
    #[schema(example = "live://1000")]
    pub room: Option<String>,
    /// Everyone who accepts the operation.
    #[serde(default)]
    pub all: Option<Everyone>,
    /// goim connections by key.
    #[serde(default)]
    pub keys: Option<Vec<String>>,
    /// All connections of these goim users.
    #[serde(default)]
    pub mids: Option<Vec<Int64>>,
}

/// Empty lists mean any; within a list one match is enough, both lists must match.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Everyone {
    /// Of an account: the device class it logged in with, `web`, `desktop`, `mobile` or `cli`. Of a goim connection: what it named.
    #[serde(default)]
    pub platforms: Vec<String>,
    /// Of an account: those it had when it connected.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Connections per second over all nodes; 0: as fast as it goes.
    #[serde(default)]
    pub speed: u32,
}

/// Up to 100 pushes, each as in `POST /api/v1/push`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BatchBody {
    #[schema(value_type = Vec<PushBody>)]
    pushes: Vec<Value>,
}

/// Text that is known to be an object of the right shape, for what must stay as it was written.
#[derive(Deserialize)]
struct Written {
    body: Option<Box<RawValue>>,
    #[serde(default)]
    pushes: Vec<Box<RawValue>>,
}

impl Written {
    fn of(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

impl BatchBody {
    /// Each as it was written: it may be of the wrong shape alone.
    pub fn read(text: &[u8]) -> std::result::Result<Vec<Box<RawValue>>, JsonError> {
        let Self { pushes } = from_strict_json_object(text)?;
        let written = Written::of(text).map(|written| written.pushes);
        Ok(written.filter(|written| written.len() == pushes.len()).unwrap_or_default())
    }
}

impl PushBody {
    pub fn read(text: &[u8]) -> std::result::Result<Self, JsonError> {
        let mut read: Self = from_strict_json_object(text)?;
        read.verbatim = Written::of(text).and_then(|written| written.body).filter(|_| read.body.is_some());
        Ok(read)
    }

    pub fn into_request(self, header_key: Option<&str>) -> Result<PushRequest> {
        let named = match (self.idempotency_key.as_deref(), header_key) {
            (Some(body), Some(header)) if body != header => {
                return Err(bad("the header Idempotency-Key and the field idempotency_key differ"));
            }
            (body, header) => body.or(header),
        };
        let key = key::idempotency_key(named, self.durable || self.not_before.is_some())?;
        let bytes = message_bytes(self.verbatim, self.text, self.base64)?;
        Ok(PushRequest {
            target: self.to.try_into()?,
            message: LiveMessage::of_business(self.operation, bytes)?,
            durable: self.durable,
            key,
            not_before: self.not_before.map(Millis::from),
            ttl_ms: self.ttl_ms.map(|ttl| ttl.0),
            priority: self.priority.map(live::Priority::from).unwrap_or_default(),
            dry_run: self.dry_run,
        })
    }
}

fn message_bytes(body: Option<Box<RawValue>>, text: Option<String>, base64: Option<String>) -> Result<Vec<u8>> {
    match (body, text, base64) {
        (Some(json), None, None) => Ok(json.get().as_bytes().to_vec()),
        (None, Some(text), None) => Ok(text.into_bytes()),
        (None, None, Some(base64)) => STANDARD.decode(base64).map_err(|_| bad("base64 is not standard Base64 with padding")),
        _ => Err(bad("a push has exactly one of body, text and base64")),
    }
}

impl TryFrom<To> for PushTarget {
    type Error = Error;

    fn try_from(to: To) -> Result<Self> {
        let target = match to {
            To { users: Some(users), room: None, all: None, keys: None, mids: None } => {
                Self::Uids(users.into_iter().map(Uid::from).collect())
            }
            To { users: None, room: Some(room), all: None, keys: None, mids: None } => Self::Room(RoomName::parse(&room)?),
            To { users: None, room: None, all: Some(all), keys: None, mids: None } => Self::All(all.into()),
            To { users: None, room: None, all: None, keys: Some(keys), mids: None } => {
                Self::Keys(keys.iter().map(|key| GuestKey::parse(key)).collect::<Result<_>>()?)
            }
            To { users: None, room: None, all: None, keys: None, mids: Some(mids) } => {
                Self::Mids(mids.into_iter().map(|mid| Mid(mid.0)).collect())
            }
            _ => return Err(bad("`to` has exactly one of users, room, all, keys and mids")),
        };
        target.check()?;
        Ok(target)
    }
}

impl From<Everyone> for Audience {
    fn from(Everyone { platforms, tags, speed }: Everyone) -> Self {
        Self { platforms, tags, speed: Some(speed).filter(|speed| *speed > 0) }
    }
}

fn bad(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Code::BadRequest, message)
}
