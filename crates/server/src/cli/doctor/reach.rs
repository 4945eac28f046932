//! Whether the engines of a configuration answer as a start wants them to. Nothing is changed there.
//!
//! Without an engine's feature the start fails, in the words said here.

use anyhow::Result;
use skein_storage::{Config, KafkaConfig, OpenError, RedisConfig};

/// Of the primary and of the replica; a replica that is not configured is well. Blocks.
#[cfg(feature = "mysql")]
pub fn databases(config: &Config) -> [Result<(), OpenError>; 2] {
    use skein_storage::Store;
    [Store::look_at_mysql(config), Store::look_at_replica(config)]
}

#[cfg(not(feature = "mysql"))]
pub fn databases(_: &Config) -> [Result<(), OpenError>; 2] {
    [Err(OpenError::NotBuilt), Ok(())]
}

#[cfg(feature = "redis")]
pub async fn redis(config: &RedisConfig) -> Result<()> {
    Ok(skein_storage::redis::Redis::open(config).await.map(drop)?)
}

#[cfg(not(feature = "redis"))]
pub async fn redis(_: &RedisConfig) -> Result<()> {
    anyhow::bail!(crate::engines::WITHOUT_REDIS)
}

#[cfg(feature = "kafka")]
pub async fn kafka(config: &KafkaConfig) -> Result<()> {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);
    Ok(skein_storage::kafka::reach(config, PATIENCE).await?)
}

#[cfg(not(feature = "kafka"))]
pub async fn kafka(_: &KafkaConfig) -> Result<()> {
    anyhow::bail!(crate::engines::WITHOUT_KAFKA)
}
