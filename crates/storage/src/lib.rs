//! The storage ports made true: on SQLite, and in memory for what need not survive.
//!
//! Owns the data folder, the schema and its migrations, the one group-committing writer and the bounded readers, and
//! the in-memory registries of whoever runs in one process. Leaves every judgement (who may do what) to logic: the
//! store refuses only what would break its own promises.
//!
//! **Invariant:** every write goes through the writer; `Ok` means on disk.
//! **Invariant:** every statement is a constant with bound parameters; no text of a user ever becomes SQL.

mod config;
pub mod memory;
mod metrics;
#[cfg(feature = "redis")]
pub mod redis;
mod sql;
pub mod sqlite;

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;

pub use config::Config;
pub use memory::{MemoryCodes, MemoryGuests, MemoryNodes, MemoryReceipts, MemorySessions};
pub use metrics::METRICS;
pub use sql::{Fatal, Stats, Store};
pub use sqlite::OpenError;
