//! Moves what was committed from the write-ahead log into the database, off the writer's path.
//!
//! **Invariant:** the writer never checkpoints while it serves. A passive checkpoint runs after about every
//! [`PAGES_BETWEEN`] pages written. Should the log pass [`LOG_PAGES_MAX`] pages all the same (readers kept it in use), it is
//! restarted, for which the writer waits at most as long as [`RESTART_WAIT`] plus the copying of the remainder.

use rusqlite::Connection;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// 8 MiB of pages of 4 KiB.
const PAGES_BETWEEN: usize = 2_000;
/// Rows, indexes and counters that each commit writes once; every command adds about one page to them.
const PAGES_PER_COMMIT: usize = 8;
/// 64 MiB of pages of 4 KiB.
const LOG_PAGES_MAX: i64 = 16_384;
const RESTART_WAIT: Duration = Duration::from_millis(100);

pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
    /// Estimated, since the last checkpoint was asked for.
    pages: usize,
}

impl Checkpointer {
    pub fn start(connection: Connection) -> Result<Self, super::OpenError> {
        connection.busy_timeout(RESTART_WAIT)?;
        let (wake, woken) = sync_channel(1);
        let thread = std::thread::Builder::new().name("store-checkpoint".into()).spawn(move || run(&connection, &woken))?;
        Ok(Self { wake, thread, pages: 0 })
    }

    pub fn committed(&mut self, commands: usize) {
        self.pages += PAGES_PER_COMMIT + commands;
        if self.pages >= PAGES_BETWEEN {
            self.pages = 0;
            // Full: it is awake already.
            let _ = self.wake.try_send(());
        }
    }

    pub fn stop(self) {
        drop(self.wake);
        if self.thread.join().is_err() {
            tracing::error!("checkpoint thread panicked");
        }
    }
}

fn run(connection: &Connection, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        let log_pages = match checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)") {
            Ok(log_pages) => log_pages,
            Err(error) => {
                tracing::warn!(%error, "checkpoint failed; the log of writes keeps growing until one succeeds");
                continue;
            }
        };
        metrics::gauge!("skein_store_log_pages").set(log_pages as f64);
        if log_pages > LOG_PAGES_MAX
            && let Err(error) = checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
        {
            tracing::warn!(%error, "restart of the log of writes failed");
        }
    }
}

fn checkpoint(connection: &Connection, sql: &'static str) -> rusqlite::Result<i64> {
    connection.query_row(sql, [], |row| row.get(1))
}
