//! The store on MySQL or MariaDB: the same ports, statements and guarantees as on SQLite, on a server several nodes can share.
//!
//! Owns the connections, the schema, the writer's thread and the keeper of idle connections. What the statements do is in
//! [`crate::sql`].
//!
//! **Invariant:** at most [`MySqlConfig::connections`] connections are open to the server (and as many to its replica):
//! one writes, the others read.
//! **Invariant:** a server whose commits do not survive a power cut is refused.

mod address;
mod batch;
mod keeper;
mod schema;
mod session;
mod writer;

#[cfg(test)]
mod tests;

use crate::sql::engine::{OpenReader, Reader};
use crate::sql::failure::{Failure, Outcome};
use crate::sql::queue::Queue;
use crate::sql::readers::{Bounds, Readers};
use crate::sql::shared::Shared;
use crate::sql::writer::Writer;
use crate::sql::{Parts, Store};
use crate::{Config, MySqlConfig, OpenError};
use address::Address;
use keeper::Keeper;
use session::{Purpose, Session};
use sqlx::mysql::MySqlConnectOptions;
use std::sync::Arc;
use std::time::Duration;

/// How soon a commit of another node is seen by who waits for one.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const READ_MAX: Duration = Duration::from_secs(5);

impl Store {
    /// Opens the store in the database that `config.mysql.url` names, making its tables if there are none. Blocks.
    pub fn open_mysql(config: &Config) -> Result<Self, OpenError> {
        if config.shards == 0 || config.shards > Config::SHARDS_MAX {
            return Err(OpenError::Shards(config.shards));
        }
        apart(config, open)
    }

    /// Whether [`Self::open_mysql`] would find the server usable. Changes nothing there. Blocks, for seconds at most.
    pub fn look_at_mysql(config: &Config) -> Result<(), OpenError> {
        apart(config, |config| {
            let session = Address::primary(&config.mysql)?.log_in(Purpose::Read)?;
            check_durability(&session, config)?;
            schema::check_known(&session)
        })
    }

    /// Whether the replica, if there is one, lets the store in, which opens without it all the same. Changes nothing there.
    /// Blocks, for seconds at most.
    pub fn look_at_replica(config: &Config) -> Result<(), OpenError> {
        apart(config, |config| match Address::replica(&config.mysql)? {
            Some(replica) => replica.log_in(Purpose::Read).map(drop),
            None => Ok(()),
        })
    }
}

/// Connections are opened by threads without an async runtime, and the caller's may have one.
fn apart<T: Send + 'static>(config: &Config, work: fn(&Config) -> Result<T, OpenError>) -> Result<T, OpenError> {
    let config = config.clone();
    let opening = std::thread::Builder::new().name("store-open".into()).spawn(move || work(&config))?;
    opening.join().unwrap_or_else(|_| Err(OpenError::Engine("opening the database panicked".to_owned())))
}

fn open(config: &Config) -> Result<Store, OpenError> {
    let mysql = &config.mysql;
    let primary = Address::primary(mysql)?;
    let session = primary.log_in(Purpose::Write)?;
    check_durability(&session, config)?;
    schema::migrate(&session, config.shards)?;
    let meta = schema::meta(&session)?;
    if meta.shards != config.shards {
        tracing::warn!(shards = meta.shards, configured = config.shards, "number of shards is fixed; configuration ignored");
    }

    let shared = Arc::new(Shared::new(meta.epoch, schema::positions(&session)?));
    let readers = pool("readers", primary.options.clone(), mysql.readers(), mysql);
    readers.fill(mysql.connections_min.into())?;
    let replica = replica(mysql)?;
    let queue = Arc::new(Queue::new());
    let thread = writer::start(primary.options, session, queue.clone(), shared.clone(), config.allow_unsafe_durability)?;
    let pools = std::iter::once(&readers).chain(&replica).cloned().collect();
    let keeper = Keeper::start(pools, mysql)?;
    let parts = Parts { writer: Writer::new(queue), readers, replica, shared, look_every: Some(LOOK_EVERY) };
    let ending = Box::new(move || {
        if thread.join().is_err() {
            tracing::error!("writer thread panicked");
        }
        keeper.stop();
    });
    Ok(Store::running(parts, ending))
}

fn pool(name: &'static str, options: MySqlConnectOptions, most: usize, config: &MySqlConfig) -> Readers {
    let bounds = Bounds { name, most, wait: Duration::from_millis(config.wait_ms), read: READ_MAX, trusted_for: config.keep_alive() };
    Readers::new(Box::new(Server(options)), bounds)
}

/// A replica that is away at the start may come back: its reads go to the primary meanwhile.
fn replica(config: &MySqlConfig) -> Result<Option<Readers>, OpenError> {
    let replica = Address::replica(config)?;
    Ok(replica.map(|replica| pool("replica", replica.options, config.readers(), config)))
}

fn check_durability(session: &Session, config: &Config) -> Result<(), OpenError> {
    let found = schema::unsafe_settings(session)?;
    if found.is_empty() {
        return Ok(());
    }
    if !config.allow_unsafe_durability {
        return Err(OpenError::UnsafeDurability(found.join(", ")));
    }
    tracing::warn!(settings = found.join(", "), "allow_unsafe_durability is set: a power cut loses acknowledged messages");
    Ok(())
}

struct Server(MySqlConnectOptions);

impl OpenReader for Server {
    fn open(&self) -> Outcome<Box<dyn Reader>> {
        Ok(Box::new(Session::connect(&self.0, Purpose::Read)?))
    }
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        OpenError::Engine(failure.reason().to_owned())
    }
}
