//! Reading the logs of conversations from a replica, where it has what the reader must see.
//!
//! **Invariant:** a read that names how far it goes never misses anything up to there, and whoever wrote through this process
//! finds what they wrote. A replica that is behind, or away, costs a detour, never an answer.

use super::Store;
use super::engine::{Sql, params};
use super::failure::Outcome;
use super::readers::Readers;
use super::recent::Recent;
use super::transaction::{one, shard_of};
use skein_domain::Result;
use skein_domain::id::{ConversationId, Revision, Seq};

pub(crate) struct Replica {
    pub readers: Readers,
    pub recent: Recent,
}

impl Store {
    /// Reads of the conversation what lies at or before `to`: from the replica if it has all of it, else from the primary, which
    /// alone knows what there is.
    pub(super) async fn read_log<T, F>(&self, conversation: ConversationId, to: Seq, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Outcome<T> + Clone + Send + 'static,
    {
        let Some(replica) = self.replica().filter(|_| to < Seq::MAX) else { return self.readers().read(read).await };
        let (wrote, revision) = replica.recent.needed(conversation, shard_of(conversation.0, self.shared().shards()));
        let needed = (to.max(wrote), revision);
        let read_again = read.clone();
        let if_fresh = move |connection: &dyn Sql| {
            if has(connection, conversation, needed)? { read(connection).map(Some) } else { Ok(None) }
        };
        let outcome = match replica.readers.read(if_fresh).await {
            Ok(Some(found)) => {
                metrics::counter!("skein_store_replica_reads_total", "outcome" => "served").increment(1);
                return Ok(found);
            }
            Ok(None) => "behind",
            Err(_) => "failed",
        };
        metrics::counter!("skein_store_replica_reads_total", "outcome" => outcome).increment(1);
        self.readers().read(read_again).await
    }

    pub(super) fn wrote(&self, conversation: ConversationId, seq: Seq) {
        if let Some(replica) = self.replica() {
            replica.recent.wrote(conversation, seq, self.shared());
        }
    }
}

/// In the snapshot of the read that follows. Every change of a message is an entry, so a head tells how far all of it is.
fn has(connection: &dyn Sql, conversation: ConversationId, (head, revision): (Seq, Revision)) -> Outcome<bool> {
    let sql = "SELECT c.head, s.revision FROM conversation c JOIN shard s ON s.id = c.shard WHERE c.id = ?1";
    let found = one(connection, sql, params![conversation.0], |row| Ok((Seq(row.get(0)?), Revision(row.get(1)?))))?;
    Ok(found.is_some_and(|(its_head, its_revision)| its_head >= head && its_revision >= revision))
}
