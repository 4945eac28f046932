//! The store on SQLite: one file in the data folder, one writing thread, many readers.
//!
//! Owns the data folder (and its lock), the connections and their settings. What runs on them is in [`crate::sql`].
//!
//! **Invariant:** write-ahead log with `synchronous=FULL`: a commit that returned survives a power cut.

mod checkpoint;
mod lock;
mod schema;
mod session;
mod writer;

#[cfg(test)]
mod tests;

use crate::Config;
use crate::sql::leases;
use crate::sql::queue::Queue;
use crate::sql::readers::{Bounds, Readers};
use crate::sql::shared::Shared;
use crate::sql::writer::Writer;
use crate::sql::{Fatal, Parts, Store};
use checkpoint::Checkpointer;
pub use lock::lock;
use rusqlite::{Connection, OpenFlags};
use session::OpenFile;
use skein_domain::fault::{Fault, planted};
use skein_domain::id::Revision;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const DATABASE: &str = "skein.db";
/// Longer than a checkpoint may hold the writer up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const READ_BOUNDS: Bounds = Bounds {
    name: "readers",
    most: 0,
    wait: Duration::from_secs(5),
    read: Duration::from_secs(1),
    // A file does not go away.
    trusted_for: Duration::MAX,
};
const STATEMENTS_CACHED: usize = 256;
/// As `sysexits.h` calls an input/output error.
const EXIT_IO_ERROR: i32 = 74;

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("data folder {} is in use by {holder}", .folder.display())]
    Locked { folder: PathBuf, holder: String },
    #[error("the store has schema version {found}, this build knows versions up to {known}: run a newer build")]
    Newer { found: usize, known: usize },
    #[error("storage.shards must be 1 to {max}, not {0}", max = Config::SHARDS_MAX)]
    Shards(u16),
    #[error("data folder: {0}")]
    Io(#[from] std::io::Error),
    #[error("database: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("database: {0}")]
    Engine(String),
    #[error("{0} does not read; it is mysql://user:password@host:port/database")]
    Url(&'static str),
    /// The server does not know who or what the setting names.
    #[error("{setting} ({address}): {reason}; correct the setting, or create on the server what it names")]
    Refused { setting: &'static str, address: String, reason: String },
    #[error("{setting} ({address}): {reason}; is it running, and does {setting} name it?")]
    Unreachable { setting: &'static str, address: String, reason: String },
    #[error(
        "the database server acknowledges before the disk has it ({0}); set both to 1, or storage.allow_unsafe_durability for experiments"
    )]
    UnsafeDurability(String),
    #[error("this build is without the MySQL engine: build it with the feature `mysql`")]
    NotBuilt,
}

impl OpenError {
    pub fn code(&self) -> &'static str {
        match self {
            OpenError::Locked { .. } => "data_folder_locked",
            OpenError::Newer { .. } => "data_folder_newer",
            OpenError::Shards(_) => "bad_config",
            OpenError::Io(_) => "data_folder_unusable",
            OpenError::Database(_) | OpenError::Engine(_) | OpenError::Unreachable { .. } => "database_unusable",
            OpenError::Url(_) | OpenError::Refused { .. } | OpenError::NotBuilt => "bad_config",
            OpenError::UnsafeDurability(_) => "database_unsafe",
        }
    }
}

impl Store {
    /// Opens the store in `folder`, making both if there are none. A disk that fails later ends the process with exit
    /// code 74. Blocks for a few milliseconds.
    pub fn open(folder: &Path, config: &Config) -> Result<Self, OpenError> {
        Self::open_with(folder, config, Box::new(|_| std::process::exit(EXIT_IO_ERROR)))
    }

    /// Like [`Self::open`]; `fatal` is called, on the writer's thread, when the disk fails, and has to end the process.
    pub fn open_with(folder: &Path, config: &Config, fatal: Fatal) -> Result<Self, OpenError> {
        if config.shards == 0 || config.shards > Config::SHARDS_MAX {
            return Err(OpenError::Shards(config.shards));
        }
        lock::prepare_folder(folder)?;
        let lock = lock::lock(folder, lock::LOCK_FILE)?;
        let database = folder.join(DATABASE);
        lock::open_private(&database)?;
        let mut connection = connect(&database, Access::Write { sync: !config.allow_unsafe_durability })?;
        schema::migrate(&mut connection, config.shards)?;
        connection.execute(leases::END_ALL, [])?;
        // The names of new files are as durable as their content.
        File::open(folder)?.sync_all()?;
        plant_faults(&connection)?;

        let meta = schema::meta(&connection)?;
        if meta.shards != config.shards {
            tracing::warn!(shards = meta.shards, configured = config.shards, "number of shards is fixed; configuration ignored");
        }
        if config.allow_unsafe_durability {
            tracing::warn!("allow_unsafe_durability is set: a power cut loses acknowledged messages");
        }
        let shared = Arc::new(Shared::new(meta.epoch, positions(&connection)?));
        let checkpointer = Checkpointer::start(connect(&database, Access::Write { sync: !config.allow_unsafe_durability })?)?;
        let queue = Arc::new(Queue::new());
        let thread = writer::start(connection, queue.clone(), shared.clone(), checkpointer, fatal)?;
        let readers = Readers::new(Box::new(OpenFile::new(database)), Bounds { most: config.readers(), ..READ_BOUNDS });
        let parts = Parts { writer: Writer::new(queue), readers, replica: None, shared, look_every: None };
        // In this order: the writer's thread, then the lock.
        let ending = Box::new(move || {
            if thread.join().is_err() {
                tracing::error!("writer thread panicked");
            }
            drop(lock);
        });
        Ok(Self::running(parts, ending))
    }
}

pub(crate) enum Access {
    Read,
    Write { sync: bool },
}

pub(crate) fn connect(database: &Path, access: Access) -> rusqlite::Result<Connection> {
    let flags = match access {
        Access::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Access::Write { .. } => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let connection = Connection::open_with_flags(database, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    if let Access::Write { sync } = access {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", if sync { "FULL" } else { "OFF" })?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", -16_000)?;
        // What is deleted or recalled is overwritten where that costs no further write.
        connection.pragma_update(None, "secure_delete", "FAST")?;
    }
    Ok(connection)
}

/// Last revision and position of each shard.
fn positions(connection: &Connection) -> rusqlite::Result<Vec<(Revision, Revision)>> {
    let mut statement = connection.prepare("SELECT revision, published FROM shard ORDER BY id")?;
    let rows = statement.query_map([], |row| {
        let (revision, published) = (row.get(0)?, row.get(1)?);
        let published = if planted(Fault::LeftoversNotPublished) { revision } else { published };
        Ok((Revision(revision), Revision(published)))
    })?;
    rows.collect()
}

fn plant_faults(connection: &Connection) -> rusqlite::Result<()> {
    if planted(Fault::KeyNotChecked) {
        // Else the index would catch what the fault lets through.
        connection.execute_batch(
            "DROP INDEX IF EXISTS entry_by_key; CREATE INDEX IF NOT EXISTS entry_by_key_unchecked ON entry (author, `key`)",
        )?;
    }
    Ok(())
}
