//! What an operator may set about the store.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
#[cfg(feature = "mysql")]
use std::time::Duration;

/// Where accounts, contacts, conversations and messages are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// MySQL where it has an address, otherwise SQLite.
    #[default]
    Auto,
    /// One file in the data folder.
    Sqlite,
    /// A MySQL or MariaDB server: see `storage.mysql`.
    Mysql,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where accounts, contacts, conversations and messages are: `sqlite` (in the data folder) or `mysql`; `auto`: `mysql` where
    /// `storage.mysql.url` is set, otherwise `sqlite`.
    pub backend: Backend,
    /// Parts of the data with a log of their own, 1 to 256. Fixed when the store is created; later values are ignored.
    #[schemars(range(min = 1, max = 256))]
    pub shards: u16,
    /// Reads at a time on SQLite; 0: twice the number of cores and one, but at least 4. A read waits up to 5 seconds for
    /// its turn, then answers `busy`.
    #[schemars(range(max = 256))]
    pub readers: u16,
    /// Do not wait for the disk before acknowledging. A power cut then loses acknowledged messages: for experiments only.
    pub allow_unsafe_durability: bool,
    /// The database server. Without `url` the store is in the data folder.
    pub mysql: MySqlConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self { backend: Backend::default(), shards: 1, readers: 0, allow_unsafe_durability: false, mysql: MySqlConfig::default() }
    }
}

impl Config {
    pub const SHARDS_MAX: u16 = 256;
    pub const READERS_MAX: u16 = 256;

    /// Whether the store is on a server, which other nodes may use too.
    pub fn is_on_mysql(&self) -> bool {
        match self.backend {
            Backend::Auto => !self.mysql.url.is_empty(),
            Backend::Sqlite => false,
            Backend::Mysql => true,
        }
    }

    pub fn validate(&self) -> Result<(), &'static str> {
        match (self.backend, self.mysql.url.is_empty()) {
            (Backend::Sqlite, false) => Err("storage.backend = \"sqlite\" contradicts storage.mysql.url: leave one of them out"),
            (Backend::Mysql, true) => Err("storage.backend = \"mysql\" needs storage.mysql.url"),
            _ => Ok(()),
        }
    }

    pub(crate) fn readers(&self) -> usize {
        let wanted = if self.readers == 0 { by_cores().max(4) } else { self.readers.into() };
        wanted.min(Self::READERS_MAX.into())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MySqlConfig {
    /// `mysql://user:password@host:port/database`.
    pub url: String,
    /// The same of a replica of it, for reading what may be a moment old; empty: there is none.
    pub replica_url: String,
    /// Connections to the server at a time, 2 to 256; 0: twice the number of cores and one (for the disk). One of them
    /// writes, the others read. As many go to the replica.
    #[schemars(range(max = 256))]
    pub connections: u16,
    /// Connections for reading that are opened at the start.
    #[schemars(range(max = 256))]
    pub connections_min: u16,
    /// How long a read waits for a connection, in milliseconds, before it answers `busy`.
    #[schemars(range(min = 1, max = 60_000))]
    pub wait_ms: u64,
    /// After how many milliseconds without use a connection is pinged, and replaced if it is dead.
    #[schemars(range(min = 100, max = 3_600_000))]
    pub keep_alive_ms: u64,
}

impl Default for MySqlConfig {
    fn default() -> Self {
        Self { url: String::new(), replica_url: String::new(), connections: 0, connections_min: 1, wait_ms: 5_000, keep_alive_ms: 30_000 }
    }
}

#[cfg(feature = "mysql")]
impl MySqlConfig {
    /// Connections that read: all but the one that writes.
    pub(crate) fn readers(&self) -> usize {
        let all = if self.connections == 0 { by_cores() } else { self.connections.into() };
        all.clamp(2, Config::READERS_MAX.into()) - 1
    }

    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms.clamp(100, 3_600_000))
    }
}

/// Cores times two and one for the disk: more connections only wait for each other.
fn by_cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get()) * 2 + 1
}
