//! The log between logic and job on Apache Kafka: `pipeline` mode.
//!
//! Owns topics, producer and consumer. The key of a record is its conversation or user, so each keeps its order on one
//! partition; the value is the [`LogRecord`] as JSON with named fields, which an older or newer node can read.
//!
//! **Invariant:** [`LogBus::publish`] returns when every in-sync replica has the records (`acks=all`, idempotent producer), so
//! the relay moves its position over nothing that could be lost. A failure publishes nothing *for certain*: the relay
//! repeats from its position, and Comets drop what they have had.
//!
//! **Bound:** `queued_kib` wait in the producer; what is beyond it waits until some of that is acked, and the relay holds
//! the records where they are safe: in the change log. A record not acked within `timeout_ms` has failed.
//!
//! [`LogRecord`]: skein_domain::port::LogRecord
//! [`LogBus::publish`]: skein_domain::port::LogBus::publish

mod consumer;
mod context;
mod dead;
mod live;
mod member;
mod producer;
#[cfg(test)]
mod tests;
mod topics;

pub use consumer::KafkaSource;
pub use dead::KafkaDeadLetters;
pub use live::{KafkaLiveLog, KafkaLiveSource, LiveCodec};
pub use producer::KafkaBus;
pub use topics::reach;

pub use crate::engines::KafkaConfig as Config;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use skein_domain::{Code, Error};

/// The header with the hop that wrote a record.
const TRACE: &str = "traceparent";

impl Config {
    pub(super) fn dead_topic(&self) -> String {
        format!("{}-dead", self.topic)
    }

    fn push_group(&self) -> String {
        format!("{}-push", self.group)
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers).set("client.id", "skein").set("socket.keepalive.enable", "true");
        // A broker that comes back is found within a second.
        client.set("reconnect.backoff.max.ms", "1000");
        client
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("kafka.brokers {brokers} cannot be reached; is it running, and is that its address?")]
    Unreachable { brokers: String, source: KafkaError },
    #[error("kafka: topic {topic} not made: {reason}")]
    Topic { topic: String, reason: String },
    #[error("kafka: {0}")]
    Client(#[from] KafkaError),
}

fn failed(error: &KafkaError) -> Error {
    Error::new(Code::Unavailable, format!("kafka: {error}")).retry_after(500)
}

fn header(message: &impl Message, name: &str) -> Option<String> {
    let found = message.headers()?.iter().find(|header| header.key == name)?;
    found.value.map(|value| String::from_utf8_lossy(value).into_owned())
}
