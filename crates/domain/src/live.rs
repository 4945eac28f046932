//! The push platform's vocabulary: rooms that are names, guests that are not accounts, and pushes that are bytes.
//!
//! A **guest** is a goim session: a connection that named itself (or was given a key) and belongs to no account. Guests,
//! their keys and mids are a namespace of their own: mid 5 is not uid 5, and nothing of chat ever reaches a guest. A
//! **live room** is a name with whoever is there now: no rows, no members, no unread.
//!
//! **Invariant:** what is pushed live is opaque: an operation and bytes, carried as they came.

use crate::account::DeviceClass;
use crate::id::{ConversationId, Generation, IdempotencyKey, Millis, NodeId, Seq, Uid};
use crate::push::ConnectionRef;
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

/// Who a guest connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    pub mid: Mid,
    pub key: GuestKey,
    pub room: Option<RoomName>,
    pub accepts: Vec<Operation>,
    /// As the client named it (goim's `platform`); for targeting.
    pub platform: String,
    pub tags: Vec<String>,
}

/// One guest connection; a newer one with the same key has a larger generation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GuestRef {
    pub key: GuestKey,
    pub generation: Generation,
}

/// What guests ask of logic, through their Comet or through goim's gRPC.
///
/// **Identity.** Whoever may name a mid or a key could take over the pushes of another guest: without
/// `compat.goim.trust` a token that names either is refused, and every guest is anonymous with a key made here.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum GuestCommand {
    /// `token` is the body of goim's op 7 as it came. Refused: `bad_request` (no JSON object), `forbidden` (names an
    /// identity although names are not trusted).
    Connect { node: NodeId, generation: Generation, token: Vec<u8>, cookie: String, address: String },
    /// Idempotent; removes the registration only if no newer one took its place.
    Disconnect { node: NodeId, mid: Mid, guest: GuestRef },
    /// These guests of `node` are alive; those registered no more are registered anew, but where a newer connection of
    /// the key sits elsewhere: the older one is closed by [`crate::push::Control::CloseGuest`].
    Renew { node: NodeId, live: Vec<(Mid, GuestRef)> },
    /// How many guests and sessions are in each live room of `node` (rooms without anybody are left out); answers the
    /// counts of these rooms over all nodes. `too_large` beyond [`ROOMS_PER_NODE_MAX`].
    Online { node: NodeId, rooms: Vec<(RoomName, u32)>, connections: u32, addresses: u32, weight: u32 },
    /// The guest went to another room, or to none. Idempotent.
    Move { node: NodeId, mid: Mid, guest: GuestRef, room: Option<RoomName> },
    /// A message of a guest; logic only counts it.
    Receive { mid: Mid, operation: Operation, body: Vec<u8> },
}

/// Live rooms with somebody in them that one node may report.
pub const ROOMS_PER_NODE_MAX: usize = 200_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum GuestReply {
    Connected {
        guest: Guest,
        /// A guest silent (no op 2) for so long is closed.
        heartbeat_ms: i64,
        /// The older connection of the key, if it is at the same node.
        replaced: Option<GuestRef>,
    },
    Done,
    Online {
        rooms: Vec<(RoomName, u32)>,
    },
}

// === pushing ===

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

/// Who pushes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pusher {
    /// goim's keyless routes; refused unless the operator opened them (`compat.goim.open_push`). Owns nothing, so
    /// pushes nothing durable.
    Open,
    /// Whoever administers this server, over the admin socket; never from a network. May everything but durable pushes,
    /// which need an app as their author.
    Operator,
    /// The secret a caller showed.
    ApiKey(String),
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum PushCommand {
    /// Whether the key may use this; counts as a request of it.
    Authorize {
        route: PushRoute,
    },
    Push {
        requests: Vec<PushRequest>,
    },
    Receipt {
        push: PushId,
    },
    /// Live rooms with most people, of names that begin so.
    Top {
        prefix: String,
        limit: u32,
    },
    Rooms {
        rooms: Vec<RoomName>,
    },
    Total,
    /// Where clients may connect: goim's weighted choice. Answers [`PushReply::Advice`].
    Nodes {
        platform: String,
        address: String,
    },
    /// All nodes, for operators. Answers [`PushReply::Nodes`].
    Instances,
}

/// What an API key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushRoute {
    /// Push to keys, mids and uids.
    Unicast,
    Room,
    All,
    /// Read counts, nodes and receipts.
    Read,
    /// `POST /logic/verify`.
    Verify,
}

impl PushRoute {
    pub const ALL: [Self; 5] = [Self::Unicast, Self::Room, Self::All, Self::Read, Self::Verify];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unicast => "unicast",
            Self::Room => "room",
            Self::All => "all",
            Self::Read => "read",
            Self::Verify => "verify",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.as_str() == text)
    }
}

/// What a key may. Empty `rooms`: every room; otherwise rooms whose names begin with one of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scope {
    pub routes: Vec<PushRoute>,
    #[serde(default)]
    pub rooms: Vec<String>,
}

impl Scope {
    pub fn allows(&self, route: PushRoute) -> bool {
        self.routes.contains(&route)
    }

    pub fn allows_room(&self, room: &RoomName) -> bool {
        self.rooms.is_empty() || self.rooms.iter().any(|prefix| room.as_str().starts_with(prefix))
    }
}

/// Id of a push: what a receipt is asked by. 26 characters, not guessable, sortable by time.
pub type PushId = String;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum PushReply {
    Authorized,
    /// In the order of the requests; each stands alone.
    Pushed {
        outcomes: Vec<PushOutcome>,
    },
    Receipt {
        receipt: Receipt,
    },
    Counts {
        rooms: Vec<(RoomName, u32)>,
    },
    Total {
        connections: u64,
        addresses: u64,
    },
    Nodes {
        nodes: Vec<LiveNode>,
    },
    Advice {
        advice: Advice,
    },
}

/// What a goim client is told before it connects: goim's `NodesReply`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    pub domain: String,
    pub tcp_port: i32,
    pub ws_port: i32,
    pub wss_port: i32,
    /// Seconds between two heartbeats of a client.
    pub heartbeat: i32,
    /// Heartbeats that may be missed.
    pub heartbeat_max: i32,
    /// Hosts, best first; at most [`Advice::NODES_MAX`], and the domain when no node takes anybody.
    pub nodes: Vec<String>,
    pub backoff: Backoff,
}

impl Advice {
    pub const NODES_MAX: usize = 5;
}

/// How a client waits before it connects again: seconds, and hundredths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    pub max_delay: i32,
    pub base_delay: i32,
    pub factor_hundredths: u32,
    pub jitter_hundredths: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum PushOutcome {
    Accepted {
        push: PushId,
        /// Where it was stored, if it is durable and due: one place per user, or the room's.
        #[serde(default)]
        stored: Vec<Stored>,
        /// Receivers a dry run would have found.
        #[serde(default)]
        would_reach: Option<u64>,
        #[serde(default)]
        repeated: bool,
    },
    Refused {
        error: Error,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub uid: Option<Uid>,
    pub conversation: ConversationId,
    pub seq: Seq,
}

/// What became of a push so far. Kept for ten minutes after its last change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub push: PushId,
    /// Who pushed, and so who may ask; 0: the operator or nobody in particular.
    pub app: Uid,
    pub state: PushState,
    pub at: Millis,
    pub found: u64,
    pub queued: u64,
    pub dropped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushState {
    /// Its time has not come.
    Scheduled,
    /// Not all nodes have answered.
    Waiting,
    Delivered,
    /// Nobody got it in time.
    Expired,
    /// Its time came, and it could not be pushed: there was nobody or nowhere to keep it for.
    Failed,
}

/// A node as the push API tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveNode {
    pub node: NodeId,
    /// Host and ports where clients connect.
    pub tcp: String,
    pub websocket: String,
    pub weight: u32,
    pub connections: u32,
    pub addresses: u32,
    pub draining: bool,
    pub renewed_at: Millis,
}

/// A transient push on its way from logic to the job: goim's `PushMsg`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRecord {
    pub push: PushId,
    pub app: Uid,
    pub address: LiveAddress,
    pub message: LiveMessage,
    /// Worthless after this time.
    pub expires: Option<Millis>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveAddress {
    /// Guests of one node.
    Guests {
        node: NodeId,
        keys: Vec<GuestKey>,
    },
    /// Connections of accounts at one node.
    Sessions {
        node: NodeId,
        connections: Vec<ConnectionRef>,
    },
    Room(RoomName),
    All(Audience),
}

// === sessions of accounts in live rooms ===

/// Somebody in a live room, as presence tells of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
///
/// A session is in a room from its `JoinLive` until its `LeaveLive` or the end of its connection; its Comet subscribes it
/// before it asks, and takes that back when it is refused.
#[serde(rename_all = "snake_case")]
pub enum Somebody {
    User { uid: Uid, class: DeviceClass },
    Guest { mid: Mid },
}

/// Bytes as base64 in JSON.
pub mod base64_body {
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
