//! What a command sees of the batch's transaction: the connection, and the counters of the shards.

use super::engine::{Row, Sql, Statement, Value, params};
use super::failure::{Gravity, Outcome};
use super::shared::Position;
use skein_domain::id::{ConversationId, Revision, Seq, Shard, Uid};
use std::collections::HashMap;

/// The rows of the shards are the store's write lock where several processes write: whoever opens a transaction takes them
/// first, and has them until the commit.
const LAST_REVISIONS: Statement =
    Statement::differing("SELECT revision FROM shard ORDER BY id", "SELECT revision FROM shard ORDER BY id FOR UPDATE");

/// Finds the row whether or not it moves, unless a later owner has the shard.
const PUBLISHED: &str = "UPDATE shard SET published = CASE WHEN published < ?2 THEN ?2 ELSE published END
                         WHERE id = ?1 AND (?3 IS NULL OR EXISTS (SELECT 1 FROM shard_lease l WHERE l.shard = ?1 AND l.fence = ?3))";

pub(crate) struct Transaction<'c> {
    pub connection: &'c dyn Sql,
    /// The last number of each shard, as this transaction has it.
    revisions: Vec<Revision>,
    /// Numbers taken by the command under way, and whether each has a record.
    taken: Vec<(Shard, Revision, bool)>,
    /// The last number with a record, and the last one taken, of each shard touched.
    done: Vec<(Shard, Revision, bool)>,
    /// Used by a planted fault only.
    counters: &'c mut HashMap<ConversationId, i64>,
}

impl<'c> Transaction<'c> {
    /// Of a connection on which a transaction has just begun.
    pub fn begun(connection: &'c dyn Sql, counters: &'c mut HashMap<ConversationId, i64>) -> Outcome<Self> {
        let revisions = many(connection, LAST_REVISIONS, &[], |row| row.get(0).map(Revision))?;
        Ok(Self { connection, revisions, taken: Vec::new(), done: Vec::new(), counters })
    }

    pub fn shards(&self) -> u16 {
        self.revisions.len() as u16
    }

    /// The last number of each shard, in order.
    #[cfg(feature = "mysql")]
    pub fn revisions(&self) -> &[Revision] {
        &self.revisions
    }

    /// The shard of a user's log.
    pub fn shard_of(&self, uid: Uid) -> Shard {
        shard_of(uid.0, self.shards())
    }

    /// The next number of the shard's log, for a record. A command that fails gives it back.
    pub fn next_revision(&mut self, shard: Shard) -> Revision {
        self.take(shard, true)
    }

    /// For a row whose record is in another shard's log; wakes nobody who waits for records.
    pub fn next_revision_without_record(&mut self, shard: Shard) -> Revision {
        self.take(shard, false)
    }

    fn take(&mut self, shard: Shard, has_record: bool) -> Revision {
        let last = &mut self.revisions[usize::from(shard.0)];
        last.0 += 1;
        self.taken.push((shard, *last, has_record));
        *last
    }

    /// The fault `seq-outside-transaction`: a counter in memory, which no rollback takes back and which leaves out a
    /// number when the process starts anew.
    pub fn next_seq_in_memory(&mut self, conversation: ConversationId, head: Seq) -> Seq {
        let counter = self.counters.entry(conversation).or_insert(if head.0 > 0 { head.0 + 1 } else { 0 });
        *counter += 1;
        Seq(*counter)
    }

    /// Runs the command under a savepoint, so that its failure is its own. `Err` ends the batch.
    pub fn run_alone(&mut self, command: impl FnOnce(&mut Self) -> Result<(), (Gravity, String)>) -> Result<(), (Gravity, String)> {
        self.control("SAVEPOINT command")?;
        match command(self) {
            Ok(()) => self.keep(),
            Err((Gravity::Command, _)) => {
                self.control("ROLLBACK TO SAVEPOINT command")?;
                self.give_back();
            }
            Err(grave) => return Err(grave),
        }
        self.control("RELEASE SAVEPOINT command")
    }

    /// What ran since the last [`Self::keep`] or [`Self::give_back`] stays in the transaction.
    pub fn keep(&mut self) {
        self.done.append(&mut self.taken);
    }

    /// What ran since then was rolled back.
    pub fn give_back(&mut self) {
        for (shard, _, _) in self.taken.drain(..) {
            self.revisions[usize::from(shard.0)].0 -= 1;
        }
    }

    pub fn control(&self, statement: &'static str) -> Result<(), (Gravity, String)> {
        self.connection.control(statement).map_err(|failure| (failure.gravity(), failure.reason().to_owned()))
    }

    /// Writes the numbers taken into the rows of their shards, and the positions `published` but for those whose owner is not
    /// the shard's any more. Answers the numbers of the records. To be committed next.
    pub fn finish(&mut self, published: &mut [Position]) -> Outcome<Vec<(Shard, Revision)>> {
        let mut touched: Vec<Shard> = self.done.iter().map(|(shard, _, _)| *shard).collect();
        touched.sort_unstable();
        touched.dedup();
        for shard in touched {
            let last = self.revisions[usize::from(shard.0)];
            self.execute("UPDATE shard SET revision = ?2 WHERE id = ?1", params![shard.0, last.0])?;
        }
        for Position { shard, to, fence, is_refused } in published {
            *is_refused = self.execute(PUBLISHED, params![shard.0, to.0, fence.map(|fence| fence.0)])? == 0;
        }
        Ok(self.done.iter().filter(|(_, _, has_record)| *has_record).map(|(shard, revision, _)| (*shard, *revision)).collect())
    }

    pub fn execute(&self, statement: impl Into<Statement>, values: &[Value<'_>]) -> Outcome<usize> {
        self.connection.execute(statement.into(), values)
    }
}

pub(crate) fn shard_of(id: i64, shards: u16) -> Shard {
    Shard(id.rem_euclid(i64::from(shards.max(1))) as u16)
}

/// The row, if there is one.
pub(crate) fn one<T>(
    connection: &dyn Sql,
    statement: impl Into<Statement>,
    values: &[Value<'_>],
    read: impl FnOnce(&Row<'_>) -> Outcome<T>,
) -> Outcome<Option<T>> {
    let mut read = Some(read);
    let mut found = None;
    connection.query(statement.into(), values, &mut |row| {
        found = read.take().map(|read| read(row)).transpose()?;
        Ok(false)
    })?;
    Ok(found)
}

pub(crate) fn many<T>(
    connection: &dyn Sql,
    statement: impl Into<Statement>,
    values: &[Value<'_>],
    mut read: impl FnMut(&Row<'_>) -> Outcome<T>,
) -> Outcome<Vec<T>> {
    let mut found = Vec::new();
    connection.query(statement.into(), values, &mut |row| {
        found.push(read(row)?);
        Ok(true)
    })?;
    Ok(found)
}
