use crate::Result;
use crate::entry::{Entry, EntryEvent, HistoryPage, MessageState};
use crate::id::{ConversationId, Epoch, IdempotencyKey, Millis, PolicyVersion, Revision, Seq, Shard, Uid};
use async_trait::async_trait;
use futures_util::future::BoxFuture;

/// Change logs, and the state of messages.
#[async_trait]
pub trait MessageStore: Send + Sync + 'static {
    /// Queued by the time this returns (order of calls = order of seq within a conversation); resolves when on disk.
    ///
    /// One transaction: takes revision, seq and count numbers from the shard's and the conversation's rows; checks the
    /// key; checks `after`; checks `policy_version`; writes the entry and applies the event's effect (see
    /// [`EntryEvent`]); a message moves its author's read cursor to itself. The time written is `at` or the
    /// conversation's last time, whichever is later.
    ///
    /// A known key with the same event (and conversation) answers what it answered the first time with `repeated`;
    /// with another event `idempotency_conflict`. `after` unknown: `out_of_order`. Another policy version:
    /// `policy_moved`. No such conversation, or the target of an edit, recall or reaction is no message: `not_found`.
    /// The target is recalled: `recalled`, but recalling again answers `Ok`, repeated or not.
    fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended>>;

    /// Entries with `from ≤ seq ≤ to`, ascending, at most `limit`.
    async fn entries(&self, conversation: ConversationId, from: Seq, to: Seq, limit: u32) -> Result<Vec<Entry>>;

    /// Entries with `seq ≤ to` and a revision above `after`, ascending: the newest `limit` of them, and whether there
    /// are more.
    async fn newest(&self, conversation: ConversationId, to: Seq, after: Revision, limit: u32) -> Result<(Vec<Entry>, bool)>;

    /// What history shows, within `from..=to`: the `count` items before `before`, or after `after`, or the last ones.
    async fn history(&self, conversation: ConversationId, query: HistoryQuery) -> Result<HistoryPage>;

    async fn state(&self, conversation: ConversationId, seq: Seq) -> Result<Option<MessageState>>;

    /// Identity of this store.
    fn epoch(&self) -> Epoch;

    fn shards(&self) -> u16;

    /// The last revision committed, per shard, in order of shard.
    async fn revisions(&self) -> Result<Vec<Revision>>;
}

#[derive(Debug, Clone)]
pub struct Append {
    pub conversation: ConversationId,
    pub author: Uid,
    pub key: IdempotencyKey,
    pub after: Option<IdempotencyKey>,
    /// The version the policy judged.
    pub policy_version: PolicyVersion,
    pub event: EntryEvent,
    pub at: Millis,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub shard: Shard,
    pub seq: Seq,
    pub revision: Revision,
    pub at: Millis,
    pub repeated: bool,
}

#[derive(Debug, Clone)]
pub struct HistoryQuery {
    pub from: Seq,
    pub to: Seq,
    pub before: Option<Seq>,
    pub after: Option<Seq>,
    pub count: u32,
}
