//! What an operator may set about Redis and Kafka; known to every build, so that one without them can say so.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://…` or `rediss://…`; several addresses are nodes of one cluster. Empty: no Redis.
    pub urls: Vec<String>,
    /// What all keys begin with. Empty: guests are under exactly the keys goim has.
    pub prefix: String,
    /// Connections at most; over each of them many calls travel.
    pub connections: u32,
    /// How long a call waits for a connection, in milliseconds.
    pub wait_ms: u32,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: u32,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self { urls: Vec::new(), prefix: "skein:".into(), connections: 16, wait_ms: 1_000, timeout_ms: 2_000 }
    }
}

impl RedisConfig {
    pub fn is_on(&self) -> bool {
        !self.urls.is_empty()
    }

    pub fn validate(&self) -> Result<(), &'static str> {
        let is_url = |url: &String| url.starts_with("redis://") || url.starts_with("rediss://");
        check(self.urls.iter().all(is_url), "redis.urls: each must be redis://… or rediss://…")?;
        check((1..=1_024).contains(&self.connections), "redis.connections must be 1 to 1024")?;
        check(self.wait_ms > 0 && self.timeout_ms > 0, "redis.wait_ms and redis.timeout_ms must not be 0")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KafkaConfig {
    /// `host:port`, several separated by commas. Empty: no Kafka, records go straight to the job in this process.
    pub brokers: String,
    /// Where records go; `<topic>-dead` takes what could not be handled.
    pub topic: String,
    /// Where transient pushes go, as goim's records: goim's own logic may write them, its own job may read them.
    pub push_topic: String,
    /// Members of one group share the partitions; `<group>-push` is the group for transient pushes.
    pub group: String,
    /// Partitions of a topic that is made because it is missing.
    pub partitions: u32,
    /// Replicas of a topic that is made because it is missing; 3 in production, with `min.insync.replicas` 2.
    pub replicas: u32,
    /// How long a record may take to every in-sync replica, in milliseconds.
    pub timeout_ms: u32,
    /// What may wait in the producer, in KiB.
    pub queued_kib: u32,
}

impl Default for KafkaConfig {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topic: "skein-log".into(),
            push_topic: "goim-push-topic".into(),
            group: "skein-job".into(),
            partitions: 6,
            replicas: 1,
            timeout_ms: 5_000,
            queued_kib: 32 * 1024,
        }
    }
}

impl KafkaConfig {
    pub fn is_on(&self) -> bool {
        !self.brokers.is_empty()
    }

    pub fn validate(&self) -> Result<(), &'static str> {
        let names = [&self.topic, &self.push_topic, &self.group];
        check(names.iter().all(|name| !name.is_empty()), "kafka.topic, kafka.push_topic and kafka.group must not be empty")?;
        check(self.push_topic != self.topic, "kafka.push_topic must not be kafka.topic")?;
        check((1..=10_000).contains(&self.partitions), "kafka.partitions must be 1 to 10000")?;
        check((1..=100).contains(&self.replicas), "kafka.replicas must be 1 to 100")?;
        check(self.timeout_ms >= 100, "kafka.timeout_ms must be at least 100")?;
        check(self.queued_kib >= 64, "kafka.queued_kib must be at least 64")
    }
}

fn check(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}
