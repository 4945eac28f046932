//! The conformance suites on a real MariaDB, and what only this engine promises.

mod look;
mod nodes;
mod plans;
mod pool;
mod trouble;

use crate::conformance::{Backend, Ports};
use crate::sql::lab::{Held, Lab};
use crate::{Config, MySqlConfig, Store};
use async_trait::async_trait;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use xtask::services::{self, Service};

/// Of the server all tests share, started if it is not running; without one every test here fails.
static SERVER: LazyLock<String> = LazyLock::new(|| services::require(Service::Mariadb).expect("a running MariaDB"));

static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A database of its own, dropped with it.
pub(super) struct Database {
    pub name: String,
    pub config: Config,
}

impl Database {
    pub fn new(shards: u16) -> Self {
        Self::named("skein_test", shards)
    }

    /// One the replica follows.
    pub fn replicated() -> Self {
        Self::named("skein_replicated", 1)
    }

    fn named(prefix: &str, shards: u16) -> Self {
        let name = format!("{prefix}_{}_{}", std::process::id(), DATABASES.fetch_add(1, Ordering::Relaxed));
        admin(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"));
        let mysql = MySqlConfig { url: format!("{}{name}", *SERVER), connections: 4, ..MySqlConfig::default() };
        Self { name, config: Config { shards, mysql, ..Config::default() } }
    }

    pub fn store(&self) -> Store {
        Store::open_mysql(&self.config).unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        admin(&format!("DROP DATABASE {}", self.name));
    }
}

/// Runs a statement on a connection of its own, beside the store.
pub(super) fn admin(sql: &str) -> Vec<sqlx::mysql::MySqlRow> {
    use sqlx::{Connection, Executor};
    let (url, sql) = (format!("{}mysql", *SERVER), sql.to_owned());
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = sqlx::MySqlConnection::connect(&url).await.unwrap();
            connection.fetch_all(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap()
        })
    };
    std::thread::spawn(run).join().unwrap()
}

/// Numbers in the first column.
pub(super) fn numbers(sql: &str) -> Vec<i64> {
    admin(sql).iter().map(|row| sqlx::Row::get_unchecked::<i64, _>(row, 0)).collect()
}

/// Ids of the server's connections to this database.
pub(super) fn connections_to(database: &Database) -> Vec<i64> {
    numbers(&format!("SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE db = '{}'", database.name))
}

#[async_trait]
impl Backend for Database {
    async fn open(&self) -> Ports {
        Ports::of(self.store())
    }
}

crate::sql::lab::suites!(Database);
