//! The one thread of this process that writes, committing in groups.
//!
//! It works like that of SQLite ([`crate::sqlite`]): it takes all that waits, runs it in one transaction, commits once, and
//! answers all. Several processes may write to one database: each takes the rows of the shards first, so that batches of all
//! of them come one after the other.
//!
//! **Invariant:** an answer `Ok` leaves after the commit returned.
//! **Invariant:** a batch is run again only if its transaction was surely rolled back: a deadlock, a lock that was waited for
//! in vain, a connection lost before the commit was sent. What becomes of a commit that got no answer nobody knows:
//! each caller hears `retry_same_key`.
//! **Invariant:** nothing is written to a server that commits lightly, or to another store, also if it takes the place of the
//! first one while this process runs: a batch is refused `busy` then.
//! **Invariant:** while the server cannot be reached, or another node has the lock, a batch waits at most [`PATIENCE`] and one
//! more try; then it is refused.

use super::session::{Purpose, Session};
use super::{batch, schema};
use crate::sql::command::{AppendTask, Command};
use crate::sql::engine::Sql;
use crate::sql::failure::{Failure, Gravity, busy, outcome_unknown, storage_full};
use crate::sql::queue::Queue;
use crate::sql::shared::Shared;
use crate::sql::transaction::Transaction;
use metrics::histogram;
use skein_domain::id::{ConversationId, Revision, Shard};
use sqlx::mysql::MySqlConnectOptions;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// For one batch, with everything that is tried again.
const PATIENCE: Duration = Duration::from_secs(15);
/// For the statements of one try.
const TRY_PATIENCE: Duration = Duration::from_secs(12);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Fewer go one by one: reading ahead for them costs more than it saves.
const TOGETHER_LEAST: usize = 2;

/// Starts the thread. It ends when the queue is closed and empty.
pub(super) fn start(
    options: MySqlConnectOptions,
    session: Session,
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    allow_unsafe_durability: bool,
) -> std::io::Result<JoinHandle<()>> {
    let thread = Thread { options, session: Some(session), queue, shared, allow_unsafe_durability, counters: HashMap::new() };
    std::thread::Builder::new().name("store-writer".into()).spawn(move || thread.run())
}

struct Thread {
    options: MySqlConnectOptions,
    session: Option<Session>,
    queue: Arc<Queue>,
    shared: Arc<Shared>,
    allow_unsafe_durability: bool,
    /// Used by a planted fault only.
    counters: HashMap<ConversationId, i64>,
}

/// Why a batch was not committed, or not surely.
enum Failed {
    /// Nothing was written.
    Before(Gravity, String),
    /// The commit was sent, and it is not known what became of it.
    Unknown(String),
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Failed::Before(failure.gravity(), failure.reason().to_owned())
    }
}

impl From<(Gravity, String)> for Failed {
    fn from((gravity, reason): (Gravity, String)) -> Self {
        Failed::Before(gravity, reason)
    }
}

impl Thread {
    fn run(mut self) {
        while let Some(mut commands) = self.queue.take() {
            let started = Instant::now();
            match self.commit_patiently(&mut commands) {
                Ok(revisions) => {
                    self.shared.committed(&revisions, commands.len());
                    histogram!("skein_store_batch_commands").record(commands.len() as f64);
                    histogram!("skein_store_commit_seconds").record(started.elapsed().as_secs_f64());
                    commands.iter_mut().for_each(|command| command.answer());
                }
                Err(Failed::Unknown(reason)) => {
                    tracing::error!(reason, "no answer to a commit; its outcome is unknown");
                    commands.iter_mut().for_each(|command| command.refuse(outcome_unknown()));
                }
                Err(Failed::Before(Gravity::Full, reason)) => {
                    metrics::counter!("skein_store_full_total").increment(1);
                    tracing::error!(reason, "disk full; batch refused");
                    commands.iter_mut().for_each(|command| command.refuse(storage_full()));
                }
                Err(Failed::Before(_, reason)) => {
                    metrics::counter!("skein_store_busy_total", "at" => "writer").increment(1);
                    tracing::error!(reason, "batch failed");
                    commands.iter_mut().for_each(|command| command.refuse(busy()));
                }
            }
        }
        if !self.shared.published_unsaved().is_empty()
            && let Err(Failed::Before(_, reason) | Failed::Unknown(reason)) = self.commit(&mut [])
        {
            tracing::warn!(reason, "positions not saved; some records will be published again");
        }
    }

    /// Runs the batch again for as long as it surely left nothing behind.
    fn commit_patiently(&mut self, commands: &mut [Box<dyn Command>]) -> Result<Vec<(Shard, Revision)>, Failed> {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.commit(commands) {
                Err(Failed::Before(Gravity::Again, reason)) if Instant::now() + pause < deadline => {
                    metrics::counter!("skein_store_retries_total").increment(1);
                    tracing::warn!(reason, "batch rolled back; trying again");
                    std::thread::park_timeout(pause);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    /// One transaction for all. A connection on which one may still be open is thrown away.
    fn commit(&mut self, commands: &mut [Box<dyn Command>]) -> Result<Vec<(Shard, Revision)>, Failed> {
        let session = match self.session.take().filter(|session| !session.is_broken()) {
            Some(session) => session,
            None => self.connect()?,
        };
        session.limit(TRY_PATIENCE);
        let outcome = self.try_commit(&session, commands);
        let is_clean = match &outcome {
            Ok(_) => true,
            Err(Failed::Before(..)) => session.control("ROLLBACK").is_ok(),
            Err(Failed::Unknown(_)) => false,
        };
        self.session = Some(session).filter(|_| is_clean);
        outcome
    }

    /// By now another server may answer at this address, after a fail-over or by mistake: it is looked at as the first was.
    fn connect(&self) -> Result<Session, Failed> {
        let session = Session::connect(&self.options, Purpose::Write)?;
        let refuse = |reason: String| Err(Failed::Before(Gravity::Command, reason));
        if schema::meta(&session)?.epoch != self.shared.epoch() {
            return refuse("another store is at the address of the database now".to_owned());
        }
        let found = schema::unsafe_settings(&session)?;
        if !found.is_empty() && !self.allow_unsafe_durability {
            return refuse(format!("the database now acknowledges before its disk has it: {}", found.join(", ")));
        }
        Ok(session)
    }

    fn try_commit(&mut self, session: &Session, commands: &mut [Box<dyn Command>]) -> Result<Vec<(Shard, Revision)>, Failed> {
        session.control("START TRANSACTION")?;
        let mut transaction = Transaction::begun(session, &mut self.counters)?;
        see_others(&self.shared, &transaction);
        let mut rest = commands;
        while !rest.is_empty() {
            let together = rest.iter_mut().map_while(|command| command.as_append().filter(|task| batch::is_plain(&task.draft))).count();
            let (now, later) = rest.split_at_mut(together.max(1));
            run(session, &mut transaction, now)?;
            rest = later;
        }
        let mut published = self.shared.published_unsaved();
        let revisions = transaction.finish(&mut published)?;
        session.control("COMMIT").map_err(unless_rolled_back)?;
        self.shared.published_saved(&published);
        Ok(revisions)
    }
}

/// The rows of the shards tell, too, what other processes committed.
fn see_others(shared: &Shared, transaction: &Transaction<'_>) {
    let seen: Vec<_> = transaction.revisions().iter().enumerate().map(|(shard, last)| (Shard(shard as u16), *last)).collect();
    shared.seen(&seen);
}

/// Of a commit that was answered with a deadlock it is certain that it did nothing; of everything else it is not.
fn unless_rolled_back(failure: Failure) -> Failed {
    match &failure {
        Failure::Engine(trouble) if trouble.code == skein_domain::Code::Busy => failure.into(),
        _ => Failed::Unknown(failure.reason().to_owned()),
    }
}

fn run(session: &Session, transaction: &mut Transaction<'_>, commands: &mut [Box<dyn Command>]) -> Result<(), Failed> {
    if commands.len() >= TOGETHER_LEAST {
        transaction.control("SAVEPOINT together")?;
        let mut tasks: Vec<&mut AppendTask> = commands.iter_mut().filter_map(|command| command.as_append()).collect();
        // A panic must not take the writer along; one by one, it is its command's own.
        let together = std::panic::catch_unwind(AssertUnwindSafe(|| batch::append_all(session, transaction, &mut tasks)));
        match together.unwrap_or_else(|_| Err(Failure::Unreadable("messages that go together panicked".to_owned()))) {
            Ok(()) => {
                transaction.keep();
                return Ok(());
            }
            Err(failure) if failure.gravity() == Gravity::Command => {
                tracing::debug!(reason = failure.reason(), "messages did not go together; one by one");
                transaction.control("ROLLBACK TO SAVEPOINT together")?;
                transaction.give_back();
            }
            Err(grave) => return Err(grave.into()),
        }
    }
    for command in commands {
        transaction.run_alone(|transaction| command.run(transaction))?;
    }
    Ok(())
}
