//! Connections to Redis: a bounded pool for one server or a cluster, time-outs, and the clock of the server.
//!
//! **Bound:** `connections` of them, each of a cluster to all its nodes; who waits longer than `wait_ms` for one is answered
//! `busy`. A call has `timeout_ms`; a connection to a server that was idle for a while is asked for a sign of life before
//! it is used, one that failed is replaced. One to a cluster follows the cluster by itself: a call that meets a node that
//! is gone is tried again within its time, until another has taken over.

use super::Config;
use super::script::Invocation;
use deadpool::Runtime;
use deadpool::managed::{self, Metrics, PoolError, RecycleError};
use futures_util::StreamExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
};
use skein_domain::id::Millis;
use skein_domain::port::Clock;
use skein_domain::{Code, Error, Result};
use std::sync::Arc;
use std::time::Duration;

/// Unused for so long, a connection is asked whether it lives.
const IDLE: Duration = Duration::from_secs(5);
/// On a cluster, while a replica takes over; the call's time-out comes first.
const RETRIES: u32 = 32;
/// Calls under way at once for one caller on a cluster.
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
        let unreachable = |error: Error| OpenError::Unreachable(error.message.into_owned());
        if let [url] = config.urls.as_slice() {
            let about: String = redis.query(redis::cmd("INFO").arg("cluster")).await.map_err(unreachable)?;
            if about.contains("cluster_enabled:1") {
                let host = url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host);
                return Err(OpenError::Address(format!("{host} is a node of a cluster; name two or more of its nodes")));
            }
        }
        // By a key, so that a cluster has found its nodes.
        let _: i64 = redis.query(&Cmd::exists(redis.key("nodes"))).await.map_err(unreachable)?;
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
        self.query(&redis::cmd("TIME")).await.map(|answer| self.time(answer))
    }

    /// What `TIME` answers.
    pub(super) fn time(&self, (seconds, micros): (i64, i64)) -> Millis {
        Millis(seconds * 1_000 + micros / 1_000 + self.shift_ms())
    }

    pub(super) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.connection().await?;
        let answer = command.query_async(&mut *connection).await;
        if let Err(error) = &answer {
            self.settle(connection, error);
        }
        answer.map_err(failed)
    }

    /// Independent commands, answers in their order: one round trip to a server; on a cluster each goes to its node.
    pub(super) async fn all<T: FromRedisValue>(&self, commands: Vec<Cmd>) -> Result<Vec<T>> {
        read(self.each(commands).await?)
    }

    pub(super) async fn run<T: FromRedisValue>(&self, script: &Invocation) -> Result<T> {
        read(self.each_script(std::slice::from_ref(script)).await?)?.pop().ok_or_else(Error::internal)
    }

    /// As [`Self::all`], for scripts.
    pub(super) async fn run_all<T: FromRedisValue>(&self, scripts: Vec<Invocation>) -> Result<Vec<T>> {
        read(self.each_script(&scripts).await?)
    }

    /// A second round trip for those a server does not know yet.
    async fn each_script(&self, scripts: &[Invocation]) -> Result<Vec<RedisResult<Value>>> {
        let mut answers = self.each(scripts.iter().map(Invocation::by_hash).collect()).await?;
        let unknown: Vec<usize> = (0..answers.len()).filter(|nth| is_unknown(&answers[*nth])).collect();
        let again = self.each(unknown.iter().map(|nth| scripts[*nth].by_text()).collect()).await?;
        for (nth, answer) in unknown.into_iter().zip(again) {
            answers[nth] = answer;
        }
        Ok(answers)
    }

    /// What became of each command, in their order. `Err`: the connection failed.
    async fn each(&self, commands: Vec<Cmd>) -> Result<Vec<RedisResult<Value>>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut connection = self.connection().await?;
        let answers: RedisResult<Vec<RedisResult<Value>>> = match &mut *connection {
            Connection::Server(server) => {
                let mut pipeline = Pipeline::with_capacity(commands.len());
                for command in commands {
                    pipeline.add_command(command);
                }
                pipeline.ignore_errors().query_async(server).await
            }
            Connection::Cluster(cluster) => {
                let answers = commands.into_iter().map(|command| {
                    let mut cluster = cluster.clone();
                    async move { command.query_async(&mut cluster).await }
                });
                Ok(futures_util::stream::iter(answers).buffered(AT_ONCE).collect().await)
            }
        };
        let error = match &answers {
            Err(error) => Some(error),
            Ok(answers) => answers.iter().find_map(|answer| answer.as_ref().err().filter(|error| !is_refusal(error))),
        };
        if let Some(error) = error {
            self.settle(connection, error);
        }
        answers.map_err(failed)
    }

    /// A connection that failed is not used again; if it broke, those that wait broke with it.
    fn settle(&self, connection: managed::Object<Manager>, error: &RedisError) {
        match *connection {
            Connection::Server(_) if error.is_unrecoverable_error() => {
                drop(managed::Object::take(connection));
                self.pool.retain(|_, _| false);
            }
            // That to a cluster mends itself when a node is gone, but sticks to one that is silent.
            Connection::Server(_) | Connection::Cluster(_) if error.is_timeout() => drop(managed::Object::take(connection)),
            _ => {}
        }
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

fn read<T: FromRedisValue>(answers: Vec<RedisResult<Value>>) -> Result<Vec<T>> {
    answers.into_iter().map(|answer| Ok(redis::from_redis_value(answer?)?)).collect::<RedisResult<_>>().map_err(failed)
}

/// The server's own answer, over a connection that is well.
fn is_refusal(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

fn is_unknown(answer: &RedisResult<Value>) -> bool {
    answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
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
                // So that a call has time for another node after one that is silent.
                let part = timeout / 4;
                let nodes = ClusterClientBuilder::new(urls.iter().map(String::as_str)).connection_timeout(part).response_timeout(part);
                let nodes = nodes.overall_response_timeout(Some(timeout));
                Way::Cluster(nodes.retries(RETRIES).min_retry_wait(10).max_retry_wait(200).build()?)
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
        match connection {
            Connection::Server(server) if metrics.last_used() >= IDLE => {
                redis::cmd("PING").query_async::<String>(server).await.map(drop).map_err(RecycleError::Backend)
            }
            // A cluster would ask every primary, also one that is being replaced.
            Connection::Server(_) | Connection::Cluster(_) => Ok(()),
        }
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
