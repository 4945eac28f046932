//! The storage ports made true: in SQL, on SQLite or MySQL, and in memory or on Redis for what need not survive.
//!
//! Owns the data folder or the database, the schemas and their migrations, the one group-committing writer and the bounded
//! readers, and the registries. Leaves every judgement (who may do what) to logic: the
//! store refuses only what would break its own promises.
//!
//! **Invariant:** every write goes through the writer; `Ok` means on disk.
//! **Invariant:** every statement is a constant with bound parameters; no text of a user ever becomes SQL.

mod config;
mod engines;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;
mod metrics;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "redis")]
pub mod redis;
mod sql;
pub mod sqlite;

#[cfg(test)]
mod conformance;

pub use config::{Backend, Config, MySqlConfig};
pub use engines::{KafkaConfig, RedisConfig};
pub use memory::{MemoryBroadcasts, MemoryCodes, MemoryGuests, MemoryNodes, MemoryReceipts, MemorySessions};
pub use metrics::METRICS;
pub use sql::{Fatal, Stats, Store};
pub use sqlite::OpenError;

impl Store {
    /// Opens the store that `config` names: in `folder`, or on a database server. Blocks.
    pub fn open_configured(folder: &std::path::Path, config: &Config) -> Result<Self, OpenError> {
        match config.is_on_mysql() {
            false => Self::open(folder, config),
            #[cfg(feature = "mysql")]
            true => Self::open_mysql(config),
            #[cfg(not(feature = "mysql"))]
            true => Err(OpenError::NotBuilt),
        }
    }
}
