//! What a command sees of the batch's transaction: the connection, and the counters of the shards.

use super::failure::Outcome;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};
use skein_domain::id::{ConversationId, Revision, Seq, Shard, Uid};
use std::collections::HashMap;

pub(crate) struct Transaction<'c> {
    pub connection: &'c Connection,
    shards: u16,
    /// Numbers taken by the command under way.
    taken: Vec<(Shard, Revision)>,
    /// Used by a planted fault only.
    counters: &'c mut HashMap<ConversationId, i64>,
}

impl<'c> Transaction<'c> {
    pub(super) fn new(connection: &'c Connection, shards: u16, counters: &'c mut HashMap<ConversationId, i64>) -> Self {
        Self { connection, shards, taken: Vec::new(), counters }
    }

    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The shard of a user's log.
    pub fn shard_of(&self, uid: Uid) -> Shard {
        shard_of(uid.0, self.shards)
    }

    /// The next number of the shard's log, for a record, from the shard's row: a rollback gives it back.
    pub fn next_revision(&mut self, shard: Shard) -> Outcome<Revision> {
        let revision = self.next_revision_without_record(shard)?;
        self.taken.push((shard, revision));
        Ok(revision)
    }

    /// For a row whose record is in another shard's log; wakes nobody who waits for records.
    pub fn next_revision_without_record(&mut self, shard: Shard) -> Outcome<Revision> {
        let sql = "UPDATE shard SET revision = revision + 1 WHERE id = ?1 RETURNING revision";
        Ok(Revision(self.connection.prepare_cached(sql)?.query_row(params![shard.0], |row| row.get(0))?))
    }

    /// The fault `seq-outside-transaction`: a counter in memory, which no rollback takes back and which leaves out a
    /// number when the process starts anew.
    pub fn next_seq_in_memory(&mut self, conversation: ConversationId, head: Seq) -> Seq {
        let counter = self.counters.entry(conversation).or_insert(if head.0 > 0 { head.0 + 1 } else { 0 });
        *counter += 1;
        Seq(*counter)
    }

    pub(super) fn take_revisions(&mut self) -> Vec<(Shard, Revision)> {
        std::mem::take(&mut self.taken)
    }

    pub fn execute(&self, sql: &'static str, params: impl Params) -> Outcome<usize> {
        Ok(self.connection.prepare_cached(sql)?.execute(params)?)
    }
}

pub(crate) fn shard_of(id: i64, shards: u16) -> Shard {
    Shard(id.rem_euclid(i64::from(shards.max(1))) as u16)
}

/// The row, if there is one.
pub(crate) fn one<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Outcome<Option<T>> {
    Ok(connection.prepare_cached(sql)?.query_row(params, read).optional()?)
}

pub(crate) fn many<T>(
    connection: &Connection,
    sql: &'static str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Outcome<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, read)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
