//! Change logs and message states: [`MessageStore`].

use super::Store;
use super::append::{self, Draft};
use super::engine::{Sql, params};
use super::failure::{Outcome, outcome_unknown};
use super::rows;
use super::states;
use super::transaction::many;
use super::writer::Writer;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use skein_domain::Result;
use skein_domain::entry::{Entry, HistoryPage, MessageState};
use skein_domain::fault::{Fault, planted};
use skein_domain::id::{ConversationId, Epoch, Revision, Seq};
use skein_domain::port::{Append, Appended, HistoryQuery, MessageStore};
use std::time::Duration;

#[async_trait]
impl MessageStore for Store {
    fn append(&self, append: Append) -> BoxFuture<'static, Result<Appended>> {
        match Draft::new(append) {
            Ok(draft) if planted(Fault::AckBeforeCommit) => ack_before_commit(self.writer(), draft),
            Ok(draft) if self.replica().is_none() => self.writer().append(draft),
            Ok(draft) => {
                let (store, conversation) = (self.clone(), draft.append.conversation);
                let appending = self.writer().append(draft);
                Box::pin(async move {
                    let appended = appending.await?;
                    store.wrote(conversation, appended.seq);
                    Ok(appended)
                })
            }
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }

    async fn entries(&self, conversation: ConversationId, from: Seq, to: Seq, limit: u32) -> Result<Vec<Entry>> {
        let read = move |connection: &dyn Sql| many(connection, ENTRIES, params![conversation.0, from.0, to.0, limit], rows::entry);
        self.read_log(conversation, to, read).await
    }

    async fn newest(&self, conversation: ConversationId, to: Seq, after: Revision, limit: u32) -> Result<(Vec<Entry>, bool)> {
        self.read_log(conversation, to, move |connection| newest(connection, conversation, to, after, limit)).await
    }

    async fn history(&self, conversation: ConversationId, query: HistoryQuery) -> Result<HistoryPage> {
        self.read_log(conversation, query.to, move |connection| states::history(connection, conversation, &query)).await
    }

    async fn state(&self, conversation: ConversationId, seq: Seq) -> Result<Option<MessageState>> {
        self.readers().read(move |connection| states::last(connection, conversation, seq, seq)).await
    }

    fn epoch(&self) -> Epoch {
        self.shared().epoch()
    }

    fn shards(&self) -> u16 {
        self.shared().shards()
    }

    async fn revisions(&self) -> Result<Vec<Revision>> {
        let read = |connection: &dyn Sql| many(connection, "SELECT revision FROM shard ORDER BY id", &[], |row| row.get(0).map(Revision));
        self.readers().read(read).await
    }
}

const ACK_HEARD: Duration = Duration::from_millis(2);

/// A planted fault: the answer leaves from inside the transaction, and what becomes of the commit is not awaited.
fn ack_before_commit(writer: &Writer, draft: Draft) -> BoxFuture<'static, Result<Appended>> {
    let (ack, acked) = tokio::sync::oneshot::channel();
    let mut ack = Some(ack);
    let committed = writer.submit(draft.bytes(), move |transaction| {
        let appended = append::append(transaction, &draft)?;
        if let Some(ack) = ack.take() {
            let _ = ack.send(appended);
        }
        // Time for the answer to be heard before the process can be killed in the commit.
        std::thread::park_timeout(ACK_HEARD);
        Ok(())
    });
    Box::pin(async move {
        match acked.await {
            Ok(appended) => Ok(appended),
            Err(_) => committed.await.and(Err(outcome_unknown())),
        }
    })
}

pub(crate) const ENTRIES: &str = concat!(
    "SELECT ",
    rows::entry_columns!(),
    " FROM entry e WHERE e.conversation = ?1 AND e.seq BETWEEN ?2 AND ?3 ORDER BY e.seq LIMIT ?4"
);
pub(crate) const NEWEST: &str =
    concat!("SELECT ", rows::entry_columns!(), " FROM entry e WHERE e.conversation = ?1 AND e.seq <= ?2 ORDER BY e.seq DESC LIMIT ?3");

/// Within a conversation revisions ascend with seq, so walking back ends at the first that is too old.
fn newest(connection: &dyn Sql, conversation: ConversationId, to: Seq, after: Revision, limit: u32) -> Outcome<(Vec<Entry>, bool)> {
    let mut entries = Vec::new();
    let mut more = false;
    connection.query(NEWEST.into(), params![conversation.0, to.0, i64::from(limit) + 1], &mut |row| {
        if row.get::<i64>(2)? <= after.0 {
            return Ok(false);
        }
        more = entries.len() == limit as usize;
        if !more {
            entries.push(rows::entry(row)?);
        }
        Ok(!more)
    })?;
    entries.reverse();
    Ok((entries, more))
}
