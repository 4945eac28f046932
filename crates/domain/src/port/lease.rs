use crate::Result;
use crate::id::{Fence, NodeId, Revision, Shard, Tenant};
use async_trait::async_trait;

/// Who publishes each shard's log: one owner at a time, by a lease that runs out.
///
/// Each change of owner makes the shard's fence one larger. What an owner writes carries its fence and is refused once there
/// is a larger one, so an owner that stood still, and does not know that its time is over, changes nothing. Times are the
/// store's.
#[async_trait]
pub trait ShardLeases: Send + Sync + 'static {
    /// Whether other processes may use the store. If none can, the leases of one that died ended when the store was opened.
    fn is_contended(&self) -> bool;

    /// How far each shard is, in order of shard.
    async fn progress(&self) -> Result<Vec<ShardProgress>>;

    /// Renews what the tenant has, takes what is free, and answers all it has now, in order of shard. What it has published
    /// is durable with it.
    async fn claim(&self, claim: Claim) -> Result<Vec<ShardLease>>;

    /// Frees what the tenant has, as [`Self::claim`] makes durable what it has published.
    async fn release(&self, tenant: Tenant) -> Result<()>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub node: NodeId,
    pub tenant: Tenant,
    pub term_ms: i64,
    /// Takes also what an earlier process of the node's name has: that one is dead.
    pub succeeds: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardLease {
    pub shard: Shard,
    pub fence: Fence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardProgress {
    pub head: Revision,
    /// As far as it is durable.
    pub published: Revision,
    /// Nobody's lease holds.
    pub is_free: bool,
}

/// The shard has another owner now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("shard {} has an owner later than {fence}", .shard.0)]
pub struct Fenced {
    pub shard: Shard,
    pub fence: Fence,
}
