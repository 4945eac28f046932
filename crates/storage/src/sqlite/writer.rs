//! The one thread that writes, committing in groups.
//!
//! Group commit without a timer: when the writer is free it takes all that waits (bounded, see [`crate::sql::queue`]),
//! gives each command a savepoint of its own inside one transaction, commits once, and answers all. A command that fails or
//! panics is rolled back and refused alone. While the disk syncs, the next batch gathers.
//!
//! **Invariant:** an answer `Ok` leaves after the commit returned.
//! **Invariant:** after an I/O error nothing of the batch is acknowledged (its outcome is unknown), nothing more is
//! written, and the `fatal` hook ends the process: only a restart reads the truth.
//! **Invariant:** a full disk rolls the batch back, answers `storage_full`, and the store goes on.

use super::checkpoint::Checkpointer;
use crate::sql::Fatal;
use crate::sql::command::Command;
use crate::sql::engine::Sql;
use crate::sql::failure::{Failure, Gravity, busy, outcome_unknown, storage_full};
use crate::sql::queue::Queue;
use crate::sql::shared::Shared;
use crate::sql::transaction::Transaction;
use metrics::{Histogram, histogram};
use rusqlite::Connection;
use skein_domain::id::{ConversationId, Revision, Shard};
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// Starts the thread. It ends when the queue is closed and empty, or the disk failed.
pub(super) fn start(
    connection: Connection,
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    checkpointer: Checkpointer,
    fatal: Fatal,
) -> std::io::Result<JoinHandle<()>> {
    let thread = Thread { connection, queue, shared, checkpointer, fatal, counters: HashMap::new(), meters: Meters::new() };
    std::thread::Builder::new().name("store-writer".into()).spawn(move || thread.run())
}

struct Thread {
    connection: Connection,
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    checkpointer: Checkpointer,
    fatal: Fatal,
    counters: HashMap<ConversationId, i64>,
    meters: Meters,
}

struct Meters {
    batch_commands: Histogram,
    commit_seconds: Histogram,
}

impl Meters {
    fn new() -> Self {
        Self { batch_commands: histogram!("skein_store_batch_commands"), commit_seconds: histogram!("skein_store_commit_seconds") }
    }
}

/// The numbers of the records, or what went wrong.
type Batch = Result<Vec<(Shard, Revision)>, (Gravity, String)>;

impl Thread {
    fn run(mut self) {
        while let Some(mut commands) = self.queue.take() {
            let started = Instant::now();
            match self.commit(&mut commands) {
                Ok(revisions) => {
                    self.shared.committed(&revisions, commands.len());
                    self.meters.batch_commands.record(commands.len() as f64);
                    self.meters.commit_seconds.record(started.elapsed().as_secs_f64());
                    commands.iter_mut().for_each(|command| command.answer());
                    self.checkpointer.committed(commands.len());
                }
                Err((Gravity::Fatal, reason)) => {
                    self.queue.abandon();
                    commands.iter_mut().for_each(|command| command.refuse(outcome_unknown()));
                    tracing::error!(reason, "disk failed; the process must end");
                    return (self.fatal)(&reason);
                }
                Err((Gravity::Full, reason)) => {
                    metrics::counter!("skein_store_full_total").increment(1);
                    tracing::error!(reason, "disk full; batch refused");
                    commands.iter_mut().for_each(|command| command.refuse(storage_full()));
                }
                Err((Gravity::Command | Gravity::Again, reason)) => {
                    tracing::error!(reason, "batch failed");
                    commands.iter_mut().for_each(|command| command.refuse(busy()));
                }
            }
        }
        self.finish();
    }

    /// One transaction for all. Whatever fails, no transaction is open afterwards.
    fn commit(&mut self, commands: &mut [Box<dyn Command>]) -> Batch {
        let outcome = self.try_commit(commands);
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            return Err((Gravity::Fatal, error.to_string()));
        }
        outcome
    }

    fn try_commit(&mut self, commands: &mut [Box<dyn Command>]) -> Batch {
        self.connection.control("BEGIN IMMEDIATE").map_err(reason)?;
        let mut transaction = Transaction::begun(&self.connection, &mut self.counters).map_err(reason)?;
        for command in commands.iter_mut() {
            transaction.run_alone(|transaction| command.run(transaction))?;
        }
        let mut published = self.shared.published_unsaved();
        let revisions = transaction.finish(&mut published).map_err(reason)?;
        self.connection.control("COMMIT").map_err(|failure| {
            // Whether the commit record reached the disk is known only for a refusal for want of room.
            let gravity = if failure.gravity() == Gravity::Full { Gravity::Full } else { Gravity::Fatal };
            (gravity, failure.reason().to_owned())
        })?;
        self.shared.published_saved(&published);
        Ok(revisions)
    }

    /// Saves the positions that no batch took along, and folds the log of writes into the database.
    fn finish(mut self) {
        if !self.shared.published_unsaved().is_empty()
            && let Err((_, reason)) = self.commit(&mut [])
        {
            tracing::warn!(reason, "positions not saved; some records will be published again");
        }
        self.checkpointer.stop();
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "last checkpoint failed; the next start does it");
        }
    }
}

fn reason(failure: Failure) -> (Gravity, String) {
    (failure.gravity(), failure.reason().to_owned())
}
