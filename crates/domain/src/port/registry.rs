use crate::Result;
use crate::account::DeviceClass;
use crate::id::{ConnectionRef, Generation, NodeId, SessionId, Uid};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// User → sessions → node: who is online where. Approximate by contract: an entry outlives its connection by at most its
/// lease. Never the truth about anything that must not be lost.
#[async_trait]
pub trait SessionRegistry: Send + Sync + 'static {
    /// Returns the entry it replaced: the same session's, with an older generation. A newer one than `route` stays and
    /// answers `Outdated`.
    async fn register(&self, route: Route, lease_ms: i64) -> Result<Registered>;
    /// Renews the leases of those still registered with this generation.
    async fn renew(&self, node: &NodeId, live: &[ConnectionRef], lease_ms: i64) -> Result<Renewed>;
    /// Removes the entry only if its generation is equal. Returns whether it was there.
    async fn remove(&self, connection: ConnectionRef) -> Result<bool>;
    /// Live connections of these users.
    async fn routes(&self, uids: &[Uid]) -> Result<Vec<Route>>;
    /// Live connections of these sessions.
    async fn of_sessions(&self, sessions: &[SessionId]) -> Result<Vec<Route>>;
    /// All users with a live connection at the node, at most `limit`.
    async fn users_of(&self, node: &NodeId, limit: u32) -> Result<Vec<Uid>>;
    /// Live connections per node, for tests and metrics.
    async fn count(&self, node: &NodeId) -> Result<u32>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub uid: Uid,
    pub class: DeviceClass,
    pub node: NodeId,
    pub session: SessionId,
    pub generation: Generation,
}

impl Route {
    pub fn connection(&self) -> ConnectionRef {
        ConnectionRef { session: self.session, generation: self.generation }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Those that are not registered.
    pub unknown: Vec<ConnectionRef>,
    /// Users with a connection that is registered, and was not found under them until now: pushes went past it.
    pub missed: Vec<Uid>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    New,
    /// This older connection of the session lost its entry; tell its node to close it.
    Replaced(Route),
    /// A newer connection of the session is registered already; nothing changed.
    Outdated,
}

/// Status: which nodes live, how loaded they are, and the tickets that take a session to one of them.
#[async_trait]
pub trait NodeRegistry: Send + Sync + 'static {
    async fn announce(&self, node: NodeInfo, lease_ms: i64) -> Result<()>;
    async fn withdraw(&self, node: &NodeId) -> Result<()>;
    /// Those whose lease holds.
    async fn nodes(&self) -> Result<Vec<NodeInfo>>;
    /// Single use, bound to session and node.
    async fn put_ticket(&self, ticket: crate::account::SecretHash, session: SessionId, node: NodeId, ttl_ms: i64) -> Result<()>;
    /// Takes the ticket away; `None` if unknown, expired, used or for another node.
    async fn take_ticket(&self, ticket: crate::account::SecretHash, node: &NodeId) -> Result<Option<SessionId>>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    pub node: NodeId,
    pub comet: CometAddress,
    pub connections: u32,
    pub draining: bool,
}

/// Where clients reach a Comet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CometAddress {
    pub node: String,
    /// `host:port`; empty when not served.
    pub tcp: String,
    /// `ws://…` or `wss://…`.
    pub websocket: String,
}
