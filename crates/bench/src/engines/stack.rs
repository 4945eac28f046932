//! Engines of the run's own, and the product on some of them.
//!
//! **Invariant:** every row has a database, a topic and keys nobody used before, on the engines of its section.

use super::Row;
use crate::load;
use crate::report::ms;
use crate::send::instead_of_syncs;
use crate::usage::Usage;
use anyhow::{Context, Result};
use serde::Serialize;
use skein_storage::{Backend, Config, MySqlConfig};
use skein_testkit::powercut::{self, PowerCut};
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use xtask::services::{Environment, Own, Service};

/// How long engines may take to come to rest: to a tenth of a core.
const SETTLE_MAX: Duration = Duration::from_secs(30);
const SETTLE_LOOK: Duration = Duration::from_millis(500);

/// What the product runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stack {
    Sqlite,
    Mariadb,
    /// With Redis and Kafka.
    Servers,
}

impl Stack {
    pub const ALL: [Stack; 3] = [Stack::Sqlite, Stack::Mariadb, Stack::Servers];

    pub fn name(self) -> &'static str {
        match self {
            Stack::Sqlite => "SQLite",
            Stack::Mariadb => "MariaDB",
            Stack::Servers => "MariaDB + Redis + Kafka",
        }
    }

    /// Whether its store is the data folder.
    pub fn is_embedded(self) -> bool {
        self == Stack::Sqlite
    }

    /// Whether it has Redis and Kafka.
    pub fn has_all(self) -> bool {
        self == Stack::Servers
    }
}

pub struct Engines {
    pub mariadb: Own,
    pub redis: Own,
    pub kafka: Own,
    pub folder: PathBuf,
    delay: Option<Duration>,
}

/// A place for one row: where its store is, what its server is started with, and who speaks.
pub struct Ready {
    pub server: ServerProcess,
    pub people: Vec<load::Person>,
}

impl Engines {
    /// In `folder`, which is absolute. Blocks until all of them answer.
    pub fn start(folder: &Path, delay: Option<Duration>) -> Result<Self> {
        let own = |service: Service| {
            let place = folder.join(service.name());
            Own::start_in(service, &place, slow(&place, delay)?).with_context(|| format!("start {}", service.name()))
        };
        Ok(Self {
            mariadb: own(Service::Mariadb)?,
            redis: own(Service::Redis)?,
            kafka: own(Service::Kafka)?,
            folder: folder.to_owned(),
            delay,
        })
    }

    /// For a program of ours that writes below `data`: syncs as slow as the engines'.
    pub fn slow(&self, data: &Path) -> Result<Environment> {
        slow(data, self.delay)
    }

    pub fn fresh_name(&self) -> String {
        static NUMBERS: AtomicU32 = AtomicU32::new(0);
        format!("bench_{}", NUMBERS.fetch_add(1, Ordering::Relaxed))
    }

    /// A server on a fresh store that holds pairs of friends for so many senders.
    pub async fn ready(&self, stack: Stack, senders: usize) -> Result<Ready> {
        self.ready_with(stack, async |seed: &Seed| load::seed(seed, senders).await).await.map(|(server, people)| Ready { server, people })
    }

    /// A server on a fresh store that `fill` has written to.
    pub async fn ready_with<T>(&self, stack: Stack, fill: impl AsyncFnOnce(&Seed) -> Result<T>) -> Result<(ServerProcess, T)> {
        let name = self.fresh_name();
        let data = self.folder.join(&name);
        let config = self.store(stack, &name)?;
        let seed = Seed::open_on(&data, &config)?;
        let filled = fill(&seed).await.context("fill the store")?;
        seed.close();
        let mut options = load::unlimited(Options::on(&data));
        if let Some(delay) = self.delay.filter(|_| stack.is_embedded()) {
            options.power = Some((power(&data)?, instead_of_syncs(delay)));
        }
        let options = self.settings(stack, &name, &config).into_iter().fold(options, |options, (key, value)| options.set(key, value));
        Ok((ServerProcess::start(options).await?, filled))
    }

    /// Measured beside what the engine alone would have committed, rows per second.
    pub async fn row(&self, stack: Stack, senders: usize, time: Duration, bare_inserts: f64) -> Result<Row> {
        let Ready { mut server, people } = self.ready(stack, senders).await?;
        self.settled(stack).await?;
        let before = self.cpu(stack)?;
        let outcome = load::run(&server, people, senders, time).await?;
        let engines_cpu = self.cpu(stack)? - before;
        server.terminate().await?;
        let acked_per_second = outcome.acked_per_second();
        Ok(Row {
            stack,
            senders,
            acked_per_second,
            p50_ms: ms(&outcome.ack_us, 0.5),
            p99_ms: ms(&outcome.ack_us, 0.99),
            max_ms: ms(&outcome.ack_us, 1.0),
            delivery_p50_ms: ms(&outcome.delivery_us, 0.5),
            delivery_p99_ms: ms(&outcome.delivery_us, 0.99),
            not_heard: outcome.ack_us.len().saturating_sub(outcome.delivery_us.len()),
            of_bare_inserts: acked_per_second / bare_inserts,
            server_cpu_us_per_ack: outcome.server_cpu_us,
            // The warm-up is in it, and its messages are not counted: told as if they had the same rate.
            engines_cpu_us_per_ack: engines_cpu.as_secs_f64() * 1e6 / (acked_per_second * (time + load::WARM_UP).as_secs_f64()).max(1.0),
            errors: outcome.errors,
            pauses: outcome.pauses,
        })
    }

    /// Waits while an engine tidies up after what was measured before, such as MariaDB after a million inserts.
    async fn settled(&self, stack: Stack) -> Result<()> {
        let until = Instant::now() + SETTLE_MAX;
        let mut before = self.cpu(stack)?;
        while Instant::now() < until {
            tokio::time::sleep(SETTLE_LOOK).await;
            let now = self.cpu(stack)?;
            if now - before < SETTLE_LOOK / 10 {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Used so far by the engines of this stack that are processes of their own.
    fn cpu(&self, stack: Stack) -> Result<Duration> {
        let of: &[&Own] = match stack {
            Stack::Sqlite => &[],
            Stack::Mariadb => &[&self.mariadb],
            Stack::Servers => &[&self.mariadb, &self.redis, &self.kafka],
        };
        of.iter().map(|own| Ok(Usage::of(own.pid())?.cpu)).sum()
    }

    pub fn store(&self, stack: Stack, name: &str) -> Result<Config> {
        if stack.is_embedded() {
            return Ok(Config::default());
        }
        let mysql = MySqlConfig { url: self.mariadb.make_database(name)?, ..MySqlConfig::default() };
        Ok(Config { backend: Backend::Mysql, mysql, ..Config::default() })
    }

    fn settings(&self, stack: Stack, name: &str, config: &Config) -> Vec<(&'static str, String)> {
        let mut settings = Vec::new();
        if !stack.is_embedded() {
            settings.extend([("storage.backend", "mysql".to_owned()), ("storage.mysql.url", config.mysql.url.clone())]);
        }
        if stack == Stack::Servers {
            settings.extend([
                ("redis.urls", format!("[\"{}\"]", self.redis.address())),
                ("redis.prefix", format!("{name}:")),
                ("kafka.brokers", self.kafka.address()),
                ("kafka.topic", name.to_owned()),
                ("kafka.group", name.to_owned()),
            ]);
        }
        settings
    }
}

fn slow(data: &Path, delay: Option<Duration>) -> Result<Environment> {
    match delay {
        None => Ok(Environment::new()),
        Some(delay) => Ok(power(data)?.environment(&instead_of_syncs(delay))),
    }
}

fn power(data: &Path) -> Result<PowerCut, powercut::Error> {
    PowerCut::new(data, &data.with_extension("journal"))
}
