//! Connections to Redis: a bounded pool for one server or a cluster, time-outs, and the clock of the server.
//!
//! **Bound:** `connections` of them; who waits longer than `wait_ms` for one is answered `busy`. A call has
//! `timeout_ms`; a connection that was idle for a while is asked for a sign of life before it is used, one that failed is
//! replaced.

use super::Config;
use deadpool::Runtime;
use deadpool::managed::{self, Metrics, PoolError, RecycleError};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisFuture, ScriptInvocation, Value};
use skein_domain::id::Millis;
use skein_domain::port::Clock;
use skein_domain::{Code, Error, Result};
use std::sync::Arc;
use std::time::Duration;

/// Unused for so long, a connection is asked whether it lives.
const IDLE: Duration = Duration::from_secs(5);
/// Calls under way at once for one caller.
const AT_ONCE: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("redis.urls: {0}")]
    Address(String),
    #[error("redis: {0}; is it running, and does redis.urls name it?")]
    Unreachable(String),
}

/// A cheap handle; clone it freely.
#[derive(Clone)]
pub struct Redis {
    pool: managed::Pool<Manager>,
    prefix: Arc<str>,
    /// In tests time passes when they say so.
    shift: Option<Arc<dyn Clock>>,
}

impl Redis {
    /// Asks once, so that a wrong address is known before anything serves.
    pub async fn open(config: &Config) -> Result<Self, OpenError> {
        let redis = Self::new(config)?;
        let _: String = redis.query(&redis::cmd("PING")).await.map_err(|error| OpenError::Unreachable(error.message.into_owned()))?;
        Ok(redis)
    }

    pub(super) fn new(config: &Config) -> Result<Self, OpenError> {
        let manager = Manager::new(config).map_err(|error| OpenError::Address(error.to_string()))?;
        let timeout = Some(Duration::from_millis(config.timeout_ms.into()));
        let pool = managed::Pool::builder(manager)
            .max_size(config.connections as usize)
            .wait_timeout(Some(Duration::from_millis(config.wait_ms.into())))
            .create_timeout(timeout)
            .recycle_timeout(timeout)
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| OpenError::Address(error.to_string()))?;
        Ok(Self { pool, prefix: config.prefix.as_str().into(), shift: None })
    }

    /// Adds what `clock` says to the server's time.
    #[cfg(test)]
    pub(super) fn shifted(mut self, clock: Arc<dyn Clock>) -> Self {
        self.shift = Some(clock);
        self
    }

    pub(super) fn key(&self, rest: impl std::fmt::Display) -> String {
        format!("{}{rest}", self.prefix)
    }

    /// Scripts add it to the server's clock.
    pub(super) fn shift_ms(&self) -> i64 {
        self.shift.as_ref().map_or(0, |clock| clock.now().0)
    }

    /// The server's clock.
    pub(super) async fn now(&self) -> Result<Millis> {
        let (seconds, micros): (i64, i64) = self.query(&redis::cmd("TIME")).await?;
        Ok(Millis(seconds * 1_000 + micros / 1_000 + self.shift_ms()))
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connection().await?;
        let answer = command.query_async(&mut *connection).await;
        self.settled(connection, answer)
    }

    /// Independent commands, answers in their order: one round trip to a server; on a cluster each goes to its node.
    pub(super) async fn all<T: FromRedisValue>(&self, commands: Vec<Cmd>) -> Result<Vec<T>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connection().await?;
        if let Connection::Server(server) = &mut *connection {
            let mut pipeline = Pipeline::with_capacity(commands.len());
            for command in commands {
                pipeline.add_command(command);
            }
            let answer = pipeline.query_async(server).await;
            return self.settled(connection, answer);
        }
        let answers = commands.into_iter().map(|command| {
            let mut connection = connection.clone();
            async move { command.query_async(&mut connection).await }
        });
        let answer = futures_util::stream::iter(answers).buffered(AT_ONCE).try_collect().await;
        self.settled(connection, answer)
    }

    /// As [`Self::all`], for scripts.
    pub(super) async fn run_all<T: FromRedisValue + Send + 'static>(&self, scripts: Vec<ScriptInvocation<'static>>) -> Result<Vec<T>> {
        let connection = self.connection().await?;
        let mut answers: Vec<BoxFuture<'_, redis::RedisResult<T>>> = Vec::with_capacity(scripts.len());
        for script in scripts {
            let mut connection = connection.clone();
            answers.push(async move { script.invoke_async(&mut connection).await }.boxed());
        }
        let answer = futures_util::stream::iter(answers).buffered(AT_ONCE).try_collect().await;
        self.settled(connection, answer)
    }

    pub(super) async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T> {
        let mut connection = self.connection().await?;
        let answer = script.invoke_async(&mut *connection).await;
        self.settled(connection, answer)
    }

    /// A connection that failed is not used again; if it broke, those that wait broke with it.
    fn settled<T>(&self, connection: managed::Object<Manager>, answer: redis::RedisResult<T>) -> Result<T> {
        answer.map_err(|error| {
            if error.is_unrecoverable_error() || error.is_timeout() {
                drop(managed::Object::take(connection));
            }
            if error.is_unrecoverable_error() {
                self.pool.retain(|_, _| false);
            }
            failed(error)
        })
    }

    async fn connection(&self) -> Result<managed::Object<Manager>> {
        let connection = self.pool.get().await.map_err(|error| match error {
            PoolError::Timeout(managed::TimeoutType::Wait) => {
                metrics::counter!("skein_redis_pool_timeouts_total").increment(1);
                Error::new(Code::Busy, "every connection to redis is in use").retry_after(100)
            }
            PoolError::Backend(error) => failed(error),
            other => failed_with(&other.to_string()),
        });
        metrics::gauge!("skein_redis_connections").set(self.pool.status().size as f64);
        connection
    }
}

fn failed(error: RedisError) -> Error {
    failed_with(&error.to_string())
}

fn failed_with(error: &str) -> Error {
    metrics::counter!("skein_redis_failures_total").increment(1);
    tracing::warn!(error, "redis failed");
    Error::new(Code::Unavailable, "a part of the server is away").retry_after(500)
}

// === connections ===

pub(super) struct Manager {
    way: Way,
    config: AsyncConnectionConfig,
}

#[expect(clippy::large_enum_variant, reason = "there is one for each pool")]
enum Way {
    Server(Client),
    Cluster(ClusterClient),
}

impl Manager {
    pub(super) fn new(config: &Config) -> redis::RedisResult<Self> {
        let timeout = Duration::from_millis(config.timeout_ms.into());
        let way = match config.urls.as_slice() {
            [url] => Way::Server(Client::open(url.as_str())?),
            urls => {
                let nodes = ClusterClientBuilder::new(urls.iter().map(String::as_str));
                Way::Cluster(nodes.connection_timeout(timeout).response_timeout(timeout).build()?)
            }
        };
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(timeout)).set_response_timeout(Some(timeout));
        Ok(Self { way, config })
    }
}

#[derive(Clone)]
pub(super) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl managed::Manager for Manager {
    type Type = Connection;
    type Error = RedisError;

    async fn create(&self) -> Result<Connection, RedisError> {
        Ok(match &self.way {
            Way::Server(client) => Connection::Server(client.get_multiplexed_async_connection_with_config(&self.config).await?),
            Way::Cluster(client) => Connection::Cluster(client.get_async_connection().await?),
        })
    }

    async fn recycle(&self, connection: &mut Connection, metrics: &Metrics) -> managed::RecycleResult<RedisError> {
        if metrics.last_used() < IDLE {
            return Ok(());
        }
        redis::cmd("PING").query_async::<String>(connection).await.map(drop).map_err(RecycleError::Backend)
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Connection::Server(server) => server.req_packed_command(command),
            Connection::Cluster(cluster) => cluster.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(&'a mut self, commands: &'a Pipeline, offset: usize, count: usize) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Connection::Server(server) => server.req_packed_commands(commands, offset, count),
            Connection::Cluster(cluster) => cluster.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        0
    }
}
