//! The log between logic and job on Apache Kafka: `pipeline` mode.
//!
//! Owns topics, producer and consumer. The key of a record is its conversation or user, so each keeps its order on one
//! partition; the value is the [`LogRecord`] as JSON with named fields, which an older or newer node can read.
//!
//! **Invariant:** [`LogBus::publish`] returns when every in-sync replica has the records (`acks=all`, idempotent producer), so
//! the relay moves its position over nothing that could be lost. A failure publishes nothing *for certain*: the relay
//! repeats from its position, and Comets drop what they have had.
//!
//! **Bound:** `queued_kib` wait in the producer; beyond it publishing fails and the relay holds the records where they
//! are safe: in the change log. A record not acked within `timeout_ms` has failed.
//!
//! [`LogRecord`]: skein_domain::port::LogRecord
//! [`LogBus::publish`]: skein_domain::port::LogBus::publish

mod consumer;
mod context;
mod producer;
#[cfg(test)]
mod tests;
mod topics;

pub use consumer::KafkaSource;
pub use producer::KafkaBus;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_domain::{Code, Error};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `host:port`, several separated by commas. Empty: no Kafka, records go straight to the job in this process.
    pub brokers: String,
    /// Where records go; `<topic>-dead` takes what could not be handled.
    pub topic: String,
    /// Members of one group share the partitions.
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

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topic: "skein-log".into(),
            group: "skein-job".into(),
            partitions: 6,
            replicas: 1,
            timeout_ms: 5_000,
            queued_kib: 32 * 1024,
        }
    }
}

impl Config {
    pub(super) fn dead_topic(&self) -> String {
        format!("{}-dead", self.topic)
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers).set("client.id", "skein").set("socket.keepalive.enable", "true");
        client
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("kafka.brokers {brokers}: {source}; is it running, and is that its address?")]
    Unreachable { brokers: String, source: KafkaError },
    #[error("kafka: topic {topic} not made: {reason}")]
    Topic { topic: String, reason: String },
    #[error("kafka: {0}")]
    Client(#[from] KafkaError),
}

fn failed(error: &KafkaError) -> Error {
    Error::new(Code::Unavailable, format!("kafka: {error}")).retry_after(500)
}
