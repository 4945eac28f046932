use super::Fenced;
use crate::Result;
use crate::conversation::Kind;
use crate::delivery::UserEvent;
use crate::entry::Entry;
use crate::id::{Fence, Millis, PolicyVersion, Revision, Shard, Uid};
use crate::trace::Trace;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// The change log seen as an outbox: what was committed, in order of revision, and how far it was published.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Records with a revision above `after`, ascending, at most `limit`; fewer only if there are no more. A revision
    /// without a record (superseded item of a user log) is left out.
    async fn records(&self, shard: Shard, after: Revision, limit: u32) -> Result<Vec<LogRecord>>;

    /// How far the shard was published; where a new owner goes on.
    async fn position(&self, shard: Shard) -> Result<Revision>;

    /// Moves the position, never back; durable with a later group commit (the caller need not wait for it). Refused, then or
    /// with the next call, once the shard has an owner later than `fence`; `None`: by whoever publishes beside its owner.
    async fn advance(&self, shard: Shard, to: Revision, fence: Option<Fence>) -> Result<(), Fenced>;

    /// Resolves when something with a revision above `than` is committed in the shard.
    async fn committed(&self, shard: Shard, than: Revision);
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRecord {
    pub shard: Shard,
    pub revision: Revision,
    pub event: LogEvent,
    /// The hop that stored it, if that was traced here; travels beside the record, not in it.
    #[serde(skip)]
    pub trace: Option<Trace>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LogEvent {
    Entry { entry: Entry, conversation_kind: Kind, policy_version: PolicyVersion },
    User { uid: Uid, event: UserEvent },
}

/// The log between logic and job: in-process in `direct` mode, Kafka in `pipeline` mode.
#[async_trait]
pub trait LogBus: Send + Sync + 'static {
    /// Returns when the next stage is safe (Kafka acked), or when the outcome of every fan-out is known (direct). Order
    /// is kept per conversation and per user.
    async fn publish(&self, records: Vec<LogRecord>) -> Result<()>;
}

/// The consuming end of the log in `pipeline` mode: one member of a group, each partition with one member.
#[async_trait]
pub trait LogSource: Send + Sync + 'static {
    /// The next records, in order within a partition, at most `limit`. Waits for about a second, then answers none.
    async fn next(&self, limit: usize) -> Result<Vec<Consumed>>;

    /// In place of [`Self::next`] while nothing can be taken: stays a member, and tells how far it is behind. Answers after
    /// about a second.
    async fn hold(&self) -> Result<()>;

    /// Everything of the partition below `next` is done: a restart, or the member that gets the partition after this one,
    /// begins there. Reports for a partition this member has no more are dropped.
    async fn finished(&self, partition: i32, next: i64) -> Result<()>;

    /// Keeps a record aside, with the reason, where an operator finds it and can replay it. Durable when it returns.
    async fn set_aside(&self, record: &Consumed, reason: &str) -> Result<()>;
}

/// A record as it came, at its place in the log.
#[derive(Debug, Clone)]
pub struct Consumed {
    pub partition: i32,
    pub offset: i64,
    pub bytes: Vec<u8>,
    /// What the bytes say; `None`: not a record this version can read.
    pub record: Option<LogRecord>,
}

/// What was set aside, for whoever administers the server.
#[async_trait]
pub trait DeadLetters: Send + Sync + 'static {
    /// Those not replayed yet, oldest first in each partition.
    async fn waiting(&self, limit: u32) -> Result<Vec<DeadLetter>>;

    /// Puts up to `limit` of them back on the log, and answers how many; then how many were passed over because this
    /// version cannot read them.
    async fn replay(&self, limit: u32) -> Result<(u32, u32)>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetter {
    pub partition: i32,
    pub offset: i64,
    pub at: Millis,
    pub reason: String,
    /// Topic, partition and offset it was taken from.
    pub from: String,
    /// Conversation or user; empty if it cannot be read.
    pub of: String,
    pub bytes: u64,
}
