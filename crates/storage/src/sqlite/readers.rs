//! The bounded pool of read-only connections.
//!
//! **Invariant:** no read runs on a thread of the async runtime, longer than [`READ_MAX`], or without a connection of its
//! own. A read that waits [`WAIT_MAX`] for one is refused `busy`; one that takes too long ends with `timeout`. Each read
//! sees one snapshot of the store.

use super::failure::{Failure, Outcome, busy};
use metrics::{Histogram, histogram};
use rusqlite::Connection;
use skein_domain::{Error, Result};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

const WAIT_MAX: Duration = Duration::from_secs(5);
const READ_MAX: Duration = Duration::from_secs(1);
/// Steps of SQLite's machine between two looks at the clock: about a tenth of a millisecond.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;

#[derive(Clone)]
pub(crate) struct Readers {
    pool: Arc<Pool>,
    turns: Arc<Semaphore>,
}

struct Pool {
    database: PathBuf,
    idle: Mutex<Vec<Reader>>,
    started: Instant,
    seconds: Histogram,
}

struct Reader {
    connection: Connection,
    /// Milliseconds after the pool's start at which the read under way is to end.
    deadline_ms: Arc<AtomicU64>,
}

impl Readers {
    pub fn new(database: PathBuf, readers: usize) -> Self {
        let pool =
            Pool { database, idle: Mutex::new(Vec::new()), started: Instant::now(), seconds: histogram!("skein_store_read_seconds") };
        Self { pool: Arc::new(pool), turns: Arc::new(Semaphore::new(readers)) }
    }

    pub async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Outcome<T> + Send + 'static,
    {
        let waiting = tokio::time::timeout(WAIT_MAX, self.turns.clone().acquire_owned());
        let Ok(Ok(turn)) = waiting.await else {
            metrics::counter!("skein_store_busy_total", "at" => "readers").increment(1);
            return Err(busy());
        };
        let pool = self.pool.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let answer = pool.read(read).map_err(Failure::answer);
            drop(turn);
            answer
        });
        reading.await.unwrap_or_else(|error| {
            tracing::error!(%error, "read panicked");
            Err(Error::internal())
        })
    }

    /// Closes the idle connections.
    pub fn close(&self) {
        self.turns.close();
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Pool {
    /// A reader whose read panicked is not put back; the next one opens anew.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Outcome<T>) -> Outcome<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match idle {
            Some(reader) => reader,
            None => self.open()?,
        };
        let started = Instant::now();
        reader.deadline_ms.store((self.started.elapsed() + READ_MAX).as_millis() as u64, Ordering::Relaxed);
        reader.connection.execute_batch("BEGIN")?;
        let answer = read(&reader.connection);
        reader.connection.execute_batch("COMMIT")?;
        self.seconds.record(started.elapsed().as_secs_f64());
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        answer
    }

    fn open(&self) -> Outcome<Reader> {
        let mut connection = super::connect(&self.database, super::Access::Read)?;
        let deadline_ms = Arc::new(AtomicU64::new(u64::MAX));
        let (deadline, started) = (deadline_ms.clone(), self.started);
        let is_late = move || started.elapsed().as_millis() as u64 > deadline.load(Ordering::Relaxed);
        connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(is_late))?;
        Ok(Reader { connection, deadline_ms })
    }
}
