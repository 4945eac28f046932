//! Change logs and message states: [`MessageStore`].

use super::Store;
use super::append::{self, Draft};
use super::command::Writer;
use super::engine::{Sql, Statement, params};
use super::failure::{Outcome, outcome_unknown};
use super::rows;
use super::transaction::{many, one};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use skein_domain::Result;
use skein_domain::entry::{Entry, HistoryPage, MessageState, Reaction};
use skein_domain::fault::{Fault, planted};
use skein_domain::id::{ConversationId, Epoch, Revision, Seq, Uid};
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
        self.read_log(conversation, query.to, move |connection| history(connection, conversation, &query)).await
    }

    async fn state(&self, conversation: ConversationId, seq: Seq) -> Result<Option<MessageState>> {
        self.readers().read(move |connection| last(connection, conversation, seq, seq)).await
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

pub(crate) const STATES_BACK: &str = concat!(
    "SELECT ",
    rows::message_columns!(),
    " FROM message s WHERE s.conversation = ?1 AND s.seq BETWEEN ?2 AND ?3 ORDER BY s.seq DESC LIMIT ?4"
);
pub(crate) const STATES_ON: &str = concat!(
    "SELECT ",
    rows::message_columns!(),
    " FROM message s WHERE s.conversation = ?1 AND s.seq BETWEEN ?2 AND ?3 ORDER BY s.seq LIMIT ?4"
);
macro_rules! select_shown {
    ($order:literal) => {
        Statement::differing(
            concat!(
                "SELECT ",
                rows::entry_columns!(),
                " FROM entry e INDEXED BY entry_shown WHERE e.conversation = ?1 AND e.seq BETWEEN ?2 AND ?3 AND e.kind > 3 ",
                $order
            ),
            concat!(
                "SELECT ",
                rows::entry_columns!(),
                " FROM entry e FORCE INDEX (entry_shown) WHERE e.conversation = ?1 AND e.seq BETWEEN ?2 AND ?3 AND e.is_shown = 1 ",
                $order
            ),
        )
    };
}

pub(crate) const SHOWN_BACK: Statement = select_shown!("ORDER BY e.seq DESC LIMIT ?4");
pub(crate) const SHOWN_ON: Statement = select_shown!("ORDER BY e.seq LIMIT ?4");

/// Items are messages and shown events alike: one more of each than asked for, merged, and cut to `count`.
fn history(connection: &dyn Sql, conversation: ConversationId, query: &HistoryQuery) -> Outcome<HistoryPage> {
    let from = query.after.map_or(query.from, |after| query.from.max(after.next()));
    let to = query.before.map_or(query.to, |before| query.to.min(Seq(before.0.saturating_sub(1))));
    let on = query.after.is_some() && query.before.is_none();
    let (states, shown) = if on { (STATES_ON, SHOWN_ON) } else { (STATES_BACK, SHOWN_BACK) };
    let count = query.count as usize;
    let one_more = i64::from(query.count) + 1;
    let range = params![conversation.0, from.0, to.0, one_more];
    let mut messages = many(connection, states, range, rows::message)?;
    let mut events = many(connection, shown, range, rows::entry)?;

    let mut seqs: Vec<Seq> = messages.iter().map(|m| m.seq).chain(events.iter().map(|e| e.seq)).collect();
    seqs.sort_unstable();
    if !on {
        seqs.reverse();
    }
    let has_more = seqs.len() > count;
    seqs.truncate(count);
    let (first, last) = (seqs.iter().min().copied().unwrap_or_default(), seqs.iter().max().copied().unwrap_or_default());
    messages.retain(|message| count > 0 && (first..=last).contains(&message.seq));
    events.retain(|event| count > 0 && (first..=last).contains(&event.seq));
    messages.sort_unstable_by_key(|message| message.seq);
    events.sort_unstable_by_key(|event| event.seq);
    add_reactions(connection, conversation, &mut messages)?;
    let floor = one(connection, "SELECT floor FROM conversation WHERE id = ?1", params![conversation.0], |row| row.get(0).map(Seq))?;
    Ok(HistoryPage { messages, events, has_more, floor: floor.unwrap_or_default() })
}

/// The newest message within `from..=to`.
pub(crate) fn last(connection: &dyn Sql, conversation: ConversationId, from: Seq, to: Seq) -> Outcome<Option<MessageState>> {
    let found = one(connection, STATES_BACK, params![conversation.0, from.0, to.0, 1], rows::message)?;
    let mut found: Vec<_> = found.into_iter().collect();
    add_reactions(connection, conversation, &mut found)?;
    Ok(found.pop())
}

pub(crate) const REACTIONS: &str =
    "SELECT seq, emoji, uid FROM reaction WHERE conversation = ?1 AND seq BETWEEN ?2 AND ?3 ORDER BY seq, emoji, uid";

/// `messages` ascend by seq, and so do their reactions.
fn add_reactions(connection: &dyn Sql, conversation: ConversationId, messages: &mut [MessageState]) -> Outcome<()> {
    let (Some(first), Some(last)) = (messages.first(), messages.last()) else { return Ok(()) };
    let found = many(connection, REACTIONS, params![conversation.0, first.seq.0, last.seq.0], |row| {
        Ok((Seq(row.get(0)?), row.get::<String>(1)?, Uid(row.get(2)?)))
    })?;
    for (seq, emoji, uid) in found {
        let Ok(index) = messages.binary_search_by_key(&seq, |message| message.seq) else { continue };
        let reactions = &mut messages[index].reactions;
        match reactions.last_mut().filter(|reaction| reaction.emoji == emoji) {
            Some(reaction) => reaction.uids.push(uid),
            None => reactions.push(Reaction { emoji, uids: vec![uid] }),
        }
    }
    Ok(())
}
