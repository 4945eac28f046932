use super::Audit;
use crate::Result;
use crate::id::{ConversationId, Generation, IdempotencyKey, Millis, NodeId, Uid};
use crate::live::{GuestKey, GuestRef, Mid, PushId, PushRequest, Receipt, RoomName};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Which guest is at which node, and how many are in each live room. Approximate by contract, as the session registry:
/// an entry outlives its connection by at most its lease, and an empty room leaves nothing behind.
#[async_trait]
pub trait GuestRegistry: Send + Sync + 'static {
    /// The newer connection of a key wins; answers the older one that lost its entry. An older generation than the
    /// registered one changes nothing and answers itself.
    async fn register(&self, route: GuestRoute, lease_ms: i64) -> Result<Option<GuestRoute>>;
    /// Renews those of `node`; registers anew what has been forgotten.
    async fn renew(&self, node: &NodeId, live: &[(Mid, GuestRef)], lease_ms: i64) -> Result<()>;
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
    pub at: Millis,
}

/// Apps and their keys, and pushes that wait for their time. Durable, like all of SQL's part.
#[async_trait]
pub trait PushStore: Send + Sync + 'static {
    /// Makes the app (a user that cannot log in, with that nickname) if there is none of the name, and a key for it.
    async fn create_key(&self, key: NewApiKey) -> Result<ApiKey>;
    /// Idempotent; the row stays, revoked.
    async fn revoke_key(&self, id: i64, audit: Audit) -> Result<()>;
    async fn key_by_hash(&self, hash: [u8; 32]) -> Result<Option<ApiKey>>;
    async fn keys(&self) -> Result<Vec<ApiKey>>;

    /// The chat room that durable pushes to the live room go to. `None` unbinds. Writes the audit row.
    async fn bind_room(&self, room: &RoomName, to: Option<ConversationId>, audit: Audit) -> Result<()>;
    async fn bound_room(&self, room: &RoomName) -> Result<Option<ConversationId>>;
    async fn bindings(&self) -> Result<Vec<(RoomName, ConversationId)>>;

    /// The conversation in which `app` tells `uid` things; made if there is none. Idempotent.
    async fn open_notice(&self, app: Uid, uid: Uid, at: Millis) -> Result<ConversationId>;

    /// Remembers what a keyed push answered; a second time with the same digest answers the first's id, with another
    /// digest `idempotency_conflict`. Kept a day.
    async fn remember(&self, app: Uid, key: &IdempotencyKey, digest: [u8; 32], push: &PushId, at: Millis) -> Result<Remembered>;

    /// Keeps a push until its time. `quota_exceeded` beyond `waiting_max` of the app.
    async fn schedule(&self, push: ScheduledPush, waiting_max: u32) -> Result<()>;
    /// Due at `now`, oldest first.
    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<ScheduledPush>>;
    /// When the next is due.
    async fn next_due(&self) -> Result<Option<Millis>>;
    /// It has been pushed, or has expired. Idempotent.
    async fn unschedule(&self, push: &PushId) -> Result<()>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    New,
    Before(PushId),
}

#[derive(Debug, Clone)]
pub struct NewApiKey {
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

/// What a key may. Empty `rooms`: every room; otherwise rooms whose names begin with one of these.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scope {
    pub routes: Vec<PushRoute>,
    #[serde(default)]
    pub rooms: Vec<String>,
}

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

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledPush {
    pub push: PushId,
    pub app: Uid,
    pub request: PushRequest,
    pub due: Millis,
    pub expires: Option<Millis>,
}

/// What became of recent pushes. Bounded by number and time; losing it loses receipts only.
#[async_trait]
pub trait ReceiptStore: Send + Sync + 'static {
    async fn put(&self, receipt: Receipt) -> Result<()>;
    /// Adds to the counters and sets the state, if the receipt is still known.
    async fn add(&self, receipt: Receipt) -> Result<()>;
    async fn get(&self, push: &PushId) -> Result<Option<Receipt>>;
}
