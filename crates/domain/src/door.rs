//! The two doors that cross processes: edge → logic, and job → comet.
//!
//! Each is one trait with a local and a gRPC implementation, chosen in exactly one place (the wiring). Callers cannot
//! tell which they hold; one contract suite runs on both.

use crate::account::{DeviceClass, Session};
use crate::command::{AccountCommand, AccountReply, Command, Reply};
use crate::delivery::{Batch, Delivered};
use crate::id::{ConnectionRef, ConversationId, Epoch, Generation, NodeId, SessionId, Uid};
use crate::live::{GuestCommand, GuestReply, PushCommand, PushReply, Pusher};
use crate::{Limits, Result};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// Every business command and query. Deadline of each call: [`CALL_DEADLINE_MS`], kept by the caller.
#[async_trait]
pub trait Logic: Send + Sync + 'static {
    /// Authenticates a connection and registers it (before anything is synced). An older connection of the same
    /// session is told to close (`replaced`). Refused: `unauthorized`, `disabled`.
    async fn connect(&self, connect: Connect) -> Result<Connected>;

    /// The connection is gone. Removes its registration only if no newer one took its place. Idempotent.
    async fn disconnect(&self, node: NodeId, connection: ConnectionRef) -> Result<()>;

    /// These connections of `node` are alive; renews their leases and the node's. A registry that lost its memory with a
    /// restart learns them anew, and their users are told to resync. Returns those that are not registered any more
    /// (revoked, replaced): the caller closes them.
    async fn renew(&self, node: NodeLoad, live: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>>;

    /// One command of a logged-in user. **Ordering:** commands of one connection to one conversation take effect in the
    /// order in which `call` was called, as long as the futures are polled; a send that names `after` is refused with
    /// `out_of_order` rather than reordered.
    fn call(&self, caller: Caller, command: Command) -> BoxFuture<'static, Result<Reply>>;

    /// Account business of a stranger.
    async fn account(&self, from: Origin, command: AccountCommand) -> Result<AccountReply>;

    /// Business of goim's guests, who are no accounts.
    async fn guest(&self, command: GuestCommand) -> Result<GuestReply>;

    /// The push API. Refused: `unauthorized` (no such key), `forbidden` (not what this key may), `rate_limited`.
    async fn push(&self, pusher: Pusher, from: Origin, command: PushCommand) -> Result<PushReply>;
}

pub const CALL_DEADLINE_MS: u64 = 5_000;

/// What one Comet is told to do. Deadline of each call: [`CALL_DEADLINE_MS`]. Repeating a batch is safe.
#[async_trait]
pub trait Delivery: Send + Sync + 'static {
    async fn deliver(&self, batch: Batch) -> Result<Delivered>;

    /// What each connection of a user at this Comet is doing, as JSON objects: operators read them, and no program does.
    async fn connections(&self, uid: Uid) -> Result<Vec<serde_json::Value>>;
}

/// Finds the door to a node's Comet. `None`: no such node is alive.
pub trait Comets: Send + Sync + 'static {
    fn comet(&self, node: &NodeId) -> Option<std::sync::Arc<dyn Delivery>>;
    fn nodes(&self) -> Vec<NodeId>;
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    pub credential: Credential,
    pub node: NodeId,
    /// Larger than that of any earlier connection at this node; with the time in its high bits also across nodes.
    pub generation: Generation,
    pub client: String,
    pub address: String,
}

/// A secret a client presents. No `Debug`: it never reaches a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    Token(String),
    Cookie(String),
    Ticket(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connected {
    pub session: Session,
    pub nickname: String,
    /// Rooms whose pushes this connection wants.
    pub rooms: Vec<ConversationId>,
    pub epoch: Epoch,
    pub limits: Limits,
    pub server_time_ms: i64,
    /// Of the account; pushes to all may ask for them.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// Who calls. Filled by the edge from [`Connected`], or by the gate from a verified cookie or token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    pub uid: Uid,
    pub session: SessionId,
    pub class: DeviceClass,
    /// The connection, for those who have one: HTTP has none.
    #[serde(default)]
    pub connection: Option<(NodeId, Generation)>,
    pub address: String,
    /// W3C `traceparent`, if the call is traced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
}

/// Where a stranger calls from: for rate limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    pub address: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLoad {
    pub node: NodeId,
    pub comet: crate::port::CometAddress,
    pub connections: u32,
    pub draining: bool,
}
