use super::Audit;
use crate::Result;
use crate::id::{ConversationId, Generation, IdempotencyKey, Millis, NodeId, Uid};
use crate::live::{GuestKey, GuestRef, LiveRecord, Mid, Priority, PushId, PushRequest, Receipt, RoomName, Scope};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Which guest is at which node, and how many are in each live room. Approximate by contract, as the session registry:
/// an entry outlives its connection by at most its lease, and an empty room leaves nothing behind.
#[async_trait]
pub trait GuestRegistry: Send + Sync + 'static {
    /// The newer connection of a key wins; answers the older one that lost its entry. An older generation than the
    /// registered one changes nothing and answers itself.
    async fn register(&self, route: GuestRoute, lease_ms: i64) -> Result<Option<GuestRoute>>;
    /// Renews those of `node`; registers anew what has been forgotten. Answers those that a newer connection of their key
    /// took the place of.
    async fn renew(&self, node: &NodeId, live: &[(Mid, GuestRef)], lease_ms: i64) -> Result<Vec<GuestRef>>;
    /// Removes the entry only if its generation is equal. Returns whether it was there.
    async fn remove(&self, node: &NodeId, guest: &GuestRef) -> Result<bool>;
    async fn by_keys(&self, keys: &[GuestKey]) -> Result<Vec<GuestRoute>>;
    async fn by_mids(&self, mids: &[Mid]) -> Result<Vec<GuestRoute>>;

    /// Replaces what the node said before; counts of a node that is silent for `lease_ms` are forgotten.
    async fn put_online(&self, online: NodeOnline, lease_ms: i64) -> Result<()>;
    async fn online(&self) -> Result<Vec<NodeOnline>>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestRoute {
    pub mid: Mid,
    pub key: GuestKey,
    pub node: NodeId,
    pub generation: Generation,
}

impl GuestRoute {
    pub fn guest(&self) -> GuestRef {
        GuestRef { key: self.key.clone(), generation: self.generation }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOnline {
    pub node: NodeId,
    /// Without empty rooms.
    pub rooms: Vec<(RoomName, u32)>,
    pub connections: u32,
    pub addresses: u32,
    /// Share of clients the node is to get, against those of others.
    pub weight: u32,
    pub at: Millis,
}

/// Apps and their keys, and pushes that wait for their time. Durable, like all of SQL's part.
#[async_trait]
pub trait PushStore: Send + Sync + 'static {
    /// Makes the app (a user that cannot log in, with that nickname) if there is none of the name, and a key for it.
    async fn create_key(&self, key: NewApiKey) -> Result<ApiKey>;
    /// Idempotent; the row stays, revoked. `not_found` if there is none.
    async fn revoke_key(&self, id: i64, audit: Audit) -> Result<()>;
    /// Also a revoked one.
    async fn key_by_hash(&self, hash: [u8; 32]) -> Result<Option<ApiKey>>;
    async fn keys(&self) -> Result<Vec<ApiKey>>;

    /// The chat room that durable pushes to the live room go to. `None` unbinds. Writes the audit row.
    async fn bind_room(&self, room: &RoomName, to: Option<ConversationId>, audit: Audit) -> Result<()>;
    async fn bound_room(&self, room: &RoomName) -> Result<Option<ConversationId>>;
    async fn bindings(&self) -> Result<Vec<(RoomName, ConversationId)>>;

    /// Words by which pushes to all find an account's connections; replaces those it had. `not_found` without such a user.
    async fn set_tags(&self, uid: Uid, tags: &[String], audit: Audit) -> Result<()>;
    /// Ascending.
    async fn tags(&self, uid: Uid) -> Result<Vec<String>>;

    /// The conversation in which `app` tells `uid` things (of kind `notice`, with the app as its owner and under its
    /// name); made if there is none. Idempotent. Item `conversation` in the user log. `not_found` without such a user.
    async fn open_notice(&self, app: Uid, uid: Uid, at: Millis) -> Result<ConversationId>;

    /// In one transaction: remembers the key of a push, and keeps the push if it waits for its time. A known key with the
    /// same digest changes nothing and answers the first push; with another digest `idempotency_conflict`. A key is
    /// forgotten [`PUSH_KEY_KEPT_MS`] after it was first used. `quota_exceeded` beyond `waiting_max` of the app.
    async fn accept(&self, push: AcceptedPush) -> Result<Remembered>;

    /// The push of this key was refused after all: the key is free again. Idempotent.
    async fn forget(&self, app: Uid, key: &IdempotencyKey) -> Result<()>;

    async fn scheduled(&self, push: &PushId) -> Result<Option<ScheduledPush>>;
    /// Due at `now`, oldest first.
    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<ScheduledPush>>;
    /// When the next is due.
    async fn next_due(&self) -> Result<Option<Millis>>;
    /// If it is still due at `was`, it is due again `to`. `false`: another node has put it off, or it does not wait.
    async fn put_off(&self, push: &PushId, was: Millis, to: Millis) -> Result<bool>;
    /// It has been pushed, or has expired. Idempotent.
    async fn unschedule(&self, push: &PushId) -> Result<()>;
}

pub const PUSH_KEY_KEPT_MS: i64 = 24 * 60 * 60 * 1_000;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedPush {
    pub push: PushId,
    pub app: Uid,
    /// With the digest of what was asked under it.
    pub key: Option<(IdempotencyKey, [u8; 32])>,
    pub schedule: Option<ScheduledPush>,
    pub waiting_max: u32,
    pub at: Millis,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    New,
    Before(PushId),
}

#[derive(Debug, Clone)]
pub struct NewApiKey {
    /// 1 to 64 characters on one line.
    pub app: String,
    pub hash: [u8; 32],
    pub scope: Scope,
    pub per_second: u32,
    pub at: Millis,
    pub audit: Audit,
}

/// A key as stored: never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub id: i64,
    pub app: Uid,
    pub name: String,
    pub scope: Scope,
    /// Requests per second, with a burst of as many.
    pub per_second: u32,
    pub created_at: Millis,
    pub revoked_at: Option<Millis>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledPush {
    pub push: PushId,
    pub app: Uid,
    pub request: PushRequest,
    pub due: Millis,
    pub expires: Option<Millis>,
}

/// The log between the push API and the job, for transient pushes: lanes in this process in `direct` mode, Kafka in
/// `pipeline` mode.
#[async_trait]
pub trait LiveLog: Send + Sync + 'static {
    /// All records of one push; returns when the next stage has them. Pushes of one caller to one receiver or room keep
    /// their order. `busy` with a time to wait: there was no room for it anywhere, and nobody gets it.
    async fn publish(&self, records: Vec<LiveRecord>) -> Result<()>;
}

/// The consuming end of [`LiveLog`] in `pipeline` mode: one member of a group, each partition with one member.
#[async_trait]
pub trait LiveSource: Send + Sync + 'static {
    /// The next records, in order within a room and within a receiver, at most `limit`. Taken is done: what its taker
    /// loses is lost. What cannot be read, or is too old to be of use, is left out. Waits for about a second, then answers
    /// none.
    async fn next(&self, limit: usize) -> Result<Vec<LiveRecord>>;
}

/// The queue in which broadcasts wait that take their time (pushes to all with a speed): one for all nodes, highest priority
/// first, and within a priority in the order of joining. It knows names only; what is to be pushed is kept by the node
/// that joined. Approximate by contract, as the registries: who is not renewed is forgotten when its lease ends, and what was
/// forgotten is put back by its node's next renewal, at its old place.
#[async_trait]
pub trait BroadcastQueue: Send + Sync + 'static {
    /// Behind all of its priority; answers its place. `busy` beyond the bound of those that wait.
    async fn join(&self, broadcast: &Broadcast, priority: Priority, lease_ms: i64) -> Result<Place>;
    /// These broadcasts of `node` wait, or run.
    async fn renew(&self, node: &NodeId, queued: &[Queued], lease_ms: i64) -> Result<()>;
    /// The next, if it is one of `node`, and [`Priority`] has room among those that run: then it runs, until it leaves.
    async fn claim(&self, node: &NodeId, lease_ms: i64) -> Result<Option<u64>>;
    /// They run or wait no more. Idempotent.
    async fn leave(&self, node: &NodeId, broadcasts: &[u64]) -> Result<()>;
}

/// Broadcasts of one priority or less that run at the same time: urgent ones find room where normal ones have to wait.
pub const fn broadcasts_running_max(priority: Priority) -> usize {
    match priority {
        Priority::Normal => 8,
        Priority::Urgent => 12,
    }
}

/// Broadcasts that wait in a queue.
pub const BROADCASTS_WAITING_MAX: usize = 10_000;

/// A broadcast by the number its node gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Broadcast {
    pub node: NodeId,
    pub number: u64,
}

/// Where a broadcast stands among those of its priority: whoever came first has the smaller one. Microseconds of the
/// queue's clock, each given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub i64);

/// A broadcast of a node, as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued {
    pub number: u64,
    pub priority: Priority,
    pub place: Place,
    pub is_running: bool,
}

/// What became of recent pushes. Bounded by number and time; losing it loses receipts only.
#[async_trait]
pub trait ReceiptStore: Send + Sync + 'static {
    async fn put(&self, receipt: Receipt) -> Result<()>;
    /// Adds to the counters, and sets state and time, if the receipt is still known.
    async fn add(&self, receipt: Receipt) -> Result<()>;
    async fn get(&self, push: &PushId) -> Result<Option<Receipt>>;
}
