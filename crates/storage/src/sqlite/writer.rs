//! The one thread that writes, committing in groups.
//!
//! Group commit without a timer: when the writer is free it takes all that waits (bounded, see [`super::queue`]), gives
//! each command a savepoint of its own inside one transaction, commits once, and answers all. A command that fails or
//! panics is rolled back and refused alone. While the disk syncs, the next batch gathers.
//!
//! **Invariant:** an answer `Ok` leaves after the commit returned.
//! **Invariant:** after an I/O error nothing of the batch is acknowledged (its outcome is unknown), nothing more is
//! written, and the `fatal` hook ends the process: only a restart reads the truth.
//! **Invariant:** a full disk rolls the batch back, answers `storage_full`, and the store goes on.

use super::checkpoint::Checkpointer;
use super::failure::{Failure, Gravity, Outcome, busy, gravity, outcome_unknown, storage_full};
use super::queue::Queue;
use super::shared::Shared;
use super::transaction::Transaction;
use futures_util::future::BoxFuture;
use metrics::{Histogram, histogram};
use rusqlite::{Connection, params};
use skein_domain::id::{ConversationId, Revision, Shard};
use skein_domain::{Error, Result};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// A command waiting for its turn, whatever it answers.
pub(super) trait Command: Send {
    fn bytes(&self) -> usize;
    /// Runs under a savepoint; keeps its result. `Err` says how grave the failure was.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Gravity>;
    /// Tells the caller what `run` kept.
    fn answer(&mut self);
    fn refuse(&mut self, error: Error);
}

struct Task<T, F> {
    bytes: usize,
    work: Option<F>,
    result: Option<Result<T>>,
    caller: Option<oneshot::Sender<Result<T>>>,
}

impl<T, F> Command for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Transaction<'_>) -> Outcome<T> + Send,
{
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<(), Gravity> {
        let Some(work) = self.work.take() else { return Ok(()) };
        // Nothing of the command survives a panic: its savepoint is rolled back.
        let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| work(transaction))).unwrap_or_else(|_| {
            tracing::error!("command panicked in the writer");
            Err(Failure::Refused(Error::internal()))
        });
        let gravity = outcome.as_ref().err().map(Failure::gravity);
        self.result = Some(outcome.map_err(Failure::answer));
        gravity.map_or(Ok(()), Err)
    }

    fn answer(&mut self) {
        if let (Some(caller), Some(result)) = (self.caller.take(), self.result.take()) {
            // A caller that went away does not want to know.
            let _ = caller.send(result);
        }
    }

    fn refuse(&mut self, error: Error) {
        self.result = Some(Err(error));
        self.answer();
    }
}

/// Told once that the disk failed; must not return control to a process that goes on serving.
pub type Fatal = Box<dyn Fn(&str) + Send + Sync>;

/// Hands commands to the writer.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: Arc<Queue>,
}

impl Writer {
    /// Starts the thread. It ends when the queue is closed and empty, or the disk failed.
    pub fn start(
        connection: Connection,
        shared: Arc<Shared>,
        checkpointer: Checkpointer,
        fatal: Fatal,
    ) -> std::io::Result<(Self, std::thread::JoinHandle<()>)> {
        let queue = Arc::new(Queue::new());
        let thread =
            Thread { connection, queue: queue.clone(), shared, checkpointer, fatal, counters: HashMap::new(), meters: Meters::new() };
        let handle = std::thread::Builder::new().name("store-writer".into()).spawn(move || thread.run())?;
        Ok((Self { queue }, handle))
    }

    /// Queued by the time this returns. At the bound of the queue the answer is `busy`, after [`Self::close`]
    /// `unavailable`, both at once; if the process ends under way nobody is left to ask.
    pub fn submit<T, F>(&self, bytes: usize, work: F) -> BoxFuture<'static, Result<T>>
    where
        T: Send + 'static,
        F: FnOnce(&mut Transaction<'_>) -> Outcome<T> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let task = Task { bytes, work: Some(work), result: None, caller: Some(caller) };
        let queued = self.queue.push(Box::new(task));
        Box::pin(async move {
            queued?;
            answer.await.unwrap_or_else(|_| Err(outcome_unknown()))
        })
    }

    pub fn close(&self) {
        self.queue.close();
    }
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

/// What became of a batch.
enum Batch {
    Committed(Vec<(Shard, Revision)>),
    Failed(Gravity, String),
}

impl Thread {
    fn run(mut self) {
        while let Some(mut commands) = self.queue.take() {
            let started = Instant::now();
            match self.commit(&mut commands) {
                Batch::Committed(revisions) => {
                    self.shared.committed(&revisions, commands.len());
                    self.meters.batch_commands.record(commands.len() as f64);
                    self.meters.commit_seconds.record(started.elapsed().as_secs_f64());
                    commands.iter_mut().for_each(|command| command.answer());
                    self.checkpointer.committed(commands.len());
                }
                Batch::Failed(Gravity::Fatal, reason) => {
                    self.queue.abandon();
                    commands.iter_mut().for_each(|command| command.refuse(outcome_unknown()));
                    tracing::error!(reason, "disk failed; the process must end");
                    return (self.fatal)(&reason);
                }
                Batch::Failed(Gravity::Full, reason) => {
                    metrics::counter!("skein_store_full_total").increment(1);
                    tracing::error!(reason, "disk full; batch refused");
                    commands.iter_mut().for_each(|command| command.refuse(storage_full()));
                }
                Batch::Failed(Gravity::Command, reason) => {
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
            return Batch::Failed(Gravity::Fatal, error.to_string());
        }
        outcome.unwrap_or_else(|(gravity, reason)| Batch::Failed(gravity, reason))
    }

    fn try_commit(&mut self, commands: &mut [Box<dyn Command>]) -> Result<Batch, (Gravity, String)> {
        execute(&self.connection, "BEGIN IMMEDIATE").map_err(reason)?;
        let mut revisions = Vec::new();
        let mut transaction = Transaction::new(&self.connection, self.shared.shards(), &mut self.counters);
        for command in commands.iter_mut() {
            run_alone(command.as_mut(), &mut transaction, &mut revisions)?;
        }
        let published = self.shared.published_unsaved();
        for (shard, position) in &published {
            save_position(&self.connection, *shard, *position).map_err(reason)?;
        }
        execute(&self.connection, "COMMIT").map_err(|error| {
            // Whether the commit record reached the disk is known only for a refusal for want of room.
            let gravity = if gravity(&error) == Gravity::Full { Gravity::Full } else { Gravity::Fatal };
            (gravity, error.to_string())
        })?;
        self.shared.published_saved(&published);
        Ok(Batch::Committed(revisions))
    }

    /// Saves the positions that no batch took along, and folds the log of writes into the database.
    fn finish(mut self) {
        if !self.shared.published_unsaved().is_empty()
            && let Batch::Failed(_, reason) = self.commit(&mut [])
        {
            tracing::warn!(reason, "positions not saved; some records will be published again");
        }
        self.checkpointer.stop();
        if let Err(error) = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(%error, "last checkpoint failed; the next start does it");
        }
    }
}

/// Runs the command under a savepoint, so that its failure is its own. `Err` ends the batch.
fn run_alone(
    command: &mut dyn Command,
    transaction: &mut Transaction<'_>,
    revisions: &mut Vec<(Shard, Revision)>,
) -> Result<(), (Gravity, String)> {
    let connection = transaction.connection;
    execute(connection, "SAVEPOINT command").map_err(reason)?;
    let outcome = command.run(transaction);
    let taken = transaction.take_revisions();
    match outcome {
        Ok(()) => revisions.extend(taken),
        Err(Gravity::Command) => execute(connection, "ROLLBACK TO command").map_err(reason)?,
        Err(grave) => return Err((grave, "a command met it".to_owned())),
    }
    execute(connection, "RELEASE command").map_err(reason)
}

fn execute(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

fn reason(error: rusqlite::Error) -> (Gravity, String) {
    (gravity(&error), error.to_string())
}

fn save_position(connection: &Connection, shard: Shard, position: Revision) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE shard SET published = max(published, ?2) WHERE id = ?1")?;
    statement.execute(params![shard.0, position.0]).map(|_| ())
}
