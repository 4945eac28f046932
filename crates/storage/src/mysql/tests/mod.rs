//! The conformance suites on a real MariaDB, and what only this engine promises.

mod nodes;
mod plans;
mod pool;
mod trouble;

use crate::conformance::{Backend, Ports, World};
use crate::{Config, MySqlConfig, Store};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use skein_domain::body::Body;
use skein_domain::entry::{Entry, EntryEvent};
use skein_domain::id::{IdempotencyKey, Seq};
use skein_domain::port::{Append, MessageStore};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::SyncSender;
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

/// A store with one group of one, and appends to it.
pub(super) struct Lab {
    pub store: Store,
    pub draft: Append,
}

impl Lab {
    pub async fn new(store: Store) -> Self {
        struct Opened(Store);
        #[async_trait]
        impl Backend for Opened {
            async fn open(&self) -> Ports {
                Ports::of(self.0.clone())
            }
        }
        let world = World::on(&Opened(store.clone())).await;
        let ann = world.user("ann").await;
        let group = world.group(ann, &[]).await;
        let event = EntryEvent::Message { body: Some(Body::text("hi")), reply_to: None };
        let draft = world.draft(group, ann, event).await;
        Self { store, draft }
    }

    pub fn append(&self, key: &str) -> Append {
        Append { key: IdempotencyKey::parse(key).unwrap(), ..self.draft.clone() }
    }

    /// All entries of the group.
    pub async fn entries(&self) -> Vec<Entry> {
        self.store.entries(self.draft.conversation, Seq(1), Seq(i64::MAX), 10_000).await.unwrap()
    }
}

/// The writer sleeps over a command while others gather.
pub(super) struct Held {
    done: BoxFuture<'static, skein_domain::Result<bool>>,
    wake: SyncSender<()>,
}

impl Held {
    pub async fn new(store: &Store) -> Self {
        let (wake, woken) = std::sync::mpsc::sync_channel::<()>(0);
        let (started, has_started) = tokio::sync::oneshot::channel();
        let mut started = Some(started);
        let done = store.writer().submit(0, move |_| Ok(started.take().is_some_and(|s| s.send(()).is_ok()) && woken.recv().is_ok()));
        has_started.await.unwrap();
        Self { done, wake }
    }

    pub async fn release(self) {
        self.wake.send(()).unwrap();
        assert!(self.done.await.unwrap());
    }
}

#[async_trait]
impl Backend for Database {
    async fn open(&self) -> Ports {
        Ports::of(self.store())
    }
}

mod conformance {
    use super::Database;
    crate::message_store_suite!(Database::new(1));
    crate::conversation_store_suite!(Database::new(1));
    crate::contact_store_suite!(Database::new(1));
    crate::account_store_suite!(Database::new(1));
    crate::outbox_suite!(Database::new(1));
    crate::push_store_suite!(Database::new(1));
}

mod conformance_with_shards {
    use super::Database;
    crate::message_store_suite!(Database::new(3));
    crate::conversation_store_suite!(Database::new(3));
    crate::contact_store_suite!(Database::new(3));
    crate::account_store_suite!(Database::new(3));
    crate::outbox_suite!(Database::new(3));
    crate::push_store_suite!(Database::new(3));
}
