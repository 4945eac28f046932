//! A database on a real MariaDB, for one world or one seed, in place of the database in the data folder.
//!
//! The server is the one all tests share (`cargo xtask services`); it is started if it does not run.
//!
//! **Invariant:** a database that was made here is removed from the server when its value is dropped.

use anyhow::{Context, Result};
use skein_storage::{Backend, Config, MySqlConfig};
use std::sync::atomic::{AtomicU32, Ordering};
use xtask::services::{self, Service, mariadb};

/// Where a deployment's store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Engine {
    #[default]
    Sqlite,
    Mariadb,
    /// MariaDB, and beside it Redis and Kafka.
    Servers,
}

/// Settings for the Redis and the Kafka all tests share, under names nobody else uses. Blocks until both run.
pub fn shared_servers() -> Result<Vec<(String, String)>> {
    static NUMBERS: AtomicU32 = AtomicU32::new(0);
    let name = format!("world-{}-{}", std::process::id(), NUMBERS.fetch_add(1, Ordering::Relaxed));
    let redis = services::require(Service::Redis).context("start Redis")?;
    let kafka = services::require(Service::Kafka).context("start Kafka")?;
    let setting = |key: &str, value: String| (key.to_owned(), value);
    Ok(vec![
        setting("redis.urls", format!("[\"{redis}\"]")),
        setting("redis.prefix", format!("{name}:")),
        setting("kafka.brokers", kafka),
        setting("kafka.topic", name.clone()),
        setting("kafka.push_topic", format!("{name}-push")),
        setting("kafka.group", name),
    ])
}

pub struct Database {
    /// Of one that was made here.
    name: Option<String>,
    config: Config,
}

impl Database {
    /// Blocks, at most for as long as MariaDB takes to start.
    pub fn make() -> Result<Self> {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        let name = format!("skein_world_{}_{}", std::process::id(), NUMBERS.fetch_add(1, Ordering::Relaxed));
        let url = mariadb::make_database(&name).context("make a database on MariaDB")?;
        Ok(Self { name: Some(name), config: at(url) })
    }

    /// One of the caller's, who removes it.
    pub fn at(url: &str) -> Self {
        Self { name: None, config: at(url.to_owned()) }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What a server that is to use it is started with.
    pub fn settings(&self) -> Vec<(String, String)> {
        let setting = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        vec![setting("storage.backend", "mysql"), setting("storage.mysql.url", &self.config.mysql.url)]
    }
}

fn at(url: String) -> Config {
    let mysql = MySqlConfig { url, ..MySqlConfig::default() };
    Config { backend: Backend::Mysql, mysql, ..Config::default() }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(name) = &self.name
            && let Err(error) = mariadb::drop_database(name)
        {
            eprintln!("{name} stays behind: {error:#}");
        }
    }
}
