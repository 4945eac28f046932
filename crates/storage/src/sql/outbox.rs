//! The change log as an outbox: [`Outbox`].
//!
//! Positions are kept in memory and written along with the next batch, so that publishing costs no commit of its own.
//! A crash therefore repeats what was published since the last batch; it never skips.

use super::Store;
use super::engine::{Sql, params};
use super::failure::Outcome;
use super::items;
use super::rows::{self, ENTRY_COLUMNS};
use super::transaction::{many, one};
use super::user_log::Subject;
use async_trait::async_trait;
use skein_domain::id::{Fence, PolicyVersion, Revision, Shard, Uid};
use skein_domain::port::{Fenced, LogEvent, LogRecord, MessageStore, Outbox};
use skein_domain::{Code, Error, Result};

#[async_trait]
impl Outbox for Store {
    async fn records(&self, shard: Shard, after: Revision, limit: u32) -> Result<Vec<LogRecord>> {
        self.readers().read(move |connection| records(connection, shard, after, limit)).await
    }

    async fn position(&self, shard: Shard) -> Result<Revision> {
        let known = self.shared().position(shard).ok_or_else(no_such_shard)?;
        if self.look_every().is_none() {
            return Ok(known);
        }
        // Another process may have owned the shard meanwhile.
        let sql = "SELECT published FROM shard WHERE id = ?1";
        let saved = self.readers().read(move |connection| one(connection, sql, params![shard.0], |row| row.get(0).map(Revision))).await?;
        Ok(saved.map_or(known, |saved| saved.max(known)))
    }

    async fn advance(&self, shard: Shard, to: Revision, fence: Option<Fence>) -> Result<(), Fenced> {
        self.shared().advance(shard, to, fence)
    }

    async fn committed(&self, shard: Shard, than: Revision) {
        let Some(mut last) = self.shared().watch(shard) else { return std::future::pending().await };
        // The sender lives as long as this store does.
        let Some(every) = self.look_every() else {
            let _ = last.wait_for(|last| *last > than).await;
            return;
        };
        while tokio::time::timeout(every, last.wait_for(|last| *last > than)).await.is_err() {
            // What other processes commit nobody tells us. Where the database is away, the next look sees.
            if self.shared().is_to_look(every)
                && let Ok(revisions) = self.revisions().await
            {
                let seen: Vec<_> = revisions.into_iter().enumerate().map(|(shard, last)| (Shard(shard as u16), last)).collect();
                self.shared().seen(&seen);
            }
        }
    }
}

fn no_such_shard() -> Error {
    Error::new(Code::NotFound, "no such shard")
}

pub(crate) const ENTRY_RECORDS: &str = concat!(
    "SELECT ",
    rows::entry_columns!(),
    ", c.kind, c.policy_version FROM entry e JOIN conversation c ON c.id = e.conversation
      WHERE e.shard = ?1 AND e.revision > ?2 ORDER BY e.revision LIMIT ?3"
);
pub(crate) const USER_RECORDS: &str =
    "SELECT revision, uid, kind, subject FROM user_entry WHERE shard = ?1 AND revision > ?2 ORDER BY revision LIMIT ?3";

/// Fewer than `limit` only if there are no more: a reader may take a short answer for the end of the log.
fn records(connection: &dyn Sql, shard: Shard, after: Revision, limit: u32) -> Outcome<Vec<LogRecord>> {
    let mut records = Vec::new();
    let mut after = after;
    loop {
        let (page, end) = page(connection, shard, after, limit)?;
        records.extend(page);
        match end {
            Some(end) if records.len() < limit as usize && end > after => after = end,
            _ => break,
        }
    }
    records.truncate(limit as usize);
    Ok(records)
}

/// Entries and items of user logs, merged; and the revision up to which the page is complete, if there may be more.
fn page(connection: &dyn Sql, shard: Shard, after: Revision, limit: u32) -> Outcome<(Vec<LogRecord>, Option<Revision>)> {
    let mut records = many(connection, ENTRY_RECORDS, params![shard.0, after.0, limit], |row| {
        let (conversation_kind, policy_version) = (rows::kind(row, ENTRY_COLUMNS)?, PolicyVersion(row.get(ENTRY_COLUMNS + 1)?));
        let entry = rows::entry(row)?;
        let (revision, event) = (entry.revision, LogEvent::Entry { entry, conversation_kind, policy_version });
        Ok(LogRecord { shard, revision, event, trace: None })
    })?;
    let items = many(connection, USER_RECORDS, params![shard.0, after.0, limit], |row| {
        Ok((Revision(row.get(0)?), Uid(row.get(1)?), Subject::read(row.get(2)?, row.get(3)?)))
    })?;
    let is_full = |rows: usize| rows == limit as usize;
    let entries_end = records.last().filter(|_| is_full(records.len())).map(|record| record.revision);
    let items_end = items.last().filter(|_| is_full(items.len())).map(|item| item.0);
    let end = entries_end.into_iter().chain(items_end).min();
    let is_complete = |revision: Revision| end.is_none_or(|end| revision <= end);

    records.retain(|record| is_complete(record.revision));
    for (revision, uid, subject) in items.into_iter().filter(|item| is_complete(item.0)) {
        let Some(subject) = subject else { continue };
        if let Some(event) = items::event(connection, uid, subject)? {
            records.push(LogRecord { shard, revision, event: LogEvent::User { uid, event }, trace: None });
        }
    }
    records.sort_unstable_by_key(|record| record.revision);
    Ok((records, end))
}
