//! Engines a configuration may name beside the embedded ones: Redis for what nodes know of connections and for
//! caches, Kafka between relay and job.
//!
//! **Invariant:** an engine that is configured and cannot be used ends the start; nothing is kept in memory instead in
//! silence.

use anyhow::Result;
use skein_domain::port::{
    AccountStore, BroadcastQueue, Clock, CodeStore, ConversationStore, DeadLetters, GuestRegistry, MessageStore, NodeRegistry,
    ReceiptStore, SessionRegistry,
};
use skein_logic::{LivePipeline, Pipeline};
use skein_storage::{
    KafkaConfig, MemoryBroadcasts, MemoryCodes, MemoryGuests, MemoryNodes, MemoryReceipts, MemorySessions, RedisConfig, Store,
};
use std::sync::Arc;

#[cfg(not(feature = "redis"))]
pub const WITHOUT_REDIS: &str = "redis.urls is set, but this program was built without Redis: build it with `--features redis`";
#[cfg(not(feature = "kafka"))]
pub const WITHOUT_KAFKA: &str = "kafka.brokers is set, but this program was built without Kafka: build it with `--features kafka`";

/// What need not survive, but what all nodes of a deployment have to share.
pub struct Registries {
    pub sessions: Arc<dyn SessionRegistry>,
    pub nodes: Arc<dyn NodeRegistry>,
    pub codes: Arc<dyn CodeStore>,
    pub guests: Arc<dyn GuestRegistry>,
    pub receipts: Arc<dyn ReceiptStore>,
    pub broadcasts: Arc<dyn BroadcastQueue>,
    #[cfg(feature = "redis")]
    redis: Option<skein_storage::redis::Redis>,
}

impl Registries {
    /// `node`: the name of this one.
    pub async fn open(config: &RedisConfig, node: &str, clock: &Arc<dyn Clock>) -> Result<Self> {
        if config.is_on() { on_redis(config, node).await } else { Ok(Self::in_memory(clock)) }
    }

    fn in_memory(clock: &Arc<dyn Clock>) -> Self {
        Self {
            sessions: Arc::new(MemorySessions::new(clock.clone())),
            nodes: Arc::new(MemoryNodes::new(clock.clone())),
            codes: Arc::new(MemoryCodes::default()),
            guests: Arc::new(MemoryGuests::new(clock.clone())),
            receipts: Arc::new(MemoryReceipts::new(clock.clone())),
            broadcasts: Arc::new(MemoryBroadcasts::new(clock.clone())),
            #[cfg(feature = "redis")]
            redis: None,
        }
    }

    /// What is read most, behind caches if there is Redis.
    pub fn cached(&self, store: &Store) -> Cached {
        let port = Arc::new(store.clone());
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            use skein_storage::redis::{CachedAccounts, CachedConversations, CachedMessages};
            let accounts = CachedAccounts::new(port.clone(), redis.clone(), store.epoch());
            let conversations = CachedConversations::new(port.clone(), redis.clone(), store.epoch());
            let messages = CachedMessages::new(port, redis.clone(), &conversations);
            return Cached { accounts: Arc::new(accounts), conversations: Arc::new(conversations), messages: Arc::new(messages) };
        }
        Cached { accounts: port.clone(), conversations: port.clone(), messages: port }
    }
}

/// Ports of the store, behind caches if there is Redis.
pub struct Cached {
    pub accounts: Arc<dyn AccountStore>,
    pub conversations: Arc<dyn ConversationStore>,
    pub messages: Arc<dyn MessageStore>,
}

/// What there is only in `pipeline` mode.
pub struct Logs {
    pub changes: Pipeline,
    pub pushes: LivePipeline,
    pub dead_letters: Arc<dyn DeadLetters>,
}

/// `None`: `direct` mode.
pub async fn logs(config: &KafkaConfig, node: &str) -> Result<Option<Logs>> {
    if config.is_on() { on_kafka(config, node).await.map(Some) } else { Ok(None) }
}

#[cfg(feature = "redis")]
async fn on_redis(config: &RedisConfig, node: &str) -> Result<Registries> {
    use skein_storage::redis::{Redis, RedisBroadcasts, RedisCodes, RedisGuests, RedisNodes, RedisReceipts, RedisSessions};
    let redis = Redis::open(config).await?;
    tracing::info!(addresses = config.urls.len(), prefix = config.prefix, "registries on redis");
    Ok(Registries {
        sessions: Arc::new(RedisSessions::new(redis.clone())),
        nodes: Arc::new(RedisNodes::new(redis.clone(), node)?),
        codes: Arc::new(RedisCodes::new(redis.clone())),
        guests: Arc::new(RedisGuests::new(redis.clone())),
        receipts: Arc::new(RedisReceipts::new(redis.clone())),
        broadcasts: Arc::new(RedisBroadcasts::new(redis.clone())),
        redis: Some(redis),
    })
}

#[cfg(not(feature = "redis"))]
async fn on_redis(_: &RedisConfig, _: &str) -> Result<Registries> {
    anyhow::bail!(WITHOUT_REDIS)
}

#[cfg(feature = "kafka")]
async fn on_kafka(config: &KafkaConfig, node: &str) -> Result<Logs> {
    use skein_rpc::{decode_record, encode_record, record_key};
    use skein_storage::kafka::{KafkaBus, KafkaDeadLetters, KafkaLiveLog, KafkaLiveSource, KafkaSource, LiveCodec};
    let as_goim =
        LiveCodec { key: record_key, encode: encode_record, decode: |value| decode_record(value).map_err(|error| error.to_string()) };
    let bus = Arc::new(KafkaBus::open(config).await?);
    let source = Arc::new(KafkaSource::open(config, node).await?);
    let log = Arc::new(KafkaLiveLog::open(config, as_goim).await?);
    let pushes = LivePipeline { log, source: Arc::new(KafkaLiveSource::open(config, node, as_goim).await?) };
    let dead_letters = Arc::new(KafkaDeadLetters::new(config, bus.clone()));
    Ok(Logs { changes: Pipeline { bus, source }, pushes, dead_letters })
}

#[cfg(not(feature = "kafka"))]
async fn on_kafka(_: &KafkaConfig, _: &str) -> Result<Logs> {
    anyhow::bail!(WITHOUT_KAFKA)
}
