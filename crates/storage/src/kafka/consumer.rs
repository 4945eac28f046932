//! The job's end: [`LogSource`] on Kafka, one member of a consumer group, and the topic for what it cannot handle.

use super::context::Context;
use super::member::Member;
use super::producer::{key, traced};
use super::{Config, OpenError, TRACE, failed, header, topics};
use async_trait::async_trait;
use rdkafka::message::{Header, Message, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use skein_domain::Result;
use skein_domain::port::{Consumed, LogRecord, LogSource};
use skein_domain::trace::Trace;
use std::time::Duration;

pub struct KafkaSource {
    pub(super) member: Member,
    dead: FutureProducer<Context>,
    topic: String,
    dead_topic: String,
    timeout: Duration,
}

impl KafkaSource {
    /// Joins the group as the node of this name; makes the topics if there are none.
    pub async fn open(config: &Config, node: &str) -> Result<Self, OpenError> {
        topics::ensure(config).await?;
        let mut dead = config.client();
        dead.set("acks", "all").set("enable.idempotence", "true").set("message.timeout.ms", config.timeout_ms.to_string());
        Ok(Self {
            member: Member::join(config, &config.group, &config.topic, node)?,
            dead: dead.create_with_context(Context::of(&config.dead_topic()))?,
            topic: config.topic.clone(),
            dead_topic: config.dead_topic(),
            timeout: Duration::from_millis(config.timeout_ms.into()),
        })
    }
}

#[async_trait]
impl LogSource for KafkaSource {
    async fn next(&self, limit: usize) -> Result<Vec<Consumed>> {
        self.member.next(limit, consumed).await
    }

    async fn hold(&self) -> Result<()> {
        self.member.hold().await
    }

    async fn finished(&self, partition: i32, next: i64) -> Result<()> {
        self.member.finished(partition, next);
        Ok(())
    }

    async fn set_aside(&self, record: &Consumed, reason: &str) -> Result<()> {
        let (partition, offset) = (record.partition.to_string(), record.offset.to_string());
        let told = [("reason", reason), ("topic", &self.topic), ("partition", &partition), ("offset", &offset)];
        let trace = record.record.as_ref().and_then(|record| record.trace);
        let headers =
            told.into_iter().fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        // The same key: put back, records of a conversation keep their order.
        let key = record.record.as_ref().map(|record| key(&record.event)).unwrap_or_default();
        let dead = FutureRecord::to(&self.dead_topic).key(&key).payload(&record.bytes).headers(traced(headers, trace));
        self.dead.send(dead, Timeout::After(self.timeout)).await.map(drop).map_err(|(error, _)| failed(&error))
    }
}

fn consumed(message: &OwnedMessage) -> Consumed {
    let bytes = message.payload().unwrap_or_default().to_vec();
    Consumed { partition: message.partition(), offset: message.offset(), record: record(message), bytes }
}

/// `None`: this version cannot read it.
pub(super) fn record(message: &impl Message) -> Option<LogRecord> {
    let record: LogRecord = serde_json::from_slice(message.payload().unwrap_or_default()).ok()?;
    let trace = header(message, TRACE).and_then(|value| Trace::parse(&value)).filter(|(_, is_traced)| *is_traced);
    Some(LogRecord { trace: trace.map(|(hop, _)| hop), ..record })
}
