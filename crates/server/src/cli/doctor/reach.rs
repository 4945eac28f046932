//! Whether the engines of a configuration answer. Nothing is changed there.

use anyhow::{Context, Result, anyhow, ensure};
use skein_storage::{KafkaConfig, RedisConfig};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(3);

#[cfg(feature = "redis")]
pub async fn redis(config: &RedisConfig) -> Result<()> {
    Ok(skein_storage::redis::Redis::open(config).await.map(drop)?)
}

/// The start would fail in the same words.
#[cfg(not(feature = "redis"))]
pub async fn redis(config: &RedisConfig) -> Result<()> {
    use skein_domain::port::{Clock, SystemClock};
    let clock: std::sync::Arc<dyn Clock> = std::sync::Arc::new(SystemClock);
    crate::engines::Registries::open(config, &clock).await.map(drop)
}

#[cfg(feature = "kafka")]
pub async fn kafka(config: &KafkaConfig) -> Result<()> {
    Ok(skein_storage::kafka::reach(config, PATIENCE).await?)
}

/// The start would fail in the same words.
#[cfg(not(feature = "kafka"))]
pub async fn kafka(config: &KafkaConfig) -> Result<()> {
    crate::engines::logs(config, "").await.map(drop)
}

/// Whether something listens there. Nothing is asked of it: to open the store would change its tables.
pub fn database(url: &str) -> Result<()> {
    let authority = url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?']).next()).unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    ensure!(!host.is_empty(), "storage.mysql.url names no host");
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:3306") };
    let mut found = address.to_socket_addrs().with_context(|| format!("look up {host}"))?;
    let found = found.next().ok_or_else(|| anyhow!("{host} has no address"))?;
    TcpStream::connect_timeout(&found, PATIENCE).map(drop).with_context(|| format!("connect to {address}"))
}
